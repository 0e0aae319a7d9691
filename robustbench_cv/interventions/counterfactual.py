"""Exact counterfactuals of rendered samples: the description is edited and rendered again, so the edit itself has no error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.object_selection import classes, instances, objects, share, things
from robustbench_cv.interventions.target_update import (
    as_crowd,
    ignore_pixels,
    keep_objects,
    label_without,
    lost_classes,
    make_edited,
    origin,
)
from robustbench_cv.noise import Noise
from robustbench_cv.types import IGNORE, BoxTarget, ClassTarget, Editable, MaskTarget, Sample, Target

SAME = 0.99
"""An object of the sample is found again in the counterfactual where its visible pixels are (an edit may uncover more of it)."""


def _scene_of(sample: Sample) -> Editable:
    """The description that the sample was rendered from; NotApplicable where there is none."""
    if sample.scene is None:
        raise NotApplicable(f"sample {sample.id} was not rendered from a description; only such samples have exact counterfactuals")
    return sample.scene


def render_without(sample: Sample, taken: Tensor, gone: Sequence[int], kind: str) -> Sample:
    """The sample rendered without the objects `gone`, whose visible pixels are `taken`.

    The region is every pixel that differs (an object's shadow too) and every pixel taken. Label maps ignore it, as they do for a fill, so
    that the two differ in the pixels alone. Boxes are the counterfactual's; NotApplicable where a hidden object comes to light.
    """
    scene = _scene_of(sample)
    if not gone:
        raise NotApplicable(f"no object of sample {sample.id}'s description belongs to what is to be removed")
    truth = scene.without(gone)
    region = _differing_pixels(sample, truth) | taken
    target, before = sample.target, origin(sample)
    if isinstance(target, ClassTarget):
        target = label_without(sample, target, taken)
    elif isinstance(target, BoxTarget) and isinstance(before, BoxTarget):
        kept, before = keep_objects(target, before, [k for k in range(len(target.boxes)) if k not in gone])
        target = _boxes_as_rendered(sample, truth, kept, gone)
    else:
        target, before = ignore_pixels(target, region), ignore_pixels(before, region)
    removed = lost_classes(sample.regions, truth.regions)
    return _make_rendered(sample, truth, kind, region=region, target=target, before=before, removed=removed, chosen=taken)


def changed_pixels(sample: Sample, gone: Sequence[int]) -> Tensor:
    """Every pixel that differs without the objects `gone`, bool (H, W): theirs and what they shade. NotApplicable where nothing tells."""
    return _differing_pixels(sample, _scene_of(sample).without(gone))


def render_unchanged(sample: Sample, taken: Tensor, gone: Sequence[int], kind: str) -> Sample:
    """The placebo of `render_without`: nothing is removed, what the removal leaves out of the score is left out here too."""
    scene = _scene_of(sample)
    erased = _differing_pixels(sample, scene.without(gone)) | taken
    truth = scene.without(())
    target, before = (as_crowd(ignore_pixels(t, erased), gone) for t in (sample.target, origin(sample)))
    region = _differing_pixels(sample, truth)
    return _make_rendered(sample, truth, kind, region=region, target=target, before=before, removed=frozenset(), chosen=taken)


def render_moved(sample: Sample, kind: str, noise: Noise, *, elsewhere: bool) -> Sample:
    """The same objects rendered in another context, drawn from the sample's stream, or again in their own."""
    scene = _scene_of(sample)
    here = sample.attributes.get("context")
    if here is None:
        raise NotApplicable(f"sample {sample.id} does not say its context")
    others = sorted(set(scene.contexts()) - {here})
    if elsewhere and not others:
        raise NotApplicable(f"the description of sample {sample.id} knows no context but {here!r}")
    context = others[int(noise.fork("context").rng().integers(len(others)))] if elsewhere else here
    truth = scene.in_context(context)
    target, before = sample.target, origin(sample)
    if isinstance(target, MaskTarget) and isinstance(before, MaskTarget) and isinstance(truth.target, MaskTarget):
        same_classes(sample, truth)
        unknown = (truth.target.labels == IGNORE) | (target.labels == IGNORE) | (before.labels == IGNORE)
        target, before = ignore_pixels(truth.target, unknown), ignore_pixels(before, unknown)
    kept = {f"class:{name}": mask for name, mask in things(sample).items()}
    return _make_rendered(
        sample,
        truth,
        kind,
        region=_differing_pixels(sample, truth),
        target=target,
        before=before,
        removed=lost_classes(kept, truth.regions),
        chosen=objects(sample),
    )


def render_turned(sample: Sample, azimuth: float, kind: str) -> Sample:
    """The same objects in the same places, each turned by these degrees about its upright axis, rendered again.

    Boxes, masks and label maps are those of the new picture, for which `before` has the old one's: `moved`. An object of which one of the
    two pictures shows too little to be annotated is a crowd in the unedited one; NotApplicable where one comes to light, or the labelled
    one is hardly to be seen.
    """
    scene = _scene_of(sample)
    truth = scene.turned(azimuth)
    region = _differing_pixels(sample, truth)
    if not region.any():
        raise NotApplicable(f"{kind} leaves the image as it is (sample {sample.id})")
    target, before = truth.target, origin(sample)
    new = () if truth.scene is None else truth.scene.annotated
    if isinstance(target, ClassTarget) and "object" in sample.regions and "object" not in truth.regions:
        raise NotApplicable(f"of the labelled object of sample {sample.id} too little is to be seen when it is turned")
    if isinstance(target, MaskTarget):
        same_classes(sample, truth)
        unknown = sample.target.labels == IGNORE if isinstance(sample.target, MaskTarget) else torch.zeros_like(region)
        target = ignore_pixels(target, unknown)
    elif isinstance(target, BoxTarget) and isinstance(sample.target, BoxTarget) and isinstance(before, BoxTarget):
        if set(new) - set(scene.annotated):
            raise NotApplicable(
                f"turning the objects of sample {sample.id} brings hidden ones to light, which the unedited image does not show"
            )
        kept = [k for k, name in enumerate(scene.annotated) if name in new]
        old, before = keep_objects(sample.target, before, kept)
        target = replace(target, labels=old.labels, crowd=old.crowd)
    else:
        target = sample.target
    made = make_edited(sample, kind, truth.image, region=region, target=target, before=before, regions=truth.regions, moved=True)
    return replace(made, scene=truth.scene, attributes=truth.attributes)


def same_classes(sample: Sample, truth: Sample) -> None:
    """ValueError where a sample and its counterfactual number their classes differently, which would mislabel every pixel."""
    here, there = _numbers(sample), _numbers(truth)
    different = sorted(name for name in here.keys() & there.keys() if here[name] != there[name])
    if different:
        name = different[0]
        raise ValueError(
            f"class {name!r} is {here[name]} in sample {sample.id} and {there[name]} in its description: "
            "whoever renumbers a sample's classes renumbers those of its scene too"
        )


def _numbers(sample: Sample) -> dict[str, int]:
    """The label of each class region, by majority, ignored pixels aside."""
    out: dict[str, int] = {}
    if isinstance(sample.target, MaskTarget):
        for name, mask in classes(sample).items():
            labels = sample.target.labels[mask]
            labels = labels[labels != IGNORE]
            if len(labels):
                out[name] = int(torch.mode(labels).values)
    return out


def _boxes_as_rendered(sample: Sample, truth: Sample, kept: BoxTarget, gone: Collection[int]) -> BoxTarget:
    """The kept objects with the boxes and areas that they have now. NotApplicable where the pair would not be of the same objects."""
    if not isinstance(truth.target, BoxTarget):
        return kept
    survivors = [mask for k, mask in instances(sample).items() if k not in gone]
    now = instances(truth)
    partner = [next((j for j, mask in now.items() if share(old, mask) >= SAME), None) for old in survivors]
    partners = [j for j in partner if j is not None]
    if len(partners) < len(kept.boxes):
        raise NotApplicable(f"an object of sample {sample.id} cannot be found again in its counterfactual")
    boxes, area = truth.target.boxes[partners], truth.target.area[partners]
    new = [j for j in now if j not in partners]
    if not new:
        return replace(kept, boxes=boxes, area=area)
    raise NotApplicable(
        f"removing from sample {sample.id} brings {len(new)} hidden objects to light, which the unedited image does not show"
    )


def _differing_pixels(sample: Sample, truth: Sample) -> Tensor:
    return (sample.image != truth.image).any(dim=0)


def _make_rendered(
    sample: Sample, truth: Sample, kind: str, region: Tensor, target: Target, before: Target, removed: frozenset[str], chosen: Tensor
) -> Sample:
    made = make_edited(
        sample,
        kind,
        truth.image,
        region=region,
        target=target,
        before=before,
        regions=truth.regions,
        removed=removed,
        chosen=chosen,
    )
    return replace(made, scene=truth.scene, attributes=truth.attributes)
