"""A cell from its plan to the files in the run folder, the records last: a part that exists vouches for the rest."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

import pyarrow

from robustbench_cv.batching import BatchSize
from robustbench_cv.errors import NotApplicable
from robustbench_cv.files import write_json
from robustbench_cv.predictions import to_coco
from robustbench_cv.record_store import RecordStore
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner import saved_images, saved_predictions
from robustbench_cv.runner.cell import CellOutput, evidence_types, run_cell
from robustbench_cv.runner.changed_inputs import require_unchanged
from robustbench_cv.runner.job import blank_record, build_job, build_metrics
from robustbench_cv.runner.planned_cells import Plan, PlannedCell
from robustbench_cv.types import BoxPrediction


def compute_cell(plan: Plan, cell: PlannedCell, batch_size: BatchSize, folder: RunFolder) -> None:
    """Run a cell and store everything that it leaves, with the seconds it took. UserError where its inputs changed meanwhile."""
    started = time.perf_counter()
    output = _output(plan, cell, batch_size, folder)
    require_unchanged(cell)
    if plan.options.save_predictions and cell.row.task != "detection":
        saved_predictions.save_cell(folder, cell, output.predictions)
    _store(folder, cell, output, evidence_types(build_metrics(plan, cell).values()))
    write_json(folder.timing(cell.row.key), {"seconds": round(time.perf_counter() - started, 3), "n": cell.row.n})


def _output(plan: Plan, cell: PlannedCell, batch_size: BatchSize, folder: RunFolder) -> CellOutput:
    """The cell, or where the model gives an attack nothing to follow or to be fitted by, a record of each sample that says so."""
    try:
        return run_cell(build_job(plan, cell, batch_size, folder))
    except NotApplicable as reason:
        ids = [cell.pair.dataset.ids[i] for i in cell.indices]
        blank = blank_record(plan, cell)
        rows = [dataclasses.replace(blank, sample=id_, status="not-applicable", reason=str(reason), reason_code=reason.code) for id_ in ids]
        return CellOutput(rows, [], {})


def _store(folder: RunFolder, cell: PlannedCell, output: CellOutput, types: Mapping[str, pyarrow.DataType]) -> None:
    key, row = cell.row.key, cell.pair.row
    saved_images.save(folder.images(key), output.shots, row.operating_score)
    if row.task == "detection":
        entries = [e for id_, p in output.predictions.items() if isinstance(p, BoxPrediction) for e in to_coco(id_, p, row.classes)]
        write_json(folder.cell_predictions(key), entries)
    RecordStore(folder).write(cell.row, output.records, types)
