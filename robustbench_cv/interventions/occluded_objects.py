"""Objects of a sample behind something, whatever it is: which pixels are covered, and what that means for targets and regions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.collages import with_occluders
from robustbench_cv.interventions.cutouts import class_of
from robustbench_cv.interventions.growing_occluders import ANY, Cover, Part, Range
from robustbench_cv.interventions.object_selection import instances, main_class, members, objects, select, things
from robustbench_cv.interventions.occluders import OBJECT, TEXTURES
from robustbench_cv.interventions.placebo import Area
from robustbench_cv.interventions.shapes import pieces
from robustbench_cv.interventions.target_update import as_crowd, cut_regions, ignore_pixels, make_edited, origin
from robustbench_cv.noise import Noise
from robustbench_cv.types import ClassTarget, Sample


def cover_objects(sample: Sample, what: str, share: float, noise: Noise, cover: Cover, within: Range = ANY) -> Area:
    """The chosen objects' visible pixels and what covers a share of each. An occluder lies behind every object that was not chosen, and
    each object has its own.

    within: objects of which no share in this range can be covered are left out. NotApplicable where none is left.
    """
    apart = _chosen_objects(sample, what, noise)
    everything = objects(sample) | torch.stack([mask for _, mask in apart]).any(dim=0)
    region, chosen, left_out = torch.zeros_like(everything), torch.zeros_like(everything), set()
    known = things(sample) if cover.asks_classes else {}
    for k, mask in apart:
        part = Part(mask, mask | ~everything, partial(_unlike, sample, mask, known))
        shown = cover.over(part, share, noise.fork(f"object {k}"), within)
        if shown is None:
            left_out.add(k)
        else:
            region, chosen = region | shown, chosen | mask
    if not chosen.any() and cover.asks_classes and all(_unlike(sample, mask, known) is None for _, mask in apart):
        raise NotApplicable(f"sample {sample.id} does not say of what class its objects are, and an occluder is to be of another one")
    if not chosen.any():
        raise NotApplicable(f"no occluder covers {share:.0%} of an object{_in(within)} (sample {sample.id})")
    return Area(chosen, region, cover.collage, left_out=frozenset(left_out & set(instances(sample))))


def _in(within: Range) -> str:
    return "" if within == ANY else f", or another share from {within[0]:.0%} to below {within[1]:.0%}"


def _chosen_objects(sample: Sample, what: str, noise: Noise) -> list[tuple[int, Tensor]]:
    """By index, with their visible pixels. Where no instance is known, each connected piece counts as an object."""
    chosen = select(sample, what, noise, erase=False)
    masks = instances(sample)
    return [(k, masks[k] & chosen) for k in members(sample, chosen)] or list(enumerate(pieces(chosen)))


def _unlike(sample: Sample, mask: Tensor, known: Mapping[str, Tensor]) -> frozenset[str] | None:
    """What an occluder of this object must not be: of its class, nor, where an image has one label, of that."""
    own = class_of(mask, known)
    label = main_class(sample) if isinstance(sample.target, ClassTarget) else own
    return None if own is None or label is None else frozenset({own, label})


def paint_over(sample: Sample, kind: str, texture: str, noise: Noise, area: Area, instead_of: Tensor | None = None) -> Sample:
    """The sample with an area painted over; label maps ignore it, and, so that both effects are of the same pixels, what a placebo's own
    edit hides. The share is that of the objects' pixels, 0 of a placebo's.

    instead_of: of a placebo, the region of the edit itself.
    """
    assert area.chosen is not None
    region = area.region
    ignore = region if instead_of is None else region | instead_of
    target, before = (as_crowd(ignore_pixels(one, ignore), area.left_out) for one in (sample.target, origin(sample)))
    regions = _with_whole_objects(sample, region)
    pixels = None
    if texture != OBJECT:
        pixels = TEXTURES[texture](sample, noise)
    elif area.collage is not None:
        pixels = area.collage.image
        (target, before), regions = with_occluders(sample, (target, before), regions, area.collage, region)
    assert pixels is not None
    return make_edited(
        sample,
        kind if instead_of is None else f"{kind}-control",
        torch.where(region, pixels, sample.image),
        region=region,
        target=target,
        before=before,
        regions=regions,
        share=int((area.chosen & region).sum()) / int(area.chosen.sum()),
        chosen=area.chosen,
    )


def _with_whole_objects(sample: Sample, region: Tensor) -> dict[str, Tensor]:
    """The regions less the covered pixels. What was visible of a covered object becomes its amodal mask where the data know none: at least
    that much of it is there."""
    visible = {name[9:]: mask for name, mask in sample.regions.items() if name.startswith("instance:")}
    whole = {f"amodal:{k}": mask.clone() for k, mask in visible.items() if bool((mask & region).any())}
    return whole | cut_regions(sample, region)
