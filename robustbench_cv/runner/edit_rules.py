"""What every edit must keep, whoever wrote it: looked at on every sample of a run, since a broken rule gives numbers like any other.

S33: an edit that changes pixels outside its region, or a placebo on the very object, is measured as an effect of the context.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robustbench_cv.errors import ForeignError, NotApplicable
from robustbench_cv.interventions.object_selection import objects
from robustbench_cv.types import IGNORE, BoxTarget, MaskTarget, Sample


def require_rules(before: Sample, after: Sample, whose: str, *, placebo: bool) -> None:
    """ForeignError naming the rule that an edit breaks: to say what it edited, change nothing else, and give an image; of a placebo, to
    leave the objects that its edit is about as they are.

    An image of another size (published ones) has no pixels in common to compare: its edit says that they moved, and is no placebo.
    """
    if not isinstance(after, Sample):
        raise ForeignError(f"{whose} returned a {type(after).__name__}; an intervention returns a Sample")
    if after.edit is None and torch.equal(after.image, before.image):
        return  # nothing was done
    if after.edit is None:
        raise ForeignError(f"{whose} returned a sample without `edit`, which says what was changed and what the pair is scored on")
    _require_image(before.image, after.image, whose)
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


def _require_image(before: Tensor, image: Tensor, whose: str) -> None:
    if image.dtype != before.dtype:
        raise ForeignError(f"{whose} gave an image of {image.dtype} for one of {before.dtype}; cast it back")
    if image.ndim != 3 or image.shape[0] != 3 or not bool(((image >= 0) & (image <= 1)).all()):
        way_out = "; divide by 255" if image.numel() and 1 < float(image.max()) <= 255 and float(image.min()) >= 0 else ""
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
