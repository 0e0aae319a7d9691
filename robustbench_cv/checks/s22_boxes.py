"""S22: are boxes xyxy in pixels, on both sides?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.catalogue import METRICS, check
from robustbench_cv.checks.check import Before, Finding, Preflight
from robustbench_cv.checks.quality import Comparison, best, compare, predictions
from robustbench_cv.errors import NotApplicable
from robustbench_cv.types import BoxPrediction, BoxTarget, Sample

Reading = Callable[[Tensor, int, int], Tensor]


@check(stage="before")
def s22_boxes() -> Before:
    """Boxes lie in the image with x2 > x1, ground truth fed back scores AP 1, and no other reading of either side's boxes fits better."""
    return _examine


READINGS: dict[str, Reading] = {
    "x, y, width, height": lambda b, h, w: torch.cat([b[:, :2], b[:, :2] + b[:, 2:]], 1),
    "centre x, centre y, width, height": lambda b, h, w: torch.cat([b[:, :2] - b[:, 2:] / 2, b[:, :2] + b[:, 2:] / 2], 1),
    "y1, x1, y2, x2": lambda b, h, w: b[:, [1, 0, 3, 2]],
    "xyxy in 0-1": lambda b, h, w: b * b.new_tensor([w, h, w, h]),
}
"""What a box (N, 4) may have been meant as: to xyxy pixels of an image of height h and width w."""


def _examine(subject: Preflight) -> Finding:
    title = "box format"
    if subject.task != "detection":
        return Finding("S22", title, "not applicable", "the task has no boxes")
    bad = [s for s in subject.samples if not _is_sound(s)]
    found = [p for p in predictions(subject) if isinstance(p, BoxPrediction)]
    misread = best(_readings(subject, found))
    if misread is not None:
        remedy = "give boxes as x1, y1, x2, y2 in pixels of the image itself"
        return Finding("S22", title, "stop", str(misread), f"{misread.name}: {remedy}")
    if bad:
        evidence = f"{len(bad)} of {len(subject.samples)} images have boxes outside them or with x2 <= x1, first {bad[0].id!r}"
        return Finding("S22", title, "stop", evidence, "give the data's boxes as x1, y1, x2, y2 in pixels, inside the image")
    try:
        perfect = _own_truth(subject)
    except NotApplicable as reason:
        return Finding("S22", title, "not applicable", str(reason), "give samples with annotated objects")
    if perfect < 1 - 1e-9:
        return Finding("S22", title, "stop", f"ground truth fed as predictions scores AP {perfect:.4f}", "look for duplicate boxes")
    return Finding("S22", title, "pass", f"ground truth fed as predictions scores AP 1; {len(READINGS)} other readings fit no better")


def _is_sound(sample: Sample) -> bool:
    assert isinstance(sample.target, BoxTarget)
    height, width = sample.image.shape[1:]
    b = sample.target.boxes
    inside = (b[:, :2] >= -1).all() & (b[:, 2] <= width + 1).all() & (b[:, 3] <= height + 1).all()
    return bool(inside & (b[:, 2:] > b[:, :2]).all())


def _own_truth(subject: Preflight) -> float:
    ap = METRICS.build("ap")
    evidence = []
    for sample in subject.samples:
        target = sample.target
        assert isinstance(target, BoxTarget)
        real = ~target.crowd
        truth = BoxPrediction(target.boxes[real], torch.ones(int(real.sum())), target.labels[real])
        evidence.append(ap.measure(truth, replace(sample, edit=None)))
    return ap.reduce(evidence)


def _readings(subject: Preflight, found: list[BoxPrediction]) -> list[Comparison]:
    """Each reading of the data's boxes, and of the model's, against both as declared."""
    declared = numpy.array([_fit(s, p, None, None) for s, p in zip(subject.samples, found, strict=True)])
    out = []
    for name, reading in READINGS.items():
        for side, pair in (("data", (reading, None)), ("model", (None, reading))):
            changed = numpy.array([_fit(s, p, *pair) for s, p in zip(subject.samples, found, strict=True)])
            out.append(compare(f"the {side}'s boxes read as {name}", declared, changed))
    return out


def _fit(sample: Sample, prediction: BoxPrediction, of_data: Reading | None, of_model: Reading | None) -> float:
    """Mean over objects of the best overlap with any of the surest detections (as many again, and five more): in [0, 1]."""
    assert isinstance(sample.target, BoxTarget)
    height, width = sample.image.shape[1:]
    truth, guess = sample.target.boxes, prediction.boxes[: 2 * len(sample.target.boxes) + 5]
    truth = truth if of_data is None else of_data(truth, height, width)
    guess = guess if of_model is None else of_model(guess, height, width)
    if len(truth) == 0 or len(guess) == 0:
        return 0.0
    return float(boxes.iou(truth, guess).amax(1).mean())
