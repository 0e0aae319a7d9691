"""How often the 95 % intervals hold, by simulation with known truth: `python -m tests.benchmarks.interval_coverage`.

Each row draws many small data sets from one made-up world, takes the interval of each by the library's own functions, and counts how often
it holds the number of the whole world (200,000 images). Prints the table of docs/intervals.md. --repetitions 200 is a quick look.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from math import comb
from typing import NamedTuple

import numpy
import pyarrow

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.calibration import CALIBRATION
from robustbench_cv.metrics.coco_matching import MATCHES
from robustbench_cv.metrics.detection_errors import ERRORS, MISTAKES, RIGHT
from robustbench_cv.metrics.detection_rates import OBJECTS
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.intervals import difference_in_differences, estimate
from robustbench_cv.metrics.iou import CONFUSION
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.score_intervals import tango
from robustbench_cv.types import Labels

WHOLE = 200_000
"""Images of a world."""

LABELS = Labels(tuple("abcdefgh"))

World = Callable[[numpy.random.Generator, int], list[pyarrow.Array]]
"""Evidence of n images on one, two or four sides: after and before, of an edit and of its control."""


@dataclass(frozen=True)
class Row:
    """What is simulated. contrast: what the number is of the world's sides."""

    name: str
    metric: str
    world: World
    contrast: str
    sizes: tuple[int, ...]


def classifier(rng: numpy.random.Generator, n: int, *, shifts: Sequence[float], noise: float, level: float = 1.0) -> list[pyarrow.Array]:
    """Right where the ease of an image, shared by the sides, and luck of the side's own add up to more than nothing."""
    ease = rng.normal(level, 1.0, n)
    return [pyarrow.array(ease + shift + noise * rng.normal(size=n) > 0) for shift in shifts]


def segmenter(rng: numpy.random.Generator, n: int, *, shifts: Sequence[float], classes: int = 8) -> list[pyarrow.Array]:
    """Images of up to 4,096 pixels with 2 to 5 of 8 classes, some of them rare; the share of right pixels varies with the image."""
    ease = rng.normal(0.9, 0.7, n)
    share = numpy.linspace(1.0, 0.25, classes)
    present = rng.random((n, classes)) < 0.75 * share
    present[numpy.arange(n), rng.integers(0, 3, n)] = True
    truth = numpy.where(present, rng.gamma(1.5, 300.0 * share, (n, classes)).astype(int) + 1, 0)
    sides = []
    luck = rng.normal(0.0, 0.4, (n, classes))
    for shift in shifts:
        found = 1 / (1 + numpy.exp(-(ease[:, None] + shift + luck + 0.3 * rng.normal(size=(n, classes)))))
        intersection = rng.binomial(truth, found)
        lost = (truth - intersection).sum(axis=1)
        where = rng.dirichlet(numpy.full(classes, 0.5), n)
        predicted = intersection + numpy.floor(lost[:, None] * where).astype(int)
        sides.append(confusion(intersection, predicted, truth))
    return sides


def confusion(intersection: numpy.ndarray, predicted: numpy.ndarray, truth: numpy.ndarray) -> pyarrow.Array:
    """Evidence of mIoU from counts (N, C)."""
    occurs = (predicted + truth) > 0
    columns = [numpy.nonzero(occurs)[1].astype(numpy.int32), *(counts[occurs] for counts in (intersection, predicted, truth))]
    items = pyarrow.StructArray.from_arrays([pyarrow.array(c) for c in columns], fields=list(CONFUSION.value_type))
    return pyarrow.ListArray.from_arrays(_offsets(occurs.sum(axis=1)), items).cast(CONFUSION)


def _offsets(lengths: numpy.ndarray) -> pyarrow.Array:
    return pyarrow.array(numpy.concatenate([[0], numpy.cumsum(lengths)]).astype(numpy.int32))


class Boxes(NamedTuple):
    """Detections of one side, sorted by image, class and falling score: image, class, score, and how many IoU thresholds each reaches."""

    image: numpy.ndarray
    label: numpy.ndarray
    score: numpy.ndarray
    reached: numpy.ndarray


class Scene(NamedTuple):
    """Objects of n images, and what makes them hard on every side."""

    ease: numpy.ndarray
    image: numpy.ndarray
    label: numpy.ndarray
    luck: numpy.ndarray


def _scene(rng: numpy.random.Generator, n: int, classes: int) -> Scene:
    image = numpy.repeat(numpy.arange(n), 1 + rng.poisson(2.0, n))
    label = rng.choice(classes, len(image), p=numpy.linspace(2, 1, classes) / numpy.linspace(2, 1, classes).sum())
    return Scene(rng.normal(0.0, 0.8, n), image, label, rng.normal(size=len(image)))


def _detect(rng: numpy.random.Generator, scene: Scene, shift: float, classes: int) -> Boxes:
    quality = shift + scene.ease[scene.image] + 0.8 * scene.luck + 0.6 * rng.normal(size=len(scene.image))
    found = quality + 0.3 * rng.normal(size=len(quality)) > -1.2
    overlap = 0.35 + 0.65 / (1 + numpy.exp(-(1.2 + 0.6 * quality + 0.5 * rng.normal(size=len(quality)))))
    score = 1 / (1 + numpy.exp(-(1.0 + 0.9 * quality + 0.7 * rng.normal(size=len(quality)))))
    ghosts = numpy.repeat(numpy.arange(len(scene.ease)), rng.poisson(1.2 * numpy.exp(-0.3 * scene.ease - 0.2 * shift)))
    image = numpy.concatenate([scene.image[found], ghosts])
    label = numpy.concatenate([scene.label[found], rng.integers(0, classes, len(ghosts))])
    every = numpy.concatenate([score[found], 1 / (1 + numpy.exp(0.6 - rng.normal(size=len(ghosts))))])
    reached = numpy.concatenate([(overlap[found, None] >= numpy.linspace(0.5, 0.95, 10)).sum(axis=1), numpy.zeros(len(ghosts), dtype=int)])
    order = numpy.lexsort((-every, label, image))
    return Boxes(image[order], label[order], every[order], reached[order])


def detector(rng: numpy.random.Generator, n: int, *, shifts: Sequence[float], classes: int = 5) -> list[pyarrow.Array]:
    """1 to about 6 objects an image of 5 classes; quality of box and score vary with the image, and are shared by the sides in part."""
    scene = _scene(rng, n, classes)
    return [_matches(scene, _detect(rng, scene, shift, classes), n, classes) for shift in shifts]


def _matches(scene: Scene, boxes: Boxes, n: int, classes: int) -> pyarrow.Array:
    """Evidence of average precision: every object and box is of the size "all" alone."""
    counts = numpy.bincount(scene.image * classes + scene.label, minlength=n * classes).reshape(n, classes)
    held = numpy.nonzero(counts)
    right = (1 << boxes.reached) - 1
    of_sizes = {"truths": counts[held], "right": right, "wrong": 1023 - right}
    wide = {k: numpy.stack([v, *[numpy.zeros_like(v)] * 3], axis=1).astype(numpy.int32).ravel() for k, v in of_sizes.items()}
    fixed = {k: pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(v), 4) for k, v in wide.items()}
    by_class, by_box = _offsets((counts > 0).sum(axis=1)), _offsets(numpy.bincount(boxes.image, minlength=n))
    flat = {
        "classes": (by_class, pyarrow.array(held[1].astype(numpy.int32))),
        "truths": (by_class, fixed["truths"]),
        "labels": (by_box, pyarrow.array(boxes.label.astype(numpy.int32))),
        "scores": (by_box, pyarrow.array(boxes.score)),
        "right": (by_box, fixed["right"]),
        "wrong": (by_box, fixed["wrong"]),
    }
    lists = [pyarrow.ListArray.from_arrays(offsets, items) for offsets, items in flat.values()]
    return pyarrow.StructArray.from_arrays(lists, names=list(flat)).cast(MATCHES)


def mistakes(rng: numpy.random.Generator, n: int, *, shifts: Sequence[float], classes: int = 5) -> list[pyarrow.Array]:
    """Objects that are found, found twice, misplaced, named otherwise or missed, and boxes on nothing; ease is shared by the sides."""
    scene = _scene(rng, n, classes)
    return [_mistakes(rng, scene, shift, n, classes) for shift in shifts]


def _mistakes(rng: numpy.random.Generator, scene: Scene, shift: float, n: int, classes: int) -> pyarrow.Array:
    quality = shift + scene.ease[scene.image] + 0.8 * scene.luck + 0.6 * rng.normal(size=len(scene.image))
    luck = quality + rng.normal(size=len(quality))
    fate = numpy.select([luck < -1.6, luck < -1.0, luck < -0.6], [0, MISTAKES.index("confused"), MISTAKES.index("mislocalised")], -2)
    score = 1 / (1 + numpy.exp(-(1.0 + 0.9 * quality + 0.7 * rng.normal(size=len(quality)))))
    ghosts = numpy.repeat(numpy.arange(n), rng.poisson(1.2 * numpy.exp(-0.3 * scene.ease - 0.2 * shift)))
    right, twice, odd = fate == -2, (fate == -2) & (rng.random(len(fate)) < 0.15), fate > 0
    parts = [
        (scene.image[right], scene.label[right], score[right], numpy.full(right.sum(), RIGHT), numpy.full(right.sum(), -1)),
        (
            scene.image[twice],
            scene.label[twice],
            0.8 * score[twice],
            numpy.full(twice.sum(), MISTAKES.index("duplicated")),
            numpy.full(twice.sum(), -1),
        ),
        (
            scene.image[odd],
            numpy.where(fate[odd] == MISTAKES.index("confused"), (scene.label[odd] + 1) % classes, scene.label[odd]),
            0.9 * score[odd],
            fate[odd],
            scene.label[odd],
        ),
        (
            ghosts,
            rng.integers(0, classes, len(ghosts)),
            1 / (1 + numpy.exp(0.6 - rng.normal(size=len(ghosts)))),
            numpy.full(len(ghosts), MISTAKES.index("hallucinated")),
            numpy.full(len(ghosts), -1),
        ),
    ]
    image, label, scores, kinds, mended = (numpy.concatenate(column) for column in zip(*parts, strict=True))
    order = numpy.lexsort((-scores, label, image))
    of_object, of_box = (_offsets(numpy.bincount(places, minlength=n)) for places in (scene.image, image))
    columns = {
        "classes": (of_object, scene.label),
        "found": (of_object, numpy.where(right, score, -1.0)),
        "claimed": (of_object, numpy.where(odd, 0.9 * score, -1.0)),
        "labels": (of_box, label[order]),
        "scores": (of_box, scores[order]),
        "kinds": (of_box, kinds[order]),
        "mended": (of_box, mended[order]),
    }
    lists = [pyarrow.ListArray.from_arrays(offsets, pyarrow.array(items)) for offsets, items in columns.values()]
    return pyarrow.StructArray.from_arrays(lists, names=list(columns)).cast(ERRORS)


def objects(rng: numpy.random.Generator, n: int, *, shifts: Sequence[float]) -> list[pyarrow.Array]:
    """What became of each object (found or vanished), and boxes on nothing, at one score."""
    scene = _scene(rng, n, 5)
    sides = []
    for shift in shifts:
        boxes = _detect(rng, scene, shift, 5)
        quality = scene.ease[scene.image] + 0.8 * scene.luck + 0.6 * rng.normal(size=len(scene.image)) + shift
        states = pyarrow.ListArray.from_arrays(
            _offsets(numpy.bincount(scene.image, minlength=n)), pyarrow.array(numpy.where(quality > -0.6, 3, 0).astype(numpy.int8))
        )
        ghosts = numpy.bincount(boxes.image[(boxes.reached == 0) & (boxes.score > 0.4)], minlength=n).astype(numpy.int32)
        sides.append(pyarrow.StructArray.from_arrays([states, pyarrow.array(ghosts), pyarrow.array(ghosts)], fields=list(OBJECTS)))
    return sides


def edited(rng: numpy.random.Generator, n: int) -> list[pyarrow.Array]:
    """Pixels of an edited region, and those still predicted as what was there: nothing in most images, all of it in a few."""
    region = rng.integers(50, 1500, n)
    share = numpy.where(rng.random(n) < 0.35, rng.beta(0.7, 1.5, n), 0.0)
    kind = METRICS.build("hallucinated-area", labels=LABELS).evidence_type
    return [pyarrow.StructArray.from_arrays([pyarrow.array((region * share).astype(int)), pyarrow.array(region)], fields=list(kind))]


def unsure(rng: numpy.random.Generator, n: int, *, temper: float, answers: int = 1) -> list[pyarrow.Array]:
    """Answers of a model that is too sure: right as often as its confidence says once tempered; those of an image share their luck."""
    ease = rng.normal(1.2, 1.0, (n, 1)) + 0.5 * rng.normal(size=(n, answers))
    sure = 0.5 + 0.5 / (1 + numpy.exp(-temper * ease))
    right = rng.random((n, answers)) < 0.5 + 0.5 / (1 + numpy.exp(-ease))
    offsets = _offsets(numpy.full(n, answers))
    parts = [
        pyarrow.ListArray.from_arrays(offsets, pyarrow.array(sure.ravel().astype(numpy.float32))),
        pyarrow.ListArray.from_arrays(offsets, pyarrow.array(right.ravel())),
        *[pyarrow.array(numpy.where(right, 2 * (1 - sure) ** 2, 2 * sure**2).sum(axis=1))] * 2,
    ]
    return [pyarrow.StructArray.from_arrays(parts, names=["confidence", "right", "brier", "nll"]).cast(CALIBRATION)]


ONE, TWO, FOUR = (0.0,), (0.0, 0.25), (-0.5, 0.0, -0.1, 0.0)
_SMALL, _AP = (32, 64, 200), (30, 100, 300)

ROWS = (
    Row("rate", "top-1", functools.partial(classifier, shifts=ONE, noise=0.3), "one", _SMALL),
    Row("rare rate (hallucination)", "hallucination-rate", functools.partial(classifier, shifts=ONE, noise=0.3, level=-1.3), "one", _SMALL),
    Row("mIoU", "miou", functools.partial(segmenter, shifts=ONE), "one", (20, 64, 200)),
    Row("pixel accuracy", "pixel-accuracy", functools.partial(segmenter, shifts=ONE), "one", (20, 64, 200)),
    Row("IoU of a class", "class-iou(of='c')", functools.partial(segmenter, shifts=ONE), "one", (20, 64, 200)),
    Row("COCO AP", "ap", functools.partial(detector, shifts=ONE), "one", _AP),
    Row("AP50", "ap50", functools.partial(detector, shifts=ONE), "one", _AP),
    Row("detection rate", "detection-rate", functools.partial(objects, shifts=ONE), "one", _SMALL),
    Row("fabricated boxes per image", "fabricated-per-image", functools.partial(objects, shifts=ONE), "one", _SMALL),
    Row("hallucinated area", "hallucinated-area", edited, "one", _SMALL),
    *(
        Row(f"AP50 lost to the {kind}", f"ap50-lost(to={kind!r})", functools.partial(mistakes, shifts=ONE), "one", _AP)
        for kind in ("missed", "hallucinated", "confused", "mislocalised", "duplicated")
    ),
    Row("ECE", "ece", functools.partial(unsure, temper=4.0), "one", (64, 200, 1000)),
    Row("ECE of pixels", "ece", functools.partial(unsure, temper=4.0, answers=64), "one", (20, 64, 200)),
    Row("ECE, nearly calibrated", "ece", functools.partial(unsure, temper=1.3), "one", (64, 200, 1000)),
    Row("Brier score", "brier", functools.partial(unsure, temper=4.0), "one", _SMALL),
    Row("mistakes per image", "errors-per-image", functools.partial(mistakes, shifts=ONE), "one", _SMALL),
    Row("mistakes, effect of an edit", "errors-per-image", functools.partial(mistakes, shifts=(-0.5, 0.0)), "two", _SMALL),
    Row("AP50 lost to the missed, effect", "ap50-lost(to='missed')", functools.partial(mistakes, shifts=(-0.5, 0.0)), "two", _AP),
    Row("rate, two models", "top-1", functools.partial(classifier, shifts=(0.0, 0.085), noise=0.6, level=0.9), "two", _SMALL),
    Row("AP, two models", "ap", functools.partial(detector, shifts=TWO), "two", _AP),
    Row("mIoU, two models", "miou", functools.partial(segmenter, shifts=TWO), "two", (30, 64, 200)),
    Row("rate, effect of an edit", "top-1", functools.partial(classifier, shifts=(-0.3, 0.0), noise=0.5, level=0.9), "two", _SMALL),
    Row("AP, effect of an edit", "ap", functools.partial(detector, shifts=(-0.5, 0.0)), "two", _AP),
    Row("mIoU, effect of an edit", "miou", functools.partial(segmenter, shifts=(-0.5, 0.0)), "two", (30, 64, 200)),
    Row("rate, effect − control", "top-1", functools.partial(classifier, shifts=FOUR, noise=0.2, level=0.9), "four", _SMALL),
    Row("AP, effect − control", "ap", functools.partial(detector, shifts=FOUR), "four", _AP),
    Row("mIoU, effect − control", "miou", functools.partial(segmenter, shifts=FOUR), "four", (30, 64, 200)),
)


class Outcome(NamedTuple):
    """Of one row at one n. coverage, below, above: shares of the intervals that hold the truth, and that lie below and above it."""

    n: int
    truth: float
    bias: float
    coverage: float
    below: float
    above: float
    width: float
    zero_width: float


def simulate(row: Row, n: int, repetitions: int, *, whole: int = WHOLE) -> Outcome:
    """The share of `repetitions` intervals of n images that hold the number of `whole` images."""
    metric = METRICS.build(row.metric, labels=LABELS, operating_score=0.25)
    truth = _truth(row, whole)
    made = [_interval(metric, row.world(numpy.random.default_rng([n, k]), n)) for k in range(repetitions)]
    values, lows, highs = numpy.array([(e.value, e.low, e.high) for e in made], dtype=float).T
    below, above = float((highs < truth).mean()), float((lows > truth).mean())
    width = highs - lows
    return Outcome(n, truth, float(values.mean() - truth), 1 - below - above, below, above, float(width.mean()), float((width == 0).mean()))


@functools.cache
def _truth(row: Row, whole: int) -> float:
    metric = METRICS.build(row.metric, labels=LABELS, operating_score=0.25)
    values = [metric.reduce(side) for side in row.world(numpy.random.default_rng(2026), whole)]
    signs = {1: (1,), 2: (1, -1), 4: (1, -1, -1, 1)}[len(values)]
    return float(sum(sign * value for sign, value in zip(signs, values, strict=True)))


def _interval(metric: Metric, sides: Sequence[pyarrow.Array]) -> Estimate:
    if len(sides) == 1:
        return estimate(metric, sides[0])
    ids = pyarrow.array([f"{i:06}" for i in range(len(sides[0]))])
    made = difference_in_differences(metric, *(Column(ids, side) for side in sides))
    return made.net or made.effect


def exact_coverage(a_only: float, b_only: float, n: int) -> float:
    """Of Tango's interval, summed over every outcome: the shares of samples that only A, and only B, has right are known."""
    total = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            chance = comb(n, a) * comb(n - a, b) * a_only**a * b_only**b * (1 - a_only - b_only) ** (n - a - b)
            if chance > 1e-9:
                low, high = tango(a, b, n)
                total += chance * (low <= a_only - b_only <= high)
    return total


def _lines(repetitions: int, only: str, jobs: int) -> Iterator[str]:
    yield "| number | n | truth | bias | covers | below | above | mean width | width 0 |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    wanted = [(row, n) for row in ROWS if only in row.name for n in row.sizes]
    with ProcessPoolExecutor(jobs) as pool:
        for (row, _), one in zip(wanted, pool.map(simulate, *zip(*wanted, strict=True), [repetitions] * len(wanted)), strict=True):
            yield (
                f"| {row.name} | {one.n} | {one.truth:.3f} | {one.bias:+.4f} | {one.coverage:.1%} | {one.below:.1%} | {one.above:.1%} "
                f"| {one.width:.3f} | {one.zero_width:.0%} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    for line in _lines(asked.repetitions, asked.only, asked.jobs):
        print(line, flush=True)
    if not asked.only:
        print("\n| paired rates: only A right, only B right | n = 32 | 64 | 200 |\n| --- | ---: | ---: | ---: |")
        for a, b in ((0.02, 0.0), (0.03, 0.01), (0.05, 0.03), (0.08, 0.06), (0.12, 0.10), (0.20, 0.10)):
            print(f"| {a:.0%}, {b:.0%} | " + " | ".join(f"{exact_coverage(a, b, n):.1%}" for n in (32, 64, 200)) + " |", flush=True)


if __name__ == "__main__":
    main()
