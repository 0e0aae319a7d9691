"""Which pixels an intervention may touch: named regions, things and instances, and the choice that a spec's `what` makes among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from robustbench_cv.boxes import to_mask
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.context_facts import Choice
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, ClassTarget, Sample

MEMBER = 0.5
"""An object belongs to a mask that covers at least this share of its visible pixels (project choice)."""

SURFACES = """
sky mountain hill tree vegetation terrain building house wall fence pole guardrail bridge tunnel road sidewalk pavement ground parking
platform railtrack grass field water sea river sand snow floor ceiling background void unlabeled
"""
STUFF = frozenset(SURFACES.split())
"""Names that mean a surface, not an object: consulted only where a sample says neither "objects" nor "instance:<k>" (check D05 says so)."""


_NOWHERE = (
    ": the data do not say where objects are; use data with masks or boxes, or let a detector find them: "
    "--data \"detected-masks:DATA(model='mask-rcnn')\""
)


def named_region(sample: Sample, name: str) -> Tensor:
    """The region of that name, bool (H, W). NotApplicable where it is missing or empty."""
    mask = sample.regions.get(name)
    if mask is None and not sample.regions:
        raise NotApplicable(f"the sample has no region {name!r}{_NOWHERE}")
    if mask is None:
        raise NotApplicable(f"the sample has no region {name!r} (it has {sorted(sample.regions)})")
    if not mask.any():
        raise NotApplicable(f"region {name!r} has no visible pixel")
    return mask


def instances(sample: Sample) -> dict[int, Tensor]:
    """Visible masks by object index. Of a BoxTarget's objects without a mask, the box; their order is the target's."""
    masks = {int(name[9:]): mask for name, mask in sample.regions.items() if name.startswith("instance:")}
    if isinstance(sample.target, BoxTarget):
        height, width = sample.image.shape[-2:]
        for k, box in enumerate(sample.target.boxes):
            if k not in masks:
                masks[k] = to_mask(box, height, width)
    return dict(sorted(masks.items()))


def classes(sample: Sample) -> dict[str, Tensor]:
    """Non-empty class regions by class name, things and stuff."""
    return {name[6:]: mask for name, mask in sorted(sample.regions.items()) if name.startswith("class:") and bool(mask.any())}


def things(sample: Sample) -> dict[str, Tensor]:
    """The class regions that are objects: mostly inside "objects" where that is known, else not named like a surface."""
    known = _annotated_pixels(sample)
    if known is None:
        return {name: mask for name, mask in classes(sample).items() if not is_surface(name)}
    return {name: mask for name, mask in classes(sample).items() if share(mask, known) >= MEMBER}


def objects(sample: Sample) -> Tensor:
    """Every pixel of an annotated object, bool (H, W), possibly none. NotApplicable where the sample says nothing of objects."""
    known = _annotated_pixels(sample)
    if known is not None:
        return known
    if not classes(sample):
        raise NotApplicable(f"the sample marks no objects{_NOWHERE if not sample.regions else ''} ({sample.id})")
    return _union(list(things(sample).values()), sample)


def is_surface(name: str) -> bool:
    """Whether a class is named like a surface."""
    return name.lower() in STUFF


def tells_objects(sample: Sample) -> bool:
    """Whether its data say where objects are, so that no name has to."""
    return _annotated_pixels(sample) is not None


def _annotated_pixels(sample: Sample) -> Tensor | None:
    if "objects" in sample.regions:
        return sample.regions["objects"]
    masks = list(instances(sample).values())
    if "object" in sample.regions:
        masks.append(sample.regions["object"])
    return _union(masks, sample) if masks or isinstance(sample.target, BoxTarget) else None


def _union(masks: Sequence[Tensor], sample: Sample) -> Tensor:
    out = torch.zeros(sample.image.shape[-2:], dtype=torch.bool)
    for mask in masks:
        out = out | mask
    return out


def share(mask: Tensor, cover: Tensor) -> float:
    """Share of the mask's pixels that lie in `cover`; 0 for an empty mask."""
    area = int(mask.sum())
    return int((mask & cover).sum()) / area if area else 0.0


def members(sample: Sample, mask: Tensor) -> tuple[int, ...]:
    """Indices of the objects that belong to a mask."""
    return tuple(k for k, visible in instances(sample).items() if share(visible, mask) >= MEMBER)


def main_class(sample: Sample) -> str | None:
    """Name of the class of the labelled object, or, without one, of the largest thing; None where no class region tells."""
    main = sample.regions.get("object")
    overlaps = {name: int((mask if main is None else mask & main).sum()) for name, mask in things(sample).items()}
    best = max(overlaps, key=lambda name: overlaps[name], default=None)
    return best if best is not None and overlaps[best] else None


_NUMBERED = ("context-class:", "any-class:")

_SINGLE = ("object", "random-object", "largest")
"""What means one object, not all of its class."""


def select(sample: Sample, what: str, noise: Noise, max_share: float = 1.0, *, erase: bool = True) -> Tensor:
    """The pixels that `what` means, bool (H, W), at most `max_share` of the image. NotApplicable(reason) where there are none.

    what: "auto" (the labelled object in classification, else all objects), "object", "all", "largest" (the object of most visible pixels),
    "random-object", "random-class", "context-class" (a random class other than the labelled object's), "context-class:<k>" (the k-th of
    them by name, from 0: together these are all of them), "any-class:<k>" (the k-th class of all), "class:<name>" or just a class's name.
    erase: a whole class is to disappear, which a crowd region of the class, of which some would stay behind, forbids.
    """
    if what == "auto":
        what = "object" if isinstance(sample.target, ClassTarget) else "all"
    if what in ("random-class", "context-class", "random-object", "largest") or what.startswith(_NUMBERED):
        mask = _draw(sample, what, noise, max_share, erase=erase)
    elif what == "object":
        mask = named_region(sample, "object")
    elif what == "all":
        mask = objects(sample)
        if not mask.any():
            raise NotApplicable(f"sample {sample.id} has no object")
    else:
        mask = named_region(sample, f"class:{what.removeprefix('class:')}")
    obstacle = _obstacle(sample, mask, max_share, whole_class=erase and what not in _SINGLE)
    if obstacle:
        raise NotApplicable(f"{what!r} of sample {sample.id} {obstacle}")
    return mask


def _draw(sample: Sample, what: str, noise: Noise, max_share: float, *, erase: bool) -> Tensor:
    candidates: Mapping[str, Tensor]
    if what in _SINGLE:
        candidates = {f"object {k}": mask for k, mask in instances(sample).items() if not _is_crowd(sample, k)}
    else:
        candidates = things(sample)
    if what.startswith("context-class"):
        main = main_class(sample)
        candidates = {name: mask for name, mask in candidates.items() if name != main}
    whole = erase and what not in _SINGLE
    if what == "largest":
        candidates = dict(sorted(candidates.items(), key=lambda item: -int(item[1].sum()))[:1])
    elif what.startswith(_NUMBERED):
        candidates = dict(list(candidates.items())[_rank(what) :][:1])
    obstacles = {name: _obstacle(sample, mask, max_share, whole_class=whole) for name, mask in candidates.items()}
    fitting = [name for name in candidates if not obstacles[name]]
    if not fitting:
        reasons = "; ".join(f"{name!r} {why}" for name, why in obstacles.items()) or "it has none"
        raise NotApplicable(f"the image has no {what} to choose: {reasons} (sample {sample.id})")
    return candidates[fitting[int(noise.fork(what).rng().integers(len(fitting)))]]


def _rank(what: str) -> int:
    rank = what.partition(":")[2]
    if not rank.isdecimal():
        raise UserError(f"what={what!r} names no class by its place; write a number from 0 up, such as 'context-class:0'")
    return int(rank)


def _obstacle(sample: Sample, mask: Tensor, max_share: float, *, whole_class: bool) -> str:
    part = float(mask.float().mean())
    if not part:
        return "has no visible pixel"
    if part > max_share:
        return f"covers {part:.0%} of the image, more than {max_share:.0%}"
    if whole_class and isinstance(sample.target, BoxTarget):
        labels = sample.target.labels[list(members(sample, mask))]
        # Classes that a class map leaves out are crowds labelled -1: nothing is scored there, so they forbid nothing.
        if bool((sample.target.crowd & torch.isin(sample.target.labels, labels[labels >= 0])).any()):
            return "shares its class with a crowd region, whose objects cannot be told apart"
    return ""


def _is_crowd(sample: Sample, index: int) -> bool:
    return isinstance(sample.target, BoxTarget) and bool(sample.target.crowd[index])


def choice_of(what: str) -> Choice:
    """What `what` chooses, for reports. UserError for a class by a place that is no number."""
    if what in ("auto", "object", "all", "largest", "random-object"):
        return Choice(what, "objects")
    if what.startswith(_NUMBERED):
        _rank(what)
    if what.startswith("context-class"):
        return Choice(what, "other-class")
    unnamed = what == "random-class" or what.startswith(_NUMBERED)
    return Choice(what, "class", None if unnamed else what.removeprefix("class:"))


def needed_regions(what: str) -> frozenset[str]:
    """Names of the regions that `what` reads, for documentation."""
    if what in ("auto", "object"):
        return frozenset({"object", "objects"} if what == "auto" else {"object"})
    if what in ("all", "random-object"):
        return frozenset({"objects"})
    if what == "largest":
        return frozenset({"objects"})
    if what == "random-class" or what.startswith(("context-class", "any-class:")):
        return frozenset({"class:<name>", "objects"})
    return frozenset({f"class:{what.removeprefix('class:')}"})
