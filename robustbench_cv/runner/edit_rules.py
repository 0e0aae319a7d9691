"""What every edit must keep, whoever wrote it: looked at on every sample of a run, since a broken rule gives numbers like any other.

S33: an edit that changes pixels outside its region, or a placebo on the very object, is measured as an effect of the context.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.errors import ForeignError, NotApplicable
from robustbench_cv.interventions.object_selection import objects
from robustbench_cv.types import ABSENT, IGNORE, BoxTarget, ClassTarget, Edit, Labels, MaskTarget, Sample, Target


def require_rules(before: Sample, after: Sample, whose: str, labels: Labels, *, placebo: bool) -> None:
    """ForeignError naming the rule that an edit breaks: to say what it edited, change nothing else, and give an image and a target in the
    data's classes (labels); of a placebo, to leave the objects that its edit is about as they are.

    An image of another size (published ones) has no pixels in common to compare: its edit says that they moved, and is no placebo.
    """
    if not isinstance(after, Sample):
        raise ForeignError(f"{whose} returned a {type(after).__name__}; an intervention returns a Sample")
    if after.id != before.id:
        raise ForeignError(f"{whose} returned a sample of another id, {after.id!r}; an edit keeps the id, by which pairs are found")
    require_target(after.image, after.target, before.target, whose, "target", labels)
    if after.edit is None and torch.equal(after.image, before.image):
        return  # nothing was done
    if after.edit is None:
        raise ForeignError(f"{whose} returned a sample without `edit`, which says what was changed and what the pair is scored on")
    _require_image(before.image, after.image, whose)
    require_target(before.image, after.edit.before, before.target, whose, "edit.before", labels)
    _require_facts(before, after, after.edit, whose, labels)
    region, size = after.edit.region, tuple(after.image.shape[-2:])
    if region.dtype != torch.bool or tuple(region.shape) != size:
        raise ForeignError(f"{whose} has an edit.region of {region.dtype} {tuple(region.shape)}; it is torch.bool {size}, as the image")
    if after.image.shape != before.image.shape:
        if after.edit.moved and not placebo:
            return
        raise ForeignError(
            f"{whose} gave an image of {size} for one of {tuple(before.image.shape[-2:])} (H, W): "
            + ("a placebo keeps the size" if placebo else "keep the size, or say edit.moved where the pixels have another place")
        )
    changed = (after.image != before.image).any(dim=0)
    outside = changed & ~region
    if bool(outside.any()):
        y, x = outside.nonzero()[0].tolist()
        raise ForeignError(
            f"{whose} changes {int(outside.sum())} pixels outside its region, the first at row {y}, column {x}: put them back, or add them "
            "to edit.region, since what is outside counts as untouched"
        )
    if not placebo:
        return
    harmed = changed & _subject(before, after)
    if bool(harmed.any()):
        raise ForeignError(
            f"{whose} is a placebo and changes {int(harmed.sum())} pixels of the objects themselves: what it costs would be taken off the "
            "object's own effect; put it where no object is"
        )


def require_same(made: Sample, again: Sample, whose: str) -> None:
    """ForeignError where two calls with the same sample and noise gave different edits: no run of it could be repeated."""
    if not torch.equal(made.image, again.image):
        pixels = int((made.image != again.image).any(dim=0).sum()) if made.image.shape == again.image.shape else made.image[0].numel()
        raise ForeignError(
            f"{whose} gave another picture when it was asked again ({pixels} pixels differ): draw random numbers from the `noise` that it "
            "is given (noise.fork(...).rng()), not from a global generator, a counter or a clock"
        )


def _require_facts(before: Sample, after: Sample, edit: Edit, whose: str, labels: Labels) -> None:
    """That what the edit says of itself can be true."""
    if edit.share is not None and not 0 <= edit.share <= 1:
        raise ForeignError(f"{whose} has an edit.share of {edit.share}; it is the covered share of the object's mask, from 0 to 1")
    taken = edit.removed - (before.edit.removed if before.edit is not None else frozenset())
    known = {*labels.names, *(name[6:] for name in before.regions if name.startswith("class:"))}
    if unknown := sorted(taken - known):
        raise ForeignError(
            f"{whose} says that it removed {', '.join(map(repr, unknown))}; the data's classes are {', '.join(labels.names)}"
        )
    if taken and torch.equal(after.image, before.image):
        raise ForeignError(f"{whose} says that it removed {', '.join(sorted(taken))}, and changed no pixel")


def require_target(image: Tensor, target: Target, like: Target, whose: str, called: str, labels: Labels) -> None:
    """ForeignError where a target is of another kind than `like`, or does not fit its image (3, H, W) and the data's classes."""
    if type(target) is not type(like):
        raise ForeignError(f"{whose} has a {called} that is a {type(target).__name__}; of these data it is a {type(like).__name__}")
    if target is like and image.ndim == 3:
        return
    size, wrong = tuple(image.shape[-2:]), ""
    if isinstance(target, ClassTarget):
        if target.label != ABSENT and not 0 <= target.label < len(labels):
            wrong = f"the label {target.label}"
    elif isinstance(target, MaskTarget):
        if tuple(target.labels.shape) != size:
            wrong = f"a label map of {tuple(target.labels.shape)} for an image of {size} (H, W)"
        elif bool(((target.labels < 0) | ((target.labels >= len(labels)) & (target.labels != IGNORE))).any()):
            wrong = "a class index that is none of these"
    else:
        wrong = _wrong_boxes(target, size, len(labels))
    if wrong:
        raise ForeignError(f"{whose} has a {called} with {wrong}; classes are 0 to {len(labels) - 1}: {', '.join(labels.names)}")


OUTSIDE_PX = 1.0
"""How far a box may leave its image, for rounding (project choice)."""


def _wrong_boxes(target: BoxTarget, size: tuple[int, ...], classes: int) -> str:
    boxes, (height, width) = target.boxes, size
    if len(boxes) != len(target.labels):
        return f"{len(boxes)} boxes and {len(target.labels)} labels"
    if not bool(boxes.isfinite().all()):
        return "a box that is not finite"
    limits = torch.tensor([width, height, width, height]) + OUTSIDE_PX
    if bool(((boxes < -OUTSIDE_PX) | (boxes > limits)).any()):
        return f"a box outside its image of {height} x {width} (H x W) pixels"
    if bool((target.labels >= classes).any()):
        return f"the label {int(target.labels.max())}"
    return ""


def _require_image(before: Tensor, image: Tensor, whose: str) -> None:
    if image.dtype != before.dtype:
        raise ForeignError(f"{whose} gave an image of {image.dtype} for one of {before.dtype}; cast it back")
    if image.ndim != 3 or image.shape[0] != 3 or not bool(((image >= 0) & (image <= 1)).all()):
        highest = float(image.max()) if image.numel() else 0.0
        way_out = "; divide by 255" if 2 < highest <= 255 and float(image.min()) >= 0 else "; clamp it" if highest <= 2 else ""
        raise ForeignError(
            f"{whose} gave an image of shape {tuple(image.shape)} from {_extremes(image)}; it is (3, H, W) in [0, 1]{way_out}"
        )


def _extremes(image: Tensor) -> str:
    return f"{float(image.min()):g} to {float(image.max()):g}" if image.numel() else "no pixel"


def _subject(before: Sample, after: Sample) -> Tensor:
    """The pixels of the objects that the edit is about: what it says, else the labelled object, else all; none where nothing tells, or
    where the object is none of this image."""
    edit, nothing = after.edit, torch.zeros(before.image.shape[-2:], dtype=torch.bool)
    if edit is not None and edit.adds:
        return nothing
    subject = None if edit is None else edit.subject
    if isinstance(subject, MaskTarget):
        return subject.labels != IGNORE
    if isinstance(subject, BoxTarget) and isinstance(before.target, BoxTarget):
        masks = [before.regions.get(f"instance:{k}") for k in range(len(before.target.boxes)) if _is_among(k, before.target, subject)]
        for mask in masks:
            nothing = nothing if mask is None else nothing | mask
        return nothing
    if "object" in before.regions:
        return before.regions["object"]
    try:
        return objects(before)
    except NotApplicable:
        return nothing


def _is_among(k: int, target: BoxTarget, subject: BoxTarget) -> bool:
    return bool((subject.boxes == target.boxes[k]).all(dim=1).any())
