"""What computes cells in another process: the run planned once more, then cells by key, each stored as this process would."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from robustbench_cv.batching import BatchSize
from robustbench_cv.catalogue import add_plugin
from robustbench_cv.errors import UserError
from robustbench_cv.file_hashes import remembered_hashes
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.executor import WorkOrder
from robustbench_cv.runner.memory import keep_freed_memory
from robustbench_cv.runner.mirror import Mirror, files_before
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import PlannedCell
from robustbench_cv.runner.stored_cell import compute_cell


class Worker:
    """Plans when it is made. One model at a time is alive in it."""

    def __init__(self, order: WorkOrder) -> None:
        os.chdir(order.directory)
        keep_freed_memory()
        torch.set_num_threads(order.threads)
        for file in order.plugins:
            add_plugin(file)
        self.reread, self.mirror = order.options.reread, order.options.mirror
        # With a mirror no folder need be shared: what this worker computes goes there, and what it takes over comes from there.
        self._scratch = tempfile.TemporaryDirectory(prefix="robustbench-cv-") if self.mirror else None
        self.folder = RunFolder(Path(self._scratch.name if self._scratch else order.folder))
        with self._hashes():
            self.plan = make_plan(order.suite, order.options, self.folder)
        self.cells = {cell.row.key: cell for cell in self.plan.cells}
        self.batch_size = BatchSize(order.options.batch_size)

    def compute(self, keys: Sequence[str]) -> Iterator[str]:
        """Compute and store these cells, in order; each one's key once it is there."""
        for key in keys:
            cell = self._planned(key)
            if self.mirror:
                Mirror(self.mirror, self.folder).pull(files_before(self.folder, cell))
            with self._hashes():
                compute_cell(self.plan, cell, self.batch_size, self.folder)
            yield key

    def _planned(self, key: str) -> PlannedCell:
        if key not in self.cells:
            raise UserError(
                f"a worker in {os.getcwd()} plans other cells than the run does: were data, weights or code changed since it began, or "
                "does the worker see other files? Run the same command again"
            )
        return self.cells[key]

    def _hashes(self) -> AbstractContextManager[None]:
        return remembered_hashes(self.folder.file_hashes, reread=self.reread, keep=False)
