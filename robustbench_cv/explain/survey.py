"""Samples explained one by one, and what their maps say of each class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import BadSample, NotApplicable
from robustbench_cv.explain.clever_hans import CleverHans, judge, mean_estimate
from robustbench_cv.explain.concentration import (
    area_share,
    pointing_chance,
    pointing_game,
    relevance_mass,
    relevance_rank,
    scaled_tolerance,
)
from robustbench_cv.explain.explained_object import Answer, MainObject, answer, main_object
from robustbench_cv.explain.insertion_deletion import Areas, insertion_deletion
from robustbench_cv.explain.methods import Method
from robustbench_cv.foreign_errors import calling, read_sample
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.types import AnyModel, BoxPrediction, Dataset, Sample, predict


@dataclass(frozen=True, eq=False)
class Case:
    """One sample explained. relevance: (H, W) on the CPU, None where the model says nothing there; then `reason` says why.

    mass, rank, hit: of rightly answered samples alone, None for the others. areas: of every map.
    """

    sample: Sample
    main: MainObject
    answer: Answer
    area: float
    relevance: Tensor | None = None
    mass: float | None = None
    rank: float | None = None
    hit: bool | None = None
    chance: float | None = None
    areas: Areas | None = None
    reason: str = ""


@dataclass(frozen=True)
class ClassRow:
    """One class, or all of them together (label None). Rates 0-1. n: its samples with a mask of the object."""

    label: int | None
    n: int
    accuracy: Estimate
    mass: Estimate
    rank: Estimate
    pointing: Estimate
    chance: Estimate
    insertion: Estimate
    deletion: Estimate
    area: Estimate
    clever_hans: CleverHans


@dataclass(frozen=True, eq=False)
class Survey:
    """Every explained sample, and why others could not be. rows: of each class that occurs, then of all."""

    cases: Sequence[Case]
    left_out: Sequence[str]
    rows: Sequence[ClassRow]


def survey(
    model: AnyModel,
    dataset: Dataset,
    class_map: ClassMap,
    method: Method,
    indices: Sequence[int],
    *,
    device: str = "cpu",
    tolerance_px: int | None = None,
    advance: Callable[[str], None] = lambda sample: None,
) -> Survey:
    """Explain the main object of these samples. tolerance_px: of the pointing game; None is 15 at a shorter side of 224 px, scaled.

    advance: told the id of each sample when it is done.
    """
    cases, left_out = [], []
    for index in indices:
        try:
            sample = class_map.sample(read_sample(dataset, index))
            cases.append(explain_sample(model, sample, method, class_map, device=device, tolerance_px=tolerance_px))
        except (NotApplicable, BadSample) as reason:
            left_out.append(str(reason))
        advance(dataset.ids[index])
    return Survey(cases, left_out, list(rows_of(cases)))


def explain_sample(
    model: AnyModel,
    sample: Sample,
    method: Method,
    class_map: ClassMap,
    *,
    device: str = "cpu",
    tolerance_px: int | None = None,
) -> Case:
    """The map of what the model says of a sample's main object, measured. NotApplicable for samples without a mask of one.

    sample: its target in the model's classes. Boxes of classes that the data cannot judge are passed over.
    """
    main = main_object(sample)
    image = sample.image.to(device)
    with calling(f"model {model.info.name!r}, sample {sample.id!r}", ours=lambda: True):
        predicted = predict(model, image[None])[0]
        judged = class_map.prediction(predicted) if isinstance(predicted, BoxPrediction) else predicted
        says = answer(judged, main, sample, model.info)
        share = area_share(main.mask)
        if says.explained is None:
            return Case(sample, main, says, share, reason="the model reports nothing there")
        relevance = method(model, says.explained, image)
        areas = insertion_deletion(model, says.explained, image, relevance)
    if not bool(relevance.isfinite().all()):
        return Case(sample, main, says, share, reason="the map holds NaN or infinity")
    case = Case(sample, main, says, share, relevance, areas=areas)
    return _measured(case, tolerance_px) if says.is_right else case


def _measured(case: Case, tolerance_px: int | None) -> Case:
    relevance, mask = case.relevance, case.main.mask
    assert relevance is not None
    tolerance = scaled_tolerance(*mask.shape) if tolerance_px is None else tolerance_px
    try:
        mass, rank, hit = relevance_mass(relevance, mask), relevance_rank(relevance, mask), pointing_game(relevance, mask, tolerance)
    except NotApplicable as reason:
        return replace(case, reason=str(reason))
    return replace(case, mass=mass, rank=rank, hit=hit, chance=pointing_chance(mask, tolerance))


def rows_of(cases: Sequence[Case]) -> Iterator[ClassRow]:
    """A row for each class that occurs, by index, then one of all samples; none without samples."""
    for label in sorted({case.main.label for case in cases}):
        yield _row(label, [case for case in cases if case.main.label == label])
    if cases:
        yield _row(None, cases)


def _row(label: int | None, cases: Sequence[Case]) -> ClassRow:
    scored = [case for case in cases if case.mass is not None]
    right = sum(case.answer.is_right for case in cases)
    unmeasured = right - len(scored)  # rightly answered, but of a map that is nowhere positive
    mapped = [case.areas for case in cases if case.areas is not None]
    mass, area = [case.mass or 0.0 for case in scored], [case.area for case in scored]
    shares: tuple[float, float | None] = (0.0, 1.0)
    return ClassRow(
        label,
        len(cases),
        _rate(right, len(cases)),
        mean_estimate(mass, shares, unmeasured),
        mean_estimate([case.rank or 0.0 for case in scored], shares, unmeasured),
        _rate(sum(bool(case.hit) for case in scored), len(scored), unmeasured),
        mean_estimate([case.chance or 0.0 for case in scored], shares, unmeasured),
        mean_estimate([areas.insertion for areas in mapped], shares, len(cases) - len(mapped)),
        mean_estimate([areas.deletion for areas in mapped], shares, len(cases) - len(mapped)),
        mean_estimate([case.area for case in cases], shares),
        judge(mass, area, right / len(cases)),
    )


def _rate(hits: int, n: int, excluded: int = 0) -> Estimate:
    if n == 0:
        return Estimate(None, None, None, 0, excluded, reason="no rightly answered sample")
    return Estimate(hits / n, *wilson(hits, n), n, excluded)


def spread_indices(total: int, wanted: int) -> list[int]:
    """Positions of `wanted` samples spread evenly over a data set, or of all.

    >>> spread_indices(10, 4), spread_indices(2, 4)
    ([0, 2, 4, 6], [0, 1])
    """
    return list(range(0, total, max(1, total // wanted)))[:wanted]
