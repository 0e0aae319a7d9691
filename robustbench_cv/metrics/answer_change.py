"""What an edit changes in a model's answer away from the edit: the answers to the edited and to the unedited image, compared.

After Rosenfeld, Zemel, Tsotsos 2018 (arXiv:1808.03305), who move one object over an image and see detections elsewhere come and go. None of
this asks for the truth. Definitions are project choices:

* a detector, at its operating score: boxes on the unedited image with IoU below 0.05 to the edited region's box are *distant*. One
  changed if no box of its class has IoU 0.5 or more with it afterwards: relabelled, if a box of another class has; else moved, if a box of
  its class overlaps it with IoU 0.1 or more; else lost.
* a segmenter: pixels are distant if they lie further from the edited region's box than a tenth of the image's shorter side. One changed if
  its label did.
* a classifier: its answer, which has no place, changed or did not.

Measured on the unedited image of a pair nothing changed, by definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy
import pyarrow

from robustbench_cv.arguments import Fraction
from robustbench_cv.catalogue import metric
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.metric import Metric, Unit
from robustbench_cv.metrics.ratios import Ratio, finite, need
from robustbench_cv.types import BoxPrediction, BoxTarget, ClassPrediction, Edit, Evidence, MaskPrediction, Prediction, Sample

if TYPE_CHECKING:
    from torch import Tensor

CHANGES = pyarrow.struct(
    {
        "label": pyarrow.int32(),
        "distant": pyarrow.int64(),
        "relabelled": pyarrow.int64(),
        "moved": pyarrow.int64(),
        "lost": pyarrow.int64(),
        "new": pyarrow.int32(),
        "misnamed": pyarrow.bool_(),
        "rings": pyarrow.list_(pyarrow.struct({"pixels": pyarrow.int64(), "changed": pyarrow.int64()})),
        "x": pyarrow.float64(),
        "y": pyarrow.float64(),
    }
)
"""The type of the evidence of one image.

label: what is said of the edited region: the class of the surest box with IoU 0.5 or more to its box, the commonest of its pixels, or a
classifier's answer; NOTHING where no box is there. distant: boxes (pixels; the one answer) that could change; relabelled, moved, lost:
those that did (pixels and answers are relabelled). new: classes of boxes that the unedited image has none of, besides that of an object
that was put in. misnamed: boxes overlap the region, none with the class of that object. rings: pixels by their distance from the region's
box, in steps of RINGS. x, y: the centre of the region's box, in shares of the sides.
"""

NOTHING = -1

RINGS = (0.0, 0.05, 0.1, 0.2, 0.4)
"""Where each ring of pixels begins: its distance from the region's box in shares of the shorter side, beyond the first number. The last has
no end."""

DISTANT = 0.1
"""Where distant pixels begin: one of RINGS."""

_IOU, _APART, _NEAR = 0.5, 0.05, 0.1


@metric()
def nonlocal_change(operating_score: Fraction) -> Metric:
    """Of detectors: share of images on which a distant box changed. Of segmenters: share of the distant pixels that changed.

    Of classifiers: share of images with another answer.
    """
    return _ratio("nonlocal-change", operating_score, _changed_images, "no pixel is distant from the edit")


@metric(task="detection")
def nonlocal_lost(operating_score: Fraction) -> Metric:
    """Share of images on which a distant box is lost: nothing like it is left."""
    return _ratio("nonlocal-lost", operating_score, lambda e: _any_of(e, "lost"), "no image")


@metric(task="detection")
def nonlocal_relabelled(operating_score: Fraction) -> Metric:
    """Share of images on which a distant box has another class."""
    return _ratio("nonlocal-relabelled", operating_score, lambda e: _any_of(e, "relabelled"), "no image")


@metric(task="detection")
def nonlocal_moved(operating_score: Fraction) -> Metric:
    """Share of images on which a distant box moved, or has another size."""
    return _ratio("nonlocal-moved", operating_score, lambda e: _any_of(e, "moved"), "no image")


@metric(task="detection")
def nonlocal_boxes(operating_score: Fraction) -> Metric:
    """Share of the distant boxes that are lost, relabelled or moved."""
    return _ratio("nonlocal-boxes", operating_score, lambda e: (_all_changed(e), _numbers(e, "distant")), "no box is distant from the edit")


@metric(task="detection")
def new_classes(operating_score: Fraction) -> Metric:
    """Classes per image that are reported, were not before the edit, and are not that of the object that it put in."""
    return _ratio("new-classes", operating_score, lambda e: _per_image(e, "new"), "no image", unit="count per image", limits=(0.0, None))


@metric(task="detection")
def misnamed(operating_score: Fraction) -> Metric:
    """Share of images on which boxes lie on the object that the edit put in, none of them with its class."""
    return _ratio("misnamed", operating_score, lambda e: _per_image(e, "misnamed"), "no image")


Split = Callable[[pyarrow.Array], tuple[numpy.ndarray, numpy.ndarray]]


def _ratio(
    name: str,
    operating_score: float,
    split: Split,
    undefined: str,
    *,
    unit: Unit = "rate",
    limits: tuple[float, float | None] = (0.0, 1.0),
) -> Metric:
    return Ratio(
        name=name,
        take=lambda prediction, sample: answer_change(prediction, sample, operating_score),
        split=split,
        undefined=undefined,
        higher_is_better=False,
        evidence_key=f"answer-change@{operating_score:g}",
        evidence_type=CHANGES,
        unit=unit,
        range=limits,
    )


def _numbers(evidence: pyarrow.Array, name: str) -> numpy.ndarray:
    values: numpy.ndarray = evidence.field(name).to_numpy(zero_copy_only=False).astype(numpy.float64)
    return values


def _per_image(evidence: pyarrow.Array, name: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    return _numbers(evidence, name), numpy.ones(len(evidence))


def _all_changed(evidence: pyarrow.Array) -> numpy.ndarray:
    total: numpy.ndarray = _numbers(evidence, "relabelled") + _numbers(evidence, "moved") + _numbers(evidence, "lost")
    return total


def _any_of(evidence: pyarrow.Array, name: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    return (_numbers(evidence, name) > 0).astype(numpy.float64), numpy.ones(len(evidence))


def _changed_images(evidence: pyarrow.Array) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Pixels count one by one; of boxes and answers, whether any changed."""
    changed = _all_changed(evidence)
    by_pixel = evidence.field("rings").value_lengths().to_numpy(zero_copy_only=False) > 0
    return numpy.where(by_pixel, changed, changed > 0), numpy.where(by_pixel, _numbers(evidence, "distant"), 1.0)


def answer_change(prediction: Prediction, sample: Sample, operating_score: float) -> Evidence:
    """The evidence of one image. NotApplicable where nothing was edited, or where what is the same has another place."""
    edit = sample.edit
    if edit is None or edit.original is None:
        raise NotApplicable("nothing was edited: there are no two answers to compare")
    if edit.moved and not isinstance(prediction, ClassPrediction):
        raise NotApplicable("the edit gave all pixels another place: answers have no place in common")
    if not bool(edit.region.any()):
        raise NotApplicable("the edit changed no pixel")
    x1, y1, x2, y2 = _extent(edit.region)
    height, width = edit.region.shape
    found: _Found
    if isinstance(prediction, ClassPrediction):
        found = _answers(prediction, need(edit.original, ClassPrediction, "nonlocal-change"))
    elif isinstance(prediction, MaskPrediction):
        found = _pixels(prediction, need(edit.original, MaskPrediction, "nonlocal-change"), edit)
    else:
        found = _boxes(prediction, need(edit.original, BoxPrediction, "nonlocal-change"), edit, operating_score)
    return found._asdict() | {"x": (x1 + x2) / 2 / width, "y": (y1 + y2) / 2 / height}


class _Found(NamedTuple):
    """See CHANGES."""

    label: int
    distant: int
    relabelled: int
    moved: int = 0
    lost: int = 0
    new: int = 0
    misnamed: bool = False
    rings: list[dict[str, int]] = []  # noqa: RUF012 - never changed


def _extent(region: Tensor) -> tuple[float, float, float, float]:
    from robustbench_cv.boxes import from_mask

    x1, y1, x2, y2 = from_mask(region).tolist()
    return x1, y1, x2, y2


def _answers(prediction: ClassPrediction, original: ClassPrediction) -> _Found:
    finite(prediction.probs, "probabilities")
    return _Found(prediction.label, 1, int(prediction.label != original.label))


def _pixels(prediction: MaskPrediction, original: MaskPrediction, edit: Edit) -> _Found:
    import torch

    changed = prediction.labels != original.labels
    height, width = changed.shape
    x1, y1, x2, y2 = _extent(edit.region)
    # from a pixel's centre to the nearest point of the box
    y, x = torch.arange(height, dtype=torch.float64) + 0.5, torch.arange(width, dtype=torch.float64) + 0.5
    down, right = (y1 - y).clamp(min=0) + (y - y2).clamp(min=0), (x1 - x).clamp(min=0) + (x - x2).clamp(min=0)
    distance = torch.hypot(down[:, None], right[None, :]) / min(height, width)
    ring = (torch.bucketize(distance, torch.tensor(RINGS, dtype=torch.float64)) - 1)[distance > 0]
    pixels, hits = (torch.bincount(part, minlength=len(RINGS)).tolist() for part in (ring, ring[changed[distance > 0]]))
    far = RINGS.index(DISTANT)
    label = int(prediction.labels[edit.region].mode().values)
    rings = [{"pixels": n, "changed": k} for n, k in zip(pixels, hits, strict=True)]
    return _Found(label, sum(pixels[far:]), sum(hits[far:]), rings=rings)


def _boxes(prediction: BoxPrediction, original: BoxPrediction, edit: Edit, operating_score: float) -> _Found:
    import torch

    from robustbench_cv.boxes import iou

    (after, labels), (before, known) = (_reported(one, operating_score) for one in (prediction, original))
    place = torch.tensor([_extent(edit.region)], dtype=torch.float64)
    distant = iou(before, place)[:, 0] < _APART
    overlap = iou(before[distant], after)
    same = known[distant][:, None] == labels[None, :]
    alike, touching = overlap >= _IOU, overlap >= _NEAR
    gone = ~(alike & same).any(dim=1)
    relabelled = gone & (alike & ~same).any(dim=1)
    moved = gone & ~relabelled & (touching & same).any(dim=1)
    own = _classes_put_in(edit)
    here = labels[iou(after, place)[:, 0] >= _IOU].tolist()
    return _Found(
        here[0] if here else NOTHING,
        int(distant.sum()),
        int(relabelled.sum()),
        int(moved.sum()),
        int((gone & ~relabelled & ~moved).sum()),
        len(set(labels.tolist()) - set(known.tolist()) - own),
        bool(here) and bool(own) and not own & set(here),
    )


def _classes_put_in(edit: Edit) -> set[int]:
    """Of the object that the edit put in, or its placebo would have, where the model knows it."""
    if not edit.adds or not isinstance(edit.subject, BoxTarget):
        return set()
    return {label for label in edit.subject.labels.tolist() if label >= 0}


def _reported(prediction: BoxPrediction, operating_score: float) -> tuple[Tensor, Tensor]:
    """Boxes (D, 4) in float64 and labels (D,) at the operating score, the surest first."""
    finite(prediction.boxes, "boxes")
    kept = finite(prediction.scores, "scores") >= operating_score
    order = prediction.scores[kept].argsort(descending=True, stable=True)
    return prediction.boxes[kept][order].double(), prediction.labels[kept][order]
