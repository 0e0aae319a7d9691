"""Paste objects, cut out by their binary masks, at their own place on another background; targets and regions follow."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, where

from robustbench_cv.interventions.backgrounds import Background
from robustbench_cv.interventions.object_selection import members, things
from robustbench_cv.interventions.sample_context import LENT
from robustbench_cv.interventions.target_update import cut_regions, ignore_pixels, keep_objects, lost_classes, make_edited, origin
from robustbench_cv.types import IGNORE, BoxTarget, MaskTarget, Sample, Target


def paste(sample: Sample, pasted: Tensor, background: Background, kind: str, chosen: Tensor | None = None) -> Sample:
    """The sample with every pixel outside `pasted`, bool (H, W), taken from the background; the edit is called `kind`.

    Objects that are not pasted are gone: their boxes leave the target. Label maps take the background's labels where those are known, and
    the unedited image is scored at the same positions. chosen: pixels of the objects that the edit is about, None: those pasted.
    """
    target, before = _targets(sample, pasted, background)
    regions = cut_regions(sample, ~pasted, [k for k in range(_count(sample)) if k not in members(sample, pasted)])
    for name, mask in background.regions.items():
        behind = mask & ~pasted
        regions[name] = regions[name] | behind if name in regions else behind
    made = make_edited(
        sample,
        kind,
        where(pasted, sample.image, background.image),
        region=~pasted,
        target=target,
        before=before,
        regions=regions,
        removed=lost_classes({f"class:{name}": mask for name, mask in things(sample).items()}, regions),
        chosen=pasted if chosen is None else chosen,
    )
    facts = {name: fact for name, fact in sample.attributes.items() if name != "context"} | {LENT: "\n".join(sorted(background.shown))}
    return replace(made, attributes=facts if background.context is None else facts | {"context": background.context})


def _count(sample: Sample) -> int:
    indices = [int(name[9:]) for name in sample.regions if name.startswith("instance:")]
    return max([*(i + 1 for i in indices), len(sample.target.boxes) if isinstance(sample.target, BoxTarget) else 0])


def _targets(sample: Sample, pasted: Tensor, background: Background) -> tuple[Target, Target]:
    """Target and `before`: the objects pasted; in segmentation the background's labels too, and the same positions in both."""
    target, before = sample.target, origin(sample)
    if isinstance(target, BoxTarget) and isinstance(before, BoxTarget):
        pasted_objects = set(members(sample, pasted))
        return keep_objects(target, before, [k for k in range(len(target.boxes)) if k in pasted_objects])
    if isinstance(target, MaskTarget) and isinstance(before, MaskTarget):
        labels = where(pasted, target.labels, background.labels.to(target.labels.dtype))
        unknown = (labels == IGNORE) | (before.labels == IGNORE)
        return ignore_pixels(MaskTarget(labels), unknown), ignore_pixels(before, unknown)
    return target, before
