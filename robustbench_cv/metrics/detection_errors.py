"""Which mistakes a detector makes, and what each kind costs in AP50: TIDE (Bolya et al., ECCV 2020, https://arxiv.org/abs/2008.08115).

A detection that COCO's matching at IoU 0.5 leaves wrong has one kind, the first of these that fits, in the order in which the authors'
toolbox asks (IoU with the annotated objects that are no crowd):

* mislocalised: of its own class the nearest object has IoU 0.1 up to 0.5;
* confused: an object of another class has IoU 0.5 or more;
* duplicated: an object of its own class has, and a more confident detection is matched with it;
* hallucinated: no object has IoU above 0.1;
* both: wrong class and wrong place, all that is left.

An object is missed where no detection is matched with it, and none would be if its class or its place were mended. Detections that COCO
ignores (in a crowd) are no mistakes.

What a kind costs is AP50 with all mistakes of that kind mended, less AP50: a confused or mislocalised detection becomes right, unless its
object is found already or a more confident one of either kind claims it, when it is taken away like the other kinds; a missed object is no
longer asked for. Costs do not add up: what one mends lets another count for more. Unlike the authors' toolbox a class without annotated
objects is left out of the mean, as in COCO AP, and one of which every object is missed counts 1 with the missed ones mended, where the
toolbox counts 0 and would call the misses free of cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy
import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.metrics.average_precision import CELLS, Ranked, class_precision
from robustbench_cv.metrics.average_precision_influence import precision_influence
from robustbench_cv.metrics.coco_matching import MAX_DETECTIONS, Objects, overlaps
from robustbench_cv.metrics.evidence import Values, array_of, row_of
from robustbench_cv.metrics.influence_functions import GROUPS, left_out
from robustbench_cv.metrics.metric import Metric, Unit
from robustbench_cv.metrics.ratios import Ratio, finite, need, quotient, whole
from robustbench_cv.types import BoxPrediction, BoxTarget, Evidence, Prediction, Sample

Mistake: TypeAlias = Literal["missed", "hallucinated", "confused", "mislocalised", "duplicated", "both"]

MISTAKES: tuple[Mistake, ...] = get_args(Mistake)
"""The kinds, as reports list them."""

NAMES: dict[Mistake, str] = {
    "missed": "missed",
    "hallucinated": "hallucinated",
    "confused": "confused",
    "mislocalised": "mislocalised",
    "duplicated": "duplicated",
    "both": "wrong class and place",
}

IGNORED, RIGHT = -1, 0
"""Of detections, beside the position of a mistake in MISTAKES (which begins with the one that no detection has)."""

FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a place is right, and up to which a detection has met nothing (t_f and t_b of the paper)."""

_NO_SCORE = -1.0

ERRORS = pyarrow.struct(
    {
        "classes": pyarrow.list_(pyarrow.int32()),
        "found": pyarrow.list_(pyarrow.float64()),
        "claimed": pyarrow.list_(pyarrow.float64()),
        "labels": pyarrow.list_(pyarrow.int32()),
        "scores": pyarrow.list_(pyarrow.float64()),
        "kinds": pyarrow.list_(pyarrow.int8()),
        "mended": pyarrow.list_(pyarrow.int32()),
    }
)
"""The type of the evidence of one image, as parallel lists. Of the annotated objects that are no crowd: classes, the score of the detection
that `found` each and the highest score of the confused and mislocalised detections that `claimed` it (-1: none). Of the detections, by
class and falling score: labels, scores, kinds, and the class with which each is right once `mended` (-1: it is taken away)."""

KEY = "detection-errors"


@metric(task="detection")
def ap50_lost(to: Mistake) -> Metric:
    """What one kind of mistake costs: COCO AP50 with every mistake of the kind mended, less AP50 (TIDE's delta AP).

    to: "missed", "hallucinated", "confused", "mislocalised", "duplicated" or "both" (wrong class and place).
    """
    return PrecisionLost(to)


@metric(task="detection")
def errors_per_image(operating_score: Fraction, kind: Literal["any"] | Mistake = "any") -> Metric:
    """Mistakes per image among the boxes of at least the operating score: wrong boxes of each kind, and missed objects.

    kind: "any" counts them all; "missed", "hallucinated", "confused", "mislocalised", "duplicated" or "both" (wrong class and place).
    """
    kinds = MISTAKES if kind == "any" else (kind,)
    return Ratio(
        name="errors-per-image" if kind == "any" else f"errors-per-image(kind={kind!r})",
        take=detection_errors,
        split=lambda e: (numpy.sum([_count(e, one, operating_score) for one in kinds], axis=0), numpy.ones(len(e))),
        undefined="no image",
        higher_is_better=False,
        evidence_key=KEY,
        evidence_type=ERRORS,
        unit="count per image",
        range=(0.0, None),
        counts_absent=kind == "hallucinated",
    )


def _count(evidence: pyarrow.Array, kind: Mistake, operating_score: float) -> numpy.ndarray:
    """How many mistakes of a kind each image has at a score: the kinds of the more confident detections do not rest on the others."""
    n = len(evidence)
    if kind == "missed":
        missed = numpy.maximum(_values(evidence, "found"), _values(evidence, "claimed")) < operating_score
        counts = numpy.bincount(row_of(evidence.field("classes"))[missed], minlength=n)
    else:
        made = (_values(evidence, "kinds") == MISTAKES.index(kind)) & (_values(evidence, "scores") >= operating_score)
        counts = numpy.bincount(row_of(evidence.field("labels"))[made], minlength=n)
    return counts


def _values(evidence: pyarrow.Array, name: str) -> numpy.ndarray:
    values: numpy.ndarray = evidence.field(name).flatten().to_numpy(zero_copy_only=False)
    return values


@dataclass(frozen=True)
class PrecisionLost:
    """AP50 with the mistakes of one kind mended, less AP50."""

    to: Mistake
    higher_is_better: bool = field(default=False, init=False)
    is_rate: bool = field(default=False, init=False)
    unit: Unit = field(default="rate", init=False)
    range: tuple[float, float | None] = field(default=(0.0, 1.0), init=False)
    counts_absent: bool = field(default=False, init=False)
    evidence_key: str = field(default=KEY, init=False)
    evidence_type: pyarrow.DataType = field(default=ERRORS, init=False)

    @property
    def name(self) -> str:
        return f"ap50-lost(to={self.to!r})"

    def chance(self, evidence: Values, /) -> float | None:
        return None

    def measure(self, prediction: Prediction, sample: Sample, /) -> Evidence:
        return detection_errors(prediction, sample)

    def reduce(self, evidence: Values, /) -> float:
        return whole(self, evidence, "no class has an annotated object")

    def resample(self, evidence: Values, counts: numpy.ndarray, /) -> numpy.ndarray:
        weights = numpy.ascontiguousarray(counts.T, dtype=numpy.float64)
        total, classes = numpy.zeros(len(counts)), numpy.zeros(len(counts))
        for before, after in _by_class(evidence, self.to):
            step = max(1, CELLS // max(1, len(before.image), len(after.image)))
            for b in range(0, len(counts), step):
                drawn = weights[:, b : b + step]
                value, objects = class_precision(before, drawn, (0,))
                mended, left = class_precision(after, drawn, (0,))
                total[b : b + step] += numpy.where(objects > 0, numpy.where(left > 0, mended, 1.0) - value, 0.0)
                classes[b : b + step] += objects > 0
        return quotient(total, classes)

    def influence(self, evidence: Values, /) -> numpy.ndarray:
        """As of average precision: of few images by leaving each out, beyond by the derivative."""
        values = array_of(evidence, ERRORS)
        if len(values) <= GROUPS:
            return left_out(self, values, self.reduce(values))
        parts = [_influence(after) - _influence(before) for before, after in _by_class(values, self.to)]
        mean: numpy.ndarray = numpy.mean(parts, axis=0)
        return mean


def _influence(ranked: Ranked) -> numpy.ndarray:
    return precision_influence(*ranked, (0,)) if ranked.truths.any() else numpy.zeros(len(ranked.truths))


class _Detections(NamedTuple):
    """All detections that count, the most confident of a class first: image, label, and whether each is right (D,)."""

    image: numpy.ndarray
    label: numpy.ndarray
    right: numpy.ndarray

    def of(self, c: int, truths: numpy.ndarray) -> Ranked:
        first, last = numpy.searchsorted(self.label, [c, c + 1])
        right = self.right[first:last].astype(numpy.int64)
        return Ranked(self.image[first:last], right, 1 - right, truths)


def _by_class(evidence: Values, kind: Mistake) -> Iterator[tuple[Ranked, Ranked]]:
    """Of each class with an annotated object: its detections and objects as they are, and with a kind of mistake mended."""
    values = array_of(evidence, ERRORS)
    kinds, labels, mended = (_values(values, name) for name in ("kinds", "labels", "mended"))
    chosen = numpy.zeros(len(kinds), dtype=bool) if kind == "missed" else kinds == MISTAKES.index(kind)
    before = _detections(values, labels, kinds != IGNORED, kinds == RIGHT)
    after = _detections(
        values,
        numpy.where(chosen, mended, labels),
        (kinds != IGNORED) & ~(chosen & (mended < 0)),
        (kinds == RIGHT) | (chosen & (mended >= 0)),
    )
    classes, held_by = _values(values, "classes"), row_of(values.field("classes"))
    asked = numpy.ones(len(classes))
    if kind == "missed":
        asked[(_values(values, "found") < 0) & (_values(values, "claimed") < 0)] = 0.0
    for c in numpy.unique(classes):
        here = classes == c
        objects = numpy.bincount(held_by[here], minlength=len(values)).astype(numpy.float64)
        left = numpy.bincount(held_by[here], weights=asked[here], minlength=len(values))
        yield before.of(int(c), objects), after.of(int(c), left)


def _detections(values: pyarrow.Array, labels: numpy.ndarray, counted: numpy.ndarray, right: numpy.ndarray) -> _Detections:
    """Equal scores rank by image, then as the model had them."""
    image, scores = row_of(values.field("labels"))[counted], _values(values, "scores")[counted]
    labels, right = labels[counted], right[counted]
    order = numpy.lexsort((-scores, labels))
    return _Detections(image[order], labels[order], right[order])


def detection_errors(prediction: Prediction, sample: Sample) -> Evidence:
    """The evidence of one image. Detections whose label is negative name no evaluated class and are left out."""
    detections = need(prediction, BoxPrediction, "a detection error")
    target = need(sample.target, BoxTarget, "a detection error")
    boxes, scores = finite(detections.boxes, "boxes").double().numpy(), finite(detections.scores, "scores").double().numpy()
    labels, truth, crowd = detections.labels.numpy(), target.labels.numpy(), target.crowd.numpy()
    kept = _most_confident(labels, scores)
    boxes, scores, labels = boxes[kept], scores[kept], labels[kept]
    overlap = overlaps(boxes, Objects(target.boxes.double().numpy(), target.area.double().numpy(), crowd))
    asked = ~crowd & (truth >= 0)
    same = labels[:, None] == truth[None, :]
    in_crowd = (overlap >= FOREGROUND)[:, ~asked] & (same | (truth < 0)[None, :])[:, ~asked]
    return _evidence(_Scored(overlap[:, asked], same[:, asked], scores, labels, truth[asked], in_crowd.any(axis=1)))


def _most_confident(labels: numpy.ndarray, scores: numpy.ndarray) -> numpy.ndarray:
    """Positions of the detections that average precision keeps, by class and then by falling score."""
    order = numpy.lexsort((numpy.arange(len(scores)), -scores, labels))
    order = order[labels[order] >= 0]
    ranks = numpy.arange(len(order)) - numpy.searchsorted(labels[order], labels[order])
    kept: numpy.ndarray = order[ranks < MAX_DETECTIONS]
    return kept


class _Scored(NamedTuple):
    """Detections, by class and falling score, against objects: overlap (D, G), of one class or not (D, G), whether in a crowd (D,)."""

    overlap: numpy.ndarray
    same: numpy.ndarray
    scores: numpy.ndarray
    labels: numpy.ndarray
    truth: numpy.ndarray
    in_crowd: numpy.ndarray


def _evidence(given: _Scored) -> Evidence:
    own, other = given.overlap * given.same, given.overlap * ~given.same
    match = _matched(own)
    kinds = numpy.where(match >= 0, RIGHT, numpy.where(given.in_crowd, IGNORED, _kinds(own, other)))
    objects = len(given.truth)
    found, claimed = numpy.full(objects, _NO_SCORE), numpy.full(objects, _NO_SCORE)
    found[match[match >= 0]] = given.scores[match >= 0]
    mended = numpy.full(len(kinds), -1)
    # The most confident one of an object's claims is mended, of both kinds together; the first of equals.
    for d in numpy.argsort(-given.scores, kind="stable"):
        if kinds[d] not in (MISTAKES.index("confused"), MISTAKES.index("mislocalised")):
            continue
        g = (other if kinds[d] == MISTAKES.index("confused") else own)[d].argmax()
        if claimed[g] == _NO_SCORE and found[g] == _NO_SCORE:
            mended[d] = given.truth[g]
        claimed[g] = max(claimed[g], given.scores[d])
    lists = (given.truth, found, claimed, given.labels, given.scores, kinds, mended)
    return dict(zip((f.name for f in ERRORS), (values.tolist() for values in lists), strict=True))


def _matched(own: numpy.ndarray) -> numpy.ndarray:
    """The object that each detection is matched with (D,), -1 for none: in turn the free one of largest overlap, the later of equals."""
    free, match = numpy.ones(own.shape[1], dtype=bool), numpy.full(len(own), -1)
    for d, row in enumerate(own):
        open_ = numpy.where(free, row, 0.0)[::-1]
        if len(open_) and open_.max() >= FOREGROUND:
            match[d] = len(open_) - 1 - open_.argmax()
            free[match[d]] = False
    return match


def _kinds(own: numpy.ndarray, other: numpy.ndarray) -> numpy.ndarray:
    """The kind of mistake of each detection (D,), were it one."""
    nearest, strange = (overlap.max(axis=1, initial=0.0) for overlap in (own, other))
    tests: dict[Mistake, numpy.ndarray] = {
        "mislocalised": (nearest >= BACKGROUND) & (nearest < FOREGROUND),
        "confused": strange >= FOREGROUND,
        "duplicated": nearest >= FOREGROUND,
        "hallucinated": numpy.maximum(nearest, strange) <= BACKGROUND,
    }
    kinds: numpy.ndarray = numpy.select(list(tests.values()), [MISTAKES.index(name) for name in tests], MISTAKES.index("both"))
    return kinds
