"""S22: are boxes xyxy in pixels, on both sides?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy
import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.catalogue import METRICS, check
from robustbench_cv.check_findings import Finding, Fix
from robustbench_cv.checks.box_frames import learn, pairs_of, reframed
from robustbench_cv.checks.box_readings import READINGS, Reading, readings_of_file, readings_of_model
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.checks.compare_readings import Comparison, Quality, best, compare
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.coco_matching import MAX_DETECTIONS
from robustbench_cv.model_from_predictions import BoxFormat, ClosedModel
from robustbench_cv.types import AnyModel, BoxPrediction, BoxTarget, Sample

_TITLE = "box format"
_CHANCE = 0.35
"""Overlap that so many boxes may reach by luck (project choice; untrained detectors reach less)."""

_WAY_OUT = "give boxes as x1, y1, x2, y2 in pixels of the image itself"


Side = Literal["data", "model"]


@dataclass(frozen=True)
class _Attempt:
    """A reading of the boxes of one side, and how it compared with the declared one."""

    side: Side
    format: str
    reading: Reading
    comparison: Comparison

    @property
    def meant(self) -> str:
        return f"the {self.side}'s boxes are {self.format}"


@check(
    stage="before",
    needs="s32-class-count",
    cost="passes",
    action="stop note",
    gives="the overlap as declared and under the best other reading or frame; the AP of the ground truth itself",
)
def s22_boxes() -> Before:
    """Boxes lie in the image with x2 > x1, ground truth fed back scores AP 1, and no other reading of either side's boxes fits better."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    if subject.task != "detection":
        return Finding("S22", _TITLE, "not applicable", "the task has no boxes")
    samples = [s for s in subject.samples if isinstance(s.target, BoxTarget) and len(s.target.boxes)]
    if not samples:
        return Finding("S22", _TITLE, "not applicable", "no sample has annotated objects")
    predictions = [
        p for p, s in zip(subject.clean_predictions, subject.samples, strict=True) if isinstance(p, BoxPrediction) and s in samples
    ]
    return _of_fit(samples, predictions, subject.model) or _of_data(samples) or _of_truth(samples, subject)


def _of_fit(samples: Sequence[Sample], predictions: Sequence[BoxPrediction], model: AnyModel) -> Finding | None:
    """Whether the boxes of model and data agree under another reading."""
    surest = [p.boxes[: 2 * len(_truth(s)) + 5] for p, s in zip(predictions, samples, strict=True)]
    declared = _fit([_truth(s) for s in samples], surest)
    sides: dict[Side, dict[str, Reading]] = {"data": READINGS, "model": _readings_of_model(model)}
    tried = (_attempt(side, name, reading, samples, surest, declared) for side in sides for name, reading in sides[side].items())
    attempts = [attempt for attempt in tried if attempt is not None]
    better = best([attempt.comparison for attempt in attempts])
    if better is not None and better.verdict == "stop":
        chosen = next(attempt for attempt in attempts if attempt.comparison.name == better.name)
        alike = [a for a in attempts if abs(a.comparison.changed - better.changed) < 1e-6 and a.comparison.is_better]
        box_format = model.box_format if isinstance(model, ClosedModel) and chosen.side == "model" else ""
        # Swapping axes on one side is as good as on the other: then only the user can tell.
        meant = f"either {alike[0].comparison.name}, or {alike[1].comparison.name}" if len(alike) > 1 else chosen.meant
        remedy = f"{meant}: {_as_in_file(box_format) if box_format else _WAY_OUT}"
        place = _PLACE.format("model or data" if len(alike) > 1 else chosen.side)
        fix = None if box_format else Fix(chosen.reading.code, place)
        return Finding("S22", _TITLE, "stop", str(better), remedy, gain=better.gain, fix=fix)
    return _of_frame(samples, predictions, surest, declared)


def _readings_of_model(model: AnyModel) -> dict[str, Reading]:
    """What a model's boxes may have been meant as. Of a file of detections, in the terms in which the file writes boxes."""
    of_file = model.box_format if isinstance(model, ClosedModel) else ""
    return readings_of_file(of_file) if of_file else readings_of_model()


def _attempt(
    side: Side, name: str, reading: Reading, samples: Sequence[Sample], surest: Sequence[Tensor], declared: Quality
) -> _Attempt | None:
    """None where boxes read so would leave their images. surest: of each sample, the model's surest boxes (N, 4)."""
    truth = [_truth(s) for s in samples]
    meant = [reading(b, *_size(s)) for b, s in zip(truth if side == "data" else surest, samples, strict=True)]
    if not _all_inside(samples, meant):
        return None
    fit = _fit(meant, surest) if side == "data" else _fit(truth, meant)
    return _Attempt(side, name, reading, compare(f"the {side}'s boxes read as {name}", declared, fit))


def _as_in_file(box_format: BoxFormat) -> str:
    return f"write them as {box_format}{'' if READINGS[box_format].relative else ' in pixels'}, as this kind of file has them"


def _of_frame(
    samples: Sequence[Sample], predictions: Sequence[BoxPrediction], surest: Sequence[Tensor], declared: Quality
) -> Finding | None:
    """Whether the model's boxes lie in another frame: that of another input size, of a letterbox, mirrored, or some pixels off."""
    tried = []
    for shares in (False, True):
        moved = reframed(samples, predictions, surest, shares=shares)
        if moved is not None:
            name = f"the model's boxes in another frame, {'in shares of the sides' if shares else 'in pixels'}"
            tried.append((shares, compare(name, declared, _fit([_truth(s) for s in samples], moved))))
    better = best([c for _, c in tried])
    if better is None or better.verdict != "stop":
        return None
    shares = next(s for s, c in tried if c.name == better.name)
    frame = learn([pair for s, p in zip(samples, predictions, strict=True) for pair in pairs_of(s, p)], shares=shares)
    remedy = (
        f"the model's boxes fit after {frame}: give them in pixels of the image handed over (undo resizing, letterbox, mirroring, offsets "
        "inside the model), or give annotations in the frame of the images, if these were padded or mirrored without them"
    )
    fix = None if frame is None else Fix(frame.code, _PLACE.format("model"))
    return Finding("S22", _TITLE, "stop", str(better), remedy, gain=better.gain, fix=fix)


_PLACE = "where the {}'s boxes are made; (..., 4), height and width of their image in px"


def _of_data(samples: Sequence[Sample]) -> Finding | None:
    """Whether the data's boxes are possible as declared, whatever the model says."""
    bad = [s for s in samples if not bool(_inside(_truth(s), *_size(s), slack=0.01).all())]
    tiny = all(float(_truth(s).max()) <= 1.01 for s in samples)
    if not bad and not tiny:
        return None
    evidence = f"{len(bad)} of {len(samples)} images have boxes outside them or with x2 <= x1" + (f", first {bad[0].id!r}" * bool(bad))
    if tiny:
        evidence = "no coordinate exceeds 1: shares of the image, not pixels?"
    fitting = {name: reading for name, reading in READINGS.items() if reading.relative == tiny}
    possible = [name for name, reading in fitting.items() if _all_inside(samples, [reading(_truth(s), *_size(s)) for s in samples])]
    side = _PLACE.format("data")
    fix = Fix(READINGS[possible[0]].code, side) if len(possible) == 1 else None
    hint = f" (all would be possible as {' or as '.join(possible)})" if possible else ""
    return Finding("S22", _TITLE, "stop", evidence, f"the data's boxes{hint}: {_WAY_OUT}", fix=fix)


def _of_truth(samples: Sequence[Sample], subject: Preflight) -> Finding:
    """Whether the data's own boxes, handed back as predictions, are judged perfect."""
    try:
        perfect = _own_truth([part for s in samples for part in _countable(s)])
        scored = _own_truth(samples)
    except NotApplicable as reason:
        return Finding("S22", _TITLE, "not applicable", str(reason), "give samples with annotated objects")
    if perfect < 1 - 1e-9:
        return Finding("S22", _TITLE, "stop", f"ground truth fed as predictions scores AP {perfect:.4f}", "look for duplicate boxes")
    if scored < 1 - 1e-9:
        return _capped_finding(samples, subject, scored)
    evidence = f"ground truth of {len(samples)} images fed as predictions scores AP 1"
    told = any(isinstance(p, BoxPrediction) and len(p.boxes) for p in subject.clean_predictions)
    said = "no other reading of either side's boxes fits better" if told else "the model reports no box, so nothing is known of its own"
    return Finding("S22", _TITLE, "pass", f"{evidence}; {said}")


def _capped_finding(samples: Sequence[Sample], subject: Preflight, scored: float) -> Finding:
    """Of data that hold more objects of a class in an image than average precision looks at: no fault of anybody's."""
    counts = [_real(s).labels.bincount() for s in samples if len(_real(s).labels)]
    fullest = max(counts, key=lambda c: int(c.max()))
    crowded = sum(bool((c > MAX_DETECTIONS).any()) for c in counts)
    name = subject.model.info.classes.names[int(fullest.argmax())]
    evidence = (
        f"{crowded} of {len(samples)} images hold more than {MAX_DETECTIONS} objects of one class, up to {int(fullest.max())} ({name!r}); "
        f"COCO's average precision counts {MAX_DETECTIONS} detections of a class in an image, so that a perfect detector scores "
        f"AP {scored:.3f} here"
    )
    remedy = "judge such images by detection-rate as well, or cut them into tiles of fewer objects"
    return Finding("S22", _TITLE, "note", evidence, remedy, code="detections-capped")


def _own_truth(samples: Sequence[Sample]) -> float:
    """Average precision of the data's own boxes, handed back as predictions."""
    ap = METRICS.build("ap")
    evidence = []
    for sample in samples:
        real = _real(sample)
        evidence.append(ap.measure(BoxPrediction(real.boxes, torch.ones(len(real.boxes)), real.labels), replace(sample, edit=None)))
    return ap.reduce(evidence)


def _real(sample: Sample) -> BoxTarget:
    """The annotated objects that are scored."""
    assert isinstance(sample.target, BoxTarget)
    return sample.target.select((~sample.target.crowd & (sample.target.labels >= 0)).nonzero()[:, 0])


def _countable(sample: Sample) -> Iterator[Sample]:
    """The sample, in parts of as many objects as average precision counts in an image."""
    real = _real(sample)
    for first in range(0, len(real.boxes), MAX_DETECTIONS):
        part = real.select(torch.arange(first, min(first + MAX_DETECTIONS, len(real.boxes))))
        yield replace(sample, id=f"{sample.id} from {first}", target=part, regions={}, edit=None)


def _truth(sample: Sample) -> Tensor:
    assert isinstance(sample.target, BoxTarget)
    return sample.target.boxes


def _size(sample: Sample) -> tuple[int, int]:
    height, width = sample.image.shape[1:]
    return height, width


def _all_inside(samples: Sequence[Sample], predicted: Sequence[Tensor]) -> bool:
    """Whether nine in ten boxes lie in their image, give or take a tenth of its side: a detector may err, a format may not."""
    inside = torch.cat([_inside(b, *_size(s), slack=0.1) for s, b in zip(samples, predicted, strict=True)])
    return len(inside) > 0 and float(inside.float().mean()) >= 0.9


def _inside(b: Tensor, height: int, width: int, *, slack: float) -> Tensor:
    """bool (N,): whether boxes (N, 4) have an area and leave the image by no more than one pixel and `slack` of its side."""
    x, y = 1 + slack * width, 1 + slack * height
    inside = (b[:, 0] >= -x) & (b[:, 1] >= -y) & (b[:, 2] <= width + x) & (b[:, 3] <= height + y)
    return inside & (b[:, 2:] > b[:, :2]).all(1)


def _fit(truth: Sequence[Tensor], predicted: Sequence[Tensor]) -> Quality:
    """Of each sample, the mean over its objects of the best overlap with any of the surest detections (twice as many, and five more)."""
    best_overlap = [boxes.iou(t, f).amax(1) if len(f) else torch.zeros(len(t)) for t, f in zip(truth, predicted, strict=True)]
    fit = numpy.array([float(o.mean()) for o in best_overlap])
    return Quality(fit, fit, float(fit.mean()) - _CHANCE)
