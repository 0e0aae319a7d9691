"""What each model of a run costs on its own data, counted once and kept in the run folder."""

from __future__ import annotations

from robustbench_cv.errors import BadSample, ForeignError
from robustbench_cv.foreign_errors import read_sample
from robustbench_cv.model_from_predictions import ClosedModel
from robustbench_cv.models.complexity.profile import count
from robustbench_cv.results import ComplexityRow
from robustbench_cv.run_folder import COMPLEXITY, RunFolder, json_file
from robustbench_cv.runner.dependencies import DependencyReader
from robustbench_cv.runner.planned_cells import Pair


def stored_complexity(folder: RunFolder, pair: Pair, device: str, reader: DependencyReader) -> ComplexityRow:
    """The row of a model on a data set: one forward pass on the first sample, or the row of an earlier run of the same model and data."""
    code = pair.code | reader.of(["robustbench_cv.models.complexity.profile"])
    seen = [pair.identity, pair.dataset_row.name, pair.fingerprints[:1], code.sha256]
    return folder.remember(COMPLEXITY, [*seen, device], json_file(ComplexityRow), lambda: _count_operations(pair))


def _count_operations(pair: Pair) -> ComplexityRow:
    name, data = pair.row.name, pair.dataset_row.name
    try:
        image = read_sample(pair.dataset, pair.indices[0]).image
    except (BadSample, ForeignError) as reason:
        return ComplexityRow(pair.row.task, name, data, None, (), f"its first image cannot be read: {reason}")
    size = (image.shape[-2], image.shape[-1])
    model = pair.model
    if isinstance(model, ClosedModel):
        return ComplexityRow(pair.row.task, name, data, None, size, "only its predictions are here")
    try:
        seen = count(model, image)
    except (Exception, SystemExit) as error:  # a foreign model may do anything; without this figure the run is as good as before
        return ComplexityRow(pair.row.task, name, data, None, size, f"it could not be watched: {type(error).__name__}: {error}")
    if seen.macs == 0:
        return ComplexityRow(pair.row.task, name, data, None, size, "it does its work outside torch, where nothing is counted")
    hidden = ", ".join(f"{times} x {operation}" for operation, times in seen.hidden.items())
    return ComplexityRow(pair.row.task, name, data, seen.macs, size, f"a lower bound: not counted are {hidden}" if hidden else "")
