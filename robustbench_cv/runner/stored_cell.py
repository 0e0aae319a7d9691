"""A cell from its plan to the files in the run folder, the records last: a part that exists vouches for the rest."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from robustbench_cv.batching import BatchSize
from robustbench_cv.errors import NotApplicable
from robustbench_cv.kept_files import write_kept
from robustbench_cv.predictions import to_coco
from robustbench_cv.record_store import RecordStore
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner import saved_images, saved_predictions, supervisor_messages
from robustbench_cv.runner.cell import CellOutput, evidence_types, run_cell
from robustbench_cv.runner.changed_inputs import require_unchanged
from robustbench_cv.runner.job import blank_record, build_job, build_metrics
from robustbench_cv.runner.mirror import Mirror, files_of
from robustbench_cv.runner.planned_cells import Plan, PlannedCell
from robustbench_cv.types import BoxPrediction


def compute_cell(plan: Plan, cell: PlannedCell, batch_size: BatchSize, folder: RunFolder) -> None:
    """Run a cell and store everything that it leaves, with the seconds it took. UserError where its inputs changed meanwhile."""
    started = time.perf_counter()
    output = _watched_output(plan, cell, batch_size, folder)
    require_unchanged(cell)
    if plan.options.save_predictions and cell.row.task != "detection":
        saved_predictions.save_cell(folder, cell, output.predictions)
    _store_beside(folder, cell, output)
    write_kept(folder.timing(cell.row.key), {"seconds": round(time.perf_counter() - started, 3), "n": cell.row.n})
    RecordStore(folder).write(cell.row, output.records, evidence_types(build_metrics(plan, cell).values()))
    if plan.options.mirror:
        Mirror(plan.options.mirror, folder).push(files_of(folder, cell))


def _watched_output(plan: Plan, cell: PlannedCell, batch_size: BatchSize, folder: RunFolder) -> CellOutput:
    """The cell; where it ended an earlier attempt of a run that is watched, a failed record of each sample instead."""
    key, row = cell.row.key, cell.row
    if (fault := supervisor_messages.fault_of(key)) is not None:
        return _without_outcome(plan, cell, status="failed", reason=fault.reason, reason_code=fault.code)
    _ = cell.pair.model  # its building is no part of a cell's time
    with supervisor_messages.step("cell", f"model {row.model!r} on {row.dataset!r} under {row.condition!r}", key):
        return _output(plan, cell, batch_size, folder)


def _output(plan: Plan, cell: PlannedCell, batch_size: BatchSize, folder: RunFolder) -> CellOutput:
    """The cell, or where the model gives an attack nothing to follow or to be fitted by, a record of each sample that says so."""
    try:
        return run_cell(build_job(plan, cell, batch_size, folder))
    except NotApplicable as reason:
        return _without_outcome(plan, cell, status="not-applicable", reason=str(reason), reason_code=reason.code)


def _without_outcome(plan: Plan, cell: PlannedCell, **why: Any) -> CellOutput:
    """A record of each sample that says why it has no outcome. why: status, reason and reason_code of `Record`."""
    blank = blank_record(plan, cell)
    ids = [cell.pair.dataset.ids[i] for i in cell.indices]
    return CellOutput([dataclasses.replace(blank, sample=id_, **why) for id_ in ids], [], {})


def _store_beside(folder: RunFolder, cell: PlannedCell, output: CellOutput) -> None:
    """What lies beside the records: pictures, and a detector's answers."""
    key, row = cell.row.key, cell.pair.row
    saved_images.save(folder.images(key), output.shots, row.operating_score)
    if row.task == "detection":
        entries = [e for id_, p in output.predictions.items() if isinstance(p, BoxPrediction) for e in to_coco(id_, p, row.classes)]
        write_kept(folder.cell_predictions(key), entries)
