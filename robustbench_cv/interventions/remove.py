"""Remove an object, or all of a class, from the picture (the idea of Shetty, Schiele, Fritz, CVPR 2019, arXiv:1812.06707)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from robustbench_cv.arguments import NonNegativeInt, PositiveFraction
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import UserError
from robustbench_cv.interventions import counterfactual
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.fill import FLAT, RADIUS_PX, fill_region, known_fill
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, main_class, members, named_region, needed_regions, objects, select
from robustbench_cv.interventions.shapes import bounding_boxes, dilate_mask, place_apart, scale_length
from robustbench_cv.interventions.target_update import (
    as_crowd,
    cut_regions,
    erase_objects,
    ignore_pixels,
    lost_classes,
    make_edited,
    origin,
    paired_noise,
)
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import ClassTarget, Sample


@intervention(paper="arXiv:1812.06707")
def remove(
    what: str = "auto",
    fill: str = "telea",
    dilate: NonNegativeInt | None = None,
    max_share: PositiveFraction = 0.3,
    shadow: bool = False,
) -> Intervention:
    """Fill an object's mask, slightly grown, so that it is gone; the target follows.

    what: "auto" (in classification the labelled object with all others of its class, whose label the picture would still deserve; all
    objects else), "object" (the labelled one alone), "all", "random-object", "random-class",
    "context-class" (a random class other than the labelled object's), "context-class:0" (the first of these by name), "any-class:0" (the
    first of all), or a class's name.
    fill: "telea", "navier-stokes", "patch-match", "blur", "mean", "noise", "tile", "gray", "black"; "exact" renders the description again
    (Scenes); file.py:function is an in-painter of yours, which takes an image (3, H, W) and a region (H, W) and gives the image. dilate:
    growth of the mask in pixels; None is 5 px at a shorter side of 480 px, scaled, at least 1 (project choice). max_share: a mask larger
    than this share of the image is not applicable (project choice, 30 %).

    Classification: without its labelled object an image has the label ABSENT. Segmentation: filled pixels are ignored, in the unedited
    image too. Detection: removed boxes leave the target; other objects that lose over a quarter of their visible pixels become crowd.
    """
    return Removal(what=what, fill=fill, dilate=dilate, max_share=max_share, shadow=shadow)


@intervention(paper="arXiv:1812.06707")
def remove_control(
    what: str = "auto",
    fill: str = "telea",
    dilate: NonNegativeInt | None = None,
    max_share: PositiveFraction = 0.3,
    shadow: bool = False,
) -> Intervention:
    """The placebo of `remove`: the same shape, filled in the same way, at a random place that touches no object.

    Where it can, it keeps a few pixels off them, more than fills read (project choice).
    """
    return Placebo(Removal(what=what, fill=fill, dilate=dilate, max_share=max_share, shadow=shadow))


DILATION = 5.0, 480
"""Default growth of a removed mask: 5 px where the shorter side is 480 px. The 5 px are an independent re-implementation's, the scaling
with the image is a project choice."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """Fill the mask of what is removed. See `remove` and `context_only` for the parameters."""

    what: str
    fill: str
    dilate: int | None
    max_share: float
    shape: str = "mask"
    kind: str = "remove"
    shadow: bool = False

    def __post_init__(self) -> None:
        known_fill(self.fill, "exact")
        if self.dilate is not None and self.dilate < 0:
            raise UserError(f"dilate={self.dilate} must be a number of pixels, 0 or more (None: 5 px at 480 px, scaled)")
        if not 0 < self.max_share <= 1:
            raise UserError(f"max_share={self.max_share} must be a share of the image in (0, 1], such as 0.3")
        if self.shape not in SHAPES:
            raise UserError(f"no shape named {self.shape!r}; choose one of {sorted(SHAPES)}")

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what)

    @property
    def control(self) -> str | None:
        names = ("what", "fill", "dilate", "max_share", "shadow") if self.kind == "remove" else ("what", "fill", "shape")
        return str(Spec(f"{self.kind}-control", {name: getattr(self, name) for name in names}))

    @property
    def removes_objects(self) -> bool:
        return True

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        method = f"{self.fill} with shadow" if self.shadow else self.fill
        natural = self.kind == "remove" and self.fill not in FLAT
        return ContextFacts(
            experiment="remove-object", choice=choice_of(self.what), method=method, exact=self.fill == "exact", natural=natural
        )

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, "removal")
        taken = self.removed_pixels(sample, stream)
        if self.fill == "exact":
            return counterfactual.render_without(sample, taken, members(sample, taken), self.kind)
        region = self.region(sample, taken)
        target, before, gone = erase_objects(sample, taken, region)
        regions = cut_regions(sample, region, gone)
        image = fill_region(sample.image, region, self.fill, stream)
        return make_edited(
            sample,
            self.kind,
            image,
            region=region,
            target=target,
            before=before,
            regions=regions,
            removed=lost_classes(sample.regions, regions),
            chosen=taken,
        )

    def removed_pixels(self, sample: Sample, stream: Noise) -> Tensor:
        """The visible pixels of what is removed: bool (H, W)."""
        main = main_class(sample) if self.what == "auto" and isinstance(sample.target, ClassTarget) else None
        if main is None:
            return select(sample, self.what, stream, self.max_share)
        return select(sample, f"class:{main}", stream, self.max_share) | named_region(sample, "object")

    def region(self, sample: Sample, taken: Tensor) -> Tensor:
        """The pixels that are filled: bool (H, W)."""
        if self.shadow:
            taken = taken | counterfactual.changed_pixels(sample, members(sample, taken))
        radius = scale_length(*DILATION, *taken.shape) if self.dilate is None else self.dilate
        return dilate_mask(SHAPES[self.shape](taken), radius)


@dataclass(frozen=True)
class Placebo(Intervention):
    """The fill of a removal at a place of the same shape that touches no object; nothing is removed.

    What the removal takes is not scored here either (pixels ignored, boxes crowd), so that both effects are of the same objects.
    An exact removal leaves no artefact: its placebo renders the unchanged description again and must have no effect at all.
    """

    removal: Removal

    @property
    def needs(self) -> frozenset[str]:
        return self.removal.needs | {"objects"}

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, "removal")
        kind = f"{self.removal.kind}-control"
        taken = self.removal.removed_pixels(sample, stream)
        if self.removal.fill == "exact":
            return counterfactual.render_unchanged(sample, taken, members(sample, taken), kind)
        erased = self.removal.region(sample, taken)
        erase_objects(sample, taken, erased)  # what the removal cannot serve, its placebo does not either
        region = place_apart(erased, objects(sample) | taken, gap(*taken.shape), stream)
        gone = members(sample, taken)
        target, before = (as_crowd(ignore_pixels(t, region | erased), gone) for t in (sample.target, origin(sample)))
        image = fill_region(sample.image, region, self.removal.fill, stream)
        regions = cut_regions(sample, region)
        return make_edited(sample, kind, image, region=region, target=target, before=before, regions=regions, chosen=taken)


def gap(height: int, width: int) -> int:
    """Pixels that a placebo keeps from objects where it can, so that a fill which continues its surroundings brings no object in: what the
    in-painters read, and a removal's growth (project choice)."""
    return math.ceil(RADIUS_PX) + scale_length(*DILATION, height, width)


SHAPES: dict[str, Callable[[Tensor], Tensor]] = {"mask": lambda mask: mask, "box": bounding_boxes}
"""What is filled: the object's outline, or the bounding box of each of its connected pieces."""
