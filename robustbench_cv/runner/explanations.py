"""Where each model of a run finds its answers, by each method that the suite asks for, explained once and kept in the run folder."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from robustbench_cv.explain.methods import build_method, check_method
from robustbench_cv.explain.survey import ClassRow, survey
from robustbench_cv.results import ExplanationRow
from robustbench_cv.run_folder import EXPLANATIONS, RunFolder, json_file
from robustbench_cv.runner.dependencies import DependencyReader
from robustbench_cv.runner.planned_cells import Pair

EXPLAINED = 32
"""Samples of each data set that are explained, of those that the run uses (project choice)."""


def stored_explanations(folder: RunFolder, pair: Pair, method: str, device: str, reader: DependencyReader) -> tuple[ExplanationRow, ...]:
    """A row of each class that occurs, then of all; one with a note where the method does not serve the model or its data.

    Those of an earlier run where model, samples, method and code are the same.
    """
    module = f"robustbench_cv.explain.{check_method(method).name.replace('-', '_')}"
    code = pair.code | reader.of(["robustbench_cv.explain.survey", module])
    samples = [pair.dataset.ids[i] for i in pair.indices[:EXPLAINED]]
    facts = [
        pair.identity,
        pair.dataset_row.name,
        samples,
        pair.fingerprints[:EXPLAINED],
        pair.class_map.key(),
        method,
        code.sha256,
        device,
    ]
    return folder.remember(EXPLANATIONS, facts, json_file(tuple[ExplanationRow, ...]), lambda: _explain(pair, method, device))


def _explain(pair: Pair, method: str, device: str) -> tuple[ExplanationRow, ...]:
    nothing = ExplanationRow(task=pair.row.task, model=pair.row.name, dataset=pair.dataset_row.name, method=method)
    try:
        found = survey(pair.model, pair.dataset, pair.class_map, build_method(method), pair.indices[:EXPLAINED], device=device)
    except (Exception, SystemExit) as error:  # a foreign model may do anything; without these figures the run is as good as before
        return (replace(nothing, note=str(error) or type(error).__name__),)
    if not found.rows:
        return (replace(nothing, note=found.left_out[0] if found.left_out else "no sample has a mask of its object"),)
    return tuple(_with_numbers(nothing, row, pair.row.classes) for row in found.rows)


def _with_numbers(nothing: ExplanationRow, row: ClassRow, classes: Sequence[str]) -> ExplanationRow:
    return replace(
        nothing,
        label="" if row.label is None else classes[row.label],
        n=row.n,
        accuracy=row.accuracy,
        relevance_mass=row.mass,
        relevance_rank=row.rank,
        pointing_game=row.pointing,
        pointing_chance=row.chance,
        insertion=row.insertion,
        deletion=row.deletion,
        area=row.area,
        excess=row.clever_hans.excess,
        clever_hans=row.clever_hans.verdict,
    )
