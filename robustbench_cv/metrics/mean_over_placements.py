"""A number over the places that one object was pasted at, beside its placebo's: places of one image are one sample, not many.

An image adds what it adds at each place, above and below the line; intervals are of images, drawn with all their places. Definitions are
project choices, after Rosenfeld, Zemel, Tsotsos 2018 (arXiv:1808.03305).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.answer_change import CHANGES, NOTHING, RINGS
from robustbench_cv.metrics.evidence import Column, Side, aligned, row_of
from robustbench_cv.metrics.intervals import estimate, paired_difference
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.ratios import Ratio
from robustbench_cv.types import Evidence, Prediction, Sample

SUMS = pyarrow.struct({"above": pyarrow.float64(), "below": pyarrow.float64()})
"""What one image adds over all its places."""

FEWEST_LABELS = 2
"""Places at which something is said of the object, below which an image tells nothing of whether it is always the same (project choice)."""


class OverPlaces(NamedTuple):
    """edited: over the places, where the object is; placebo: where a patch of background is instead; net: the first less the second.

    All three are of the images and places that both serve; of label entropies, of the images that each has, `net` of those that both have.
    """

    edited: Estimate
    placebo: Estimate
    net: Estimate


def over_places(metric: Ratio, edited: Sequence[Side], placebo: Sequence[Side]) -> OverPlaces:
    """A ratio's sums over places. edited, placebo: its evidence at each place, in the same order of places."""
    sums: tuple[dict[str, numpy.ndarray], dict[str, numpy.ndarray]] = ({}, {})
    for sides in zip(edited, placebo, strict=True):
        shared = aligned([Column.taken(side, metric.evidence_type) for side in sides])
        for total, column in zip(sums, shared, strict=True):
            _add(total, column, metric)
    pooled = _pooled(metric)
    columns = [_column(one) for one in sums]
    return _beside(pooled, columns[0], columns[1])


def _beside(metric: Metric, edited: Column, placebo: Column) -> OverPlaces:
    return OverPlaces(estimate(metric, edited.values), estimate(metric, placebo.values), paired_difference(metric, edited, placebo))


def _add(total: dict[str, numpy.ndarray], column: Column, metric: Ratio) -> None:
    for id_, *parts in zip(column.ids.to_pylist(), *metric.parts(column.values), strict=True):
        total[id_] = total.get(id_, numpy.zeros(2)) + numpy.array(parts)


def _column(sums: dict[str, numpy.ndarray]) -> Column:
    return Column.of({id_: {"above": float(above), "below": float(below)} for id_, (above, below) in sums.items()}, SUMS)


def _pooled(metric: Ratio) -> Metric:
    return replace(metric, take=_not_of_one_image, split=_sums, evidence_type=SUMS)


def _sums(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
    above, below = (evidence.field(name).to_numpy(zero_copy_only=False) for name in ("above", "below"))
    return above, below


def _not_of_one_image(prediction: Prediction, sample: Sample) -> Evidence:
    raise NotApplicable("made of an image's evidence at several places")


_ENTROPY = Ratio(
    name="label-entropy",
    take=_not_of_one_image,
    split=_sums,
    undefined=f"no image on which anything is said of the object at {FEWEST_LABELS} places or more",
    higher_is_better=False,
    evidence_key="label-entropy",
    evidence_type=SUMS,
    unit="count",
    range=(0.0, None),
)


def label_entropy(edited: Sequence[Side], placebo: Sequence[Side]) -> OverPlaces:
    """In bits: how much what is said of the object changes with its place, the mean over images. 0: always the same.

    edited, placebo: evidence of answer changes at each place. Places where nothing is said do not count.
    """
    return _beside(_ENTROPY, _entropies(edited), _entropies(placebo))


def _entropies(sides: Iterable[Side]) -> Column:
    labels: dict[str, Counter[int]] = {}
    for side in sides:
        column = Column.taken(side, CHANGES)
        for id_, label in zip(column.ids.to_pylist(), column.values.field("label").to_pylist(), strict=True):
            if label != NOTHING:
                labels.setdefault(id_, Counter())[label] += 1
    return _column(
        {id_: numpy.array([entropy(list(c.values())), 1.0]) for id_, c in labels.items() if c.total() >= FEWEST_LABELS},
    )


def entropy(counts: Sequence[int]) -> float:
    """Of the shares of counts, in bits.

    >>> entropy([2, 1, 1]), entropy([5])
    (1.5, 0.0)
    """
    shares = numpy.array(counts) / sum(counts)
    return abs(float((shares * numpy.log2(shares)).sum()))


def ring_change(ring: int) -> Ratio:
    """Share of the pixels of one ring around the edited region whose label changed; see RINGS."""

    def split(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
        lists = evidence.field("rings")
        rows, items = row_of(lists), lists.flatten()
        chosen = numpy.arange(len(items)) % len(RINGS) == ring
        above, below = (
            numpy.bincount(rows[chosen], items.field(name).to_numpy(zero_copy_only=False)[chosen], len(evidence))
            for name in ("changed", "pixels")
        )
        return above, below

    return Ratio(
        name=f"ring-change-{ring}",
        take=_not_of_one_image,
        split=split,
        undefined="no pixel so far from the edit",
        higher_is_better=False,
        evidence_key="ring-change",
        evidence_type=CHANGES,
    )


class Cell(NamedTuple):
    """A part of the image: its row and column, a ratio over the places whose centre lies in it, and how many these are."""

    row: int
    column: int
    value: float
    places: int


def by_place(metric: Ratio, evidence: Sequence[Side], changes: Sequence[Side], cells: int) -> list[Cell]:
    """A ratio by where the object is, over cells x cells parts of the image. changes: evidence of answer changes, which says where."""
    sums = numpy.zeros((cells, cells, 3))
    for sides in zip(evidence, changes, strict=True):
        kinds = (metric.evidence_type, CHANGES)
        one, where = aligned([Column.taken(side, kind) for side, kind in zip(sides, kinds, strict=True)])
        above, below = metric.parts(one.values)
        x, y = (where.values.field(name).to_numpy(zero_copy_only=False) for name in ("x", "y"))
        at = tuple(numpy.minimum((v * cells).astype(int), cells - 1) for v in (y, x))
        numpy.add.at(sums, at, numpy.stack([above, below, numpy.ones(len(above))], axis=1))
    return [
        Cell(i, j, float(sums[i, j, 0] / sums[i, j, 1]), int(sums[i, j, 2])) for i, j in numpy.ndindex(cells, cells) if sums[i, j, 1] > 0
    ]
