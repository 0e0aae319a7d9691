"""COCO average precision as one would write it down: loops, one decision at a time. Slow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robustbench_cv.types import BoxPrediction, Sample

THRESHOLDS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
AREAS = {"all": (0, 1e10), "small": (0, 1024), "medium": (1024, 9216), "large": (9216, 1e10)}

Pair = tuple[BoxPrediction, Sample]


def average_precision(
    pairs: Sequence[Pair], thresholds: Sequence[float] = THRESHOLDS, size: str = "all", masks: bool = False
) -> float | None:
    """None where no class has an object. Images rank by id. masks: objects overlap by their pixels instead of their boxes."""
    pairs = sorted(pairs, key=lambda p: p[1].id)
    classes = {int(c) for _, s in pairs for c in s.target.labels} | {int(c) for p, _ in pairs for c in p.labels}
    values = []
    for c in classes:
        for t in thresholds:
            value = _one(pairs, c, t, AREAS[size], masks)
            if value is not None:
                values.append(value)
    return sum(values) / len(values) if values else None


def _one(pairs: Sequence[Pair], c: int, threshold: float, area: tuple[float, float], masks: bool) -> float | None:
    judged, objects = [], 0
    for prediction, sample in pairs:
        verdicts, count = _judge(prediction, sample, c, threshold, area, masks)
        judged += verdicts
        objects += count
    if objects == 0:
        return None
    judged.sort(key=lambda v: -v[0])
    points, right, wrong = [], 0, 0
    for _, verdict in judged:
        right += verdict == "right"
        wrong += verdict == "wrong"
        if verdict != "ignored":
            points.append((right / objects, right / (right + wrong)))
    total = 0.0
    for k in range(101):
        # 0.01 k, not k / 100: numpy.linspace's last bits, hence the standard's.
        total += max([p for r, p in points if r >= min(k * 0.01, 1.0)], default=0.0)
    return total / 101


def only(prediction, sample, c):
    """A pair with one class alone."""
    target = sample.target.select(sample.target.labels == c)
    return prediction.select(prediction.labels == c), replace(sample, target=target)


def matched(prediction, sample, c, threshold):
    """The scores of the true positives of a class in one image, and the number of its objects."""
    verdicts, count = _judge(prediction, sample, c, threshold, AREAS["all"], masks=False)
    return [score for score, verdict in verdicts if verdict == "right"], count


def _judge(prediction, sample, c, threshold, area, masks):
    target = sample.target
    true_shapes, found_shapes = (_pixels(t.masks) if masks else t.boxes.tolist() for t in (target, prediction))
    truths = [
        (shape, bool(crowd), bool(crowd) or not area[0] <= float(a) <= area[1])
        for shape, label, crowd, a in zip(true_shapes, target.labels, target.crowd, target.area, strict=True)
        if int(label) == c
    ]
    truths.sort(key=lambda t: t[2])
    found = [(float(s), b) for b, s, label in zip(found_shapes, prediction.scores, prediction.labels, strict=True) if int(label) == c]
    found.sort(key=lambda f: -f[0])
    taken, verdicts = set(), []
    for score, box in found[:100]:
        best, best_iou = None, min(threshold, 1 - 1e-10)
        for k, (truth, crowd, ignored) in enumerate(truths):
            if k in taken and not crowd:
                continue
            if best is not None and not truths[best][2] and ignored:
                break
            overlap = (pixel_iou if masks else iou)(box, truth, crowd)
            if overlap >= best_iou:
                best, best_iou = k, overlap
        own = len(box) if masks else (box[2] - box[0]) * (box[3] - box[1])
        if best is not None:
            taken.add(best)
            verdicts.append((score, "ignored" if truths[best][2] else "right"))
        else:
            verdicts.append((score, "wrong" if area[0] <= own <= area[1] else "ignored"))
    return verdicts, sum(not ignored for *_, ignored in truths)


def iou(box, truth, crowd=False):
    """Of two xyxy lists; over the box alone for a crowd."""
    width = min(box[2], truth[2]) - max(box[0], truth[0])
    height = min(box[3], truth[3]) - max(box[1], truth[1])
    if width <= 0 or height <= 0:
        return 0.0
    own, other = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, truth))
    return width * height / (own if crowd else own + other - width * height)


def pixel_iou(found, truth, crowd=False):
    """Of two sets of pixels; over the first alone for a crowd."""
    shared = len(found & truth)
    return shared / (len(found) if crowd else len(found | truth)) if shared else 0.0


def _pixels(masks):
    return [{(y, x) for y, row in enumerate(mask.tolist()) for x, on in enumerate(row) if on} for mask in masks]
