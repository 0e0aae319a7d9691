"""The pictures that a run kept of a cell, read back by a check and shown to the model again: once for the same files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import safetensors.torch
import torch
from torch import Tensor

from robustbench_cv.checks.check import AfterRun
from robustbench_cv.errors import NotApplicable
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.kept_files import read_kept
from robustbench_cv.model_from_predictions import NEEDS_MODEL
from robustbench_cv.results import CellRow
from robustbench_cv.run_folder import SAVED_IMAGES, RunFolder, json_file
from robustbench_cv.types import Model, Prediction

UNREADABLE = "pictures-unreadable"
"""The code of a NotApplicable: a picture or the exact images of a cell are gone, damaged, or of another size."""

Entry: TypeAlias = dict[str, Any]
"""Of the index of a cell's pictures: "sample", and of "before" and "after" the "image" (its file), "prediction" and "truth"."""


@dataclass(frozen=True, eq=False)
class SavedPictures:
    """Of one cell, with the model that judged them. folder: of the files that the index names.

    exact: the images (3, H, W) in [0, 1] that were judged, by position in the index; none where their file is gone or damaged.
    """

    model: Model[Any]
    device: str
    folder: Path
    exact: Mapping[str, Tensor]
    entries: Sequence[Entry]

    def ask(self, image: Tensor) -> Prediction:
        """What the model says of an image (3, H, W) in [0, 1], alone."""
        with torch.no_grad():
            return self.model.decode(self.model.raw(image[None].to(self.device)))[0]


Judge: TypeAlias = Callable[[SavedPictures], tuple[str, ...]]
"""The samples of which something is to be said."""


@dataclass(frozen=True)
class Reread:
    """A cell's pictures: how many samples, and those of which the judge has something to say."""

    cell: CellRow
    samples: int
    told: tuple[str, ...]


def reread(after_run: AfterRun, check: str, judge: Judge, wanted: Callable[[CellRow], bool] = lambda cell: True) -> Iterator[Reread]:
    """Every wanted cell that has pictures and a model that can be asked; the cells of a model together, which is then built once.

    check: its id; what it says is kept in the run folder, by the files. A cell whose pictures the judge cannot read (UNREADABLE) is left
    out.
    """
    results = after_run.results
    assert results.folder is not None, "an after-run check needs a run folder"
    folder = RunFolder(results.folder)
    for cell in sorted(results.run.cells, key=lambda c: (c.task, c.model)):
        index = folder.image_index(cell.key)
        if not wanted(cell) or not index.exists() or (cell.task, cell.model) not in after_run.models:
            continue
        entries = read_kept(index, list[Entry]) or []
        # A cell's key says which model predicted; what else can have changed since is what lies here.
        facts = [check, cell.key, _hashes(folder.images(cell.key)), after_run.device, after_run.code_sha256]
        make = partial(_judged, after_run, cell, entries, judge, folder)
        try:
            told = folder.remember(SAVED_IMAGES, facts, json_file(tuple[str, ...]), make) if after_run.code_sha256 else make()
        except NotApplicable as reason:
            if reason.code not in (NEEDS_MODEL, UNREADABLE):
                raise
            continue
        yield Reread(cell, len(entries), told)


def _judged(after_run: AfterRun, cell: CellRow, entries: Sequence[Entry], judge: Judge, folder: RunFolder) -> tuple[str, ...]:
    model = cast("Model[Any]", after_run.models[cell.task, cell.model])
    return judge(SavedPictures(model, after_run.device, folder.images(cell.key), _exact_images(folder, cell.key), entries))


def _exact_images(folder: RunFolder, key: str) -> dict[str, Tensor]:
    """By position in the index; none where the file is gone or damaged."""
    try:
        return safetensors.torch.load_file(folder.exact_images(key))
    except (safetensors.SafetensorError, OSError):
        return {}


def _hashes(folder: Path) -> list[tuple[str, str]]:
    """Name and sha256 of every file of a cell's pictures."""
    return [(path.name, file_sha256(path).hex()) for path in sorted(folder.iterdir()) if path.is_file()]
