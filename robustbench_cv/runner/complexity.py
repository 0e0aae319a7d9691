"""What each model of a run costs on its own data, counted once and kept in the run folder."""

from __future__ import annotations

import msgspec

from robustbench_cv.catalogue import MODELS
from robustbench_cv.errors import BadSample, ForeignError
from robustbench_cv.files import write_json
from robustbench_cv.foreign import read_sample
from robustbench_cv.models.complexity.profile import count
from robustbench_cv.results import ComplexityRow
from robustbench_cv.runner.fingerprint import code_sha256, digest, source_sha256, versions
from robustbench_cv.runner.plan import Pair
from robustbench_cv.runner.store import Store


def stored_complexity(store: Store, pair: Pair, device: str) -> ComplexityRow:
    """The row of a model on a data set: one forward pass on the first sample, or the row of an earlier run of the same model and data."""
    own = source_sha256(MODELS, [pair.row.spec])
    seen = [pair.row, own, pair.dataset_row.name, pair.fingerprints[:1], code_sha256(interventions=False, attacks=False), versions()]
    path = store.complexity(digest([*seen, device])[:32])
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=ComplexityRow)
    row = _counted(pair)
    write_json(path, row)
    return row


def _counted(pair: Pair) -> ComplexityRow:
    name, data = pair.row.name, pair.dataset_row.name
    try:
        image = read_sample(pair.dataset, pair.indices[0]).image
    except (BadSample, ForeignError) as reason:
        return ComplexityRow(pair.row.task, name, data, None, (), f"its first image cannot be read: {reason}")
    size = (image.shape[-2], image.shape[-1])
    try:
        seen = count(pair.model, image)
    except (Exception, SystemExit) as error:  # a foreign model may do anything; without this figure the run is as good as before
        return ComplexityRow(pair.row.task, name, data, None, size, f"it could not be watched: {type(error).__name__}: {error}")
    if seen.macs == 0:
        return ComplexityRow(pair.row.task, name, data, None, size, "it does its work outside torch, where nothing is counted")
    hidden = ", ".join(f"{times} x {operation}" for operation, times in seen.hidden.items())
    return ComplexityRow(pair.row.task, name, data, seen.macs, size, f"a lower bound: not counted are {hidden}" if hidden else "")
