"""How targets and regions follow an edit, so that the edited and the unedited image are scored on the same things.

Every edited sample carries `edit.before`, the target of the unedited image in the pair. In segmentation the same pixel positions count in
both. In detection the objects that the edit took are crowd (ignored) in `before` and gone from the target, and objects that it damaged are
crowd in both. `before` lists the target's objects first, in the same order, so that a second edit can follow a first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.object_selection import MEMBER, instances, members, named_region, share
from robustbench_cv.noise import Noise
from robustbench_cv.types import ABSENT, IGNORE, BoxTarget, ClassTarget, Edit, MaskTarget, Sample, Target

DAMAGED = 0.25
"""An object that loses more than this share of its visible pixels to another one's edit is no longer scored (project choice)."""


def paired_noise(noise: Noise, purpose: str) -> Noise:
    """The streams of this sample for `purpose`, the same under every condition: an edit and its control choose the same object."""
    return Noise(noise.seed, noise.ids, purpose)


def origin(sample: Sample) -> Target:
    """The target of the unedited image: of the sample itself, or of what an earlier edit started from."""
    return sample.target if sample.edit is None else sample.edit.before


def ignore_pixels(target: Target, region: Tensor) -> Target:
    """A label map with the region's pixels ignored; other targets as they are."""
    if isinstance(target, MaskTarget):
        return MaskTarget(target.labels.masked_fill(region, IGNORE))
    return target


def as_crowd(target: Target, indices: Collection[int]) -> Target:
    """Boxes with these objects turned to crowd; other targets as they are."""
    if not isinstance(target, BoxTarget) or not indices:
        return target
    crowd = target.crowd.clone()
    crowd[sorted(indices)] = True
    return replace(target, crowd=crowd)


def keep_objects(target: BoxTarget, before: BoxTarget, kept: list[int]) -> tuple[BoxTarget, BoxTarget]:
    """Only the objects `kept`: the new target, and its `before`, which holds all others behind them as crowd."""
    others = [k for k in range(len(before.boxes)) if k not in set(kept)]
    ordered = as_crowd(before.select(torch.tensor(kept + others, dtype=torch.long)), range(len(kept), len(before.boxes)))
    assert isinstance(ordered, BoxTarget)
    return target.select(torch.tensor(kept, dtype=torch.long)), ordered


def erase_objects(sample: Sample, taken: Tensor, region: Tensor) -> tuple[Target, Target, frozenset[int]]:
    """Target, `before` and the indices of the objects gone, after the objects in `taken` were erased by an edit of `region`.

    NotApplicable where the edit damages the labelled object of a classification sample without removing it.
    """
    masks = instances(sample)
    gone = frozenset(
        k for k, visible in masks.items() if share(visible, taken) >= MEMBER or (visible.any() and not (visible & ~region).any())
    )
    target, before = sample.target, origin(sample)
    if isinstance(target, ClassTarget):
        after = label_without(sample, target, taken)
        if after is target and target.label != ABSENT and share(named_region(sample, "object"), region) > DAMAGED:
            raise NotApplicable(f"the edit would cover over {DAMAGED:.0%} of the labelled object of sample {sample.id}")
        return after, before, gone
    if isinstance(target, BoxTarget) and isinstance(before, BoxTarget):
        kept = [k for k in range(len(target.boxes)) if k not in gone]
        target, before = keep_objects(target, before, kept)
        damaged = [i for i, k in enumerate(kept) if share(masks[k], region) > DAMAGED]
        return as_crowd(target, damaged), as_crowd(before, damaged), gone
    return ignore_pixels(target, region), ignore_pixels(before, region), gone


def label_without(sample: Sample, target: ClassTarget, taken: Tensor) -> ClassTarget:
    """The label after `taken` was erased: ABSENT if the labelled object was in it, else as it was."""
    if target.label == ABSENT or share(named_region(sample, "object"), taken) < MEMBER:
        return target
    return ClassTarget(ABSENT)


def cut_regions(sample: Sample, region: Tensor, gone: Collection[int] = ()) -> dict[str, Tensor]:
    """The sample's regions less the edited pixels; objects gone are dropped and the others numbered anew. Amodal masks stay whole."""
    kept = [k for k in instances(sample) if k not in gone]
    number = {k: i for i, k in enumerate(kept)}
    out: dict[str, Tensor] = {}
    for name, mask in sample.regions.items():
        kind, colon, index = name.partition(":")
        if kind in ("instance", "amodal"):
            if int(index) in number:
                out[f"{kind}{colon}{number[int(index)]}"] = mask.clone() if kind == "amodal" else mask & ~region
        elif name == "objects" or (mask & ~region).any():
            out[name] = mask & ~region
    return out


def lost_classes(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> frozenset[str]:
    """Names of the classes that had visible pixels before and have none after."""
    return frozenset(name[6:] for name, mask in before.items() if name.startswith("class:") and mask.any() and not _any(after.get(name)))


def _any(mask: Tensor | None) -> bool:
    return mask is not None and bool(mask.any())


def subject_of(sample: Sample, chosen: Tensor) -> Target:
    """The objects whose visible pixels are chosen, bool (H, W), as a target of their own; see Edit.subject."""
    target = sample.target
    if isinstance(target, ClassTarget):
        main = sample.regions.get("object")
        return target if main is None or share(main, chosen) >= MEMBER else ClassTarget(ABSENT)
    if isinstance(target, BoxTarget):
        return target.select(torch.tensor([k for k in members(sample, chosen) if not target.crowd[k]], dtype=torch.long))
    return ignore_pixels(target, ~chosen)


def make_edited(
    sample: Sample,
    kind: str,
    image: Tensor,
    region: Tensor,
    target: Target,
    before: Target,
    regions: Mapping[str, Tensor],
    removed: frozenset[str] = frozenset(),
    share: float | None = None,
    chosen: Tensor | None = None,
    *,
    moved: bool = False,
) -> Sample:
    """The sample after an edit; an earlier edit's region and removed classes are kept. Pixels no longer follow from a description.

    chosen: bool (H, W), the visible pixels of the objects that the edit is about; None: of all. moved: see Edit.moved.

    NotApplicable where label maps would ignore, in the unedited image, the places that pixels have after an earlier edit moved them.
    """
    if sample.edit is not None:
        if sample.edit.moved and isinstance(target, MaskTarget) and before is not sample.edit.before:
            raise NotApplicable(
                f"{kind} follows an edit that moved the pixels of sample {sample.id}, so that the two label maps can no longer leave out "
                "the same ones; put what moves pixels last, and only one of it"
            )
        moved = moved or sample.edit.moved
        region = region | sample.edit.region
        removed = removed | sample.edit.removed
    edit = Edit(kind, region, before, removed, share, None if chosen is None else subject_of(sample, chosen), moved)
    return replace(sample, image=image, target=target, regions=regions, scene=None, edit=edit)
