"""Occlusion of objects and of their context by the levels of OccludedPASCAL3D+ (Wang, Sun, Kortylewski, Yuille, CVPR 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from torch import Tensor

from robustbench_cv.arguments import Range as Bounds
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.context_facts import ContextFacts, OcclusionLevels
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.growing_occluders import Cover, Range, cover_by
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, main_class, needed_regions, objects, select, share
from robustbench_cv.interventions.occluded_objects import cover_objects, paint_over
from robustbench_cv.interventions.occluders import SILHOUETTE, style_of
from robustbench_cv.interventions.other_samples import Borrowing, BorrowingElsewhere
from robustbench_cv.interventions.placebo import Area, Elsewhere
from robustbench_cv.interventions.target_update import paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import ClassTarget, Sample

FOREGROUND: dict[int, Range] = {1: (0.2, 0.4), 2: (0.4, 0.6), 3: (0.6, 0.8)}
"""Share of an object's visible pixels that is covered, by level: FGL1 to FGL3 of the data set's own description. Each range is half open
(project choice)."""

BACKGROUND: dict[int, Range] = {1: (0.0, 0.2), 2: (0.2, 0.4), 3: (0.4, 0.6)}
"""Share of the context that is covered: BGL1 to BGL3. The context is every pixel of the image that shows no object (project choice)."""

_EDGE = 0.1
"""Shares are drawn this part of a range away from its ends, so that the nearest pixel stays inside (project choice)."""

_SIZES = (1.0, 0.7, 0.5, 0.35)
"""Of an occluder, in areas of the object that it covers, tried in turn until what it covers of the context is little enough."""

Level = Annotated[int, Bounds(0, 3)]


@intervention(paper="arXiv:2005.11643")
def occlusion_level(
    foreground: Level = 1, background: Level = 1, what: str = "auto", texture: str = "object", style: str = "auto"
) -> Intervention:
    """Cover 20-40, 40-60 or 60-80 % of each object (foreground 1 to 3) and 0-20, 20-40 or 40-60 % of the context (background 1 to 3).

    The ranges are those of OccludedPASCAL3D+; each sample draws its shares within them by its id (project choice). Level 0 of the
    foreground covers no object. Level 0 of the background adds no occluder beside the objects. what, texture, style: as in `occlude`; the
    data set itself pastes objects of COCO, which here are objects of other samples of the same data.

    In detection, an object of which no share in the range can be covered (it has too few pixels) is not scored; not applicable where that
    is all of them, or where the occluders of the objects themselves cover too much of the context. The realised share is `edit.share`.
    """
    made = _made(foreground, background, what, texture, style)
    return Borrowing(made) if made.style == SILHOUETTE else made


@intervention(paper="arXiv:2005.11643")
def occlusion_level_control(
    foreground: Level = 1, background: Level = 1, what: str = "auto", texture: str = "object", style: str = "auto"
) -> Intervention:
    """The placebo of `occlusion_level`: the objects' occluders where no object is, those beside where they were (project choice).

    They are put beside those, or, where there is no room for that, in front of them.
    """
    made = _made(foreground, background, what, texture, style)
    return BorrowingElsewhere(made) if made.style == SILHOUETTE else Elsewhere(made)


def _made(foreground: int, background: int, what: str, texture: str, style: str) -> OcclusionLevel:
    if foreground == background == 0:
        raise UserError("occlusion-level(foreground=0, background=0) covers nothing: raise one of them, or use the clean condition")
    return OcclusionLevel(foreground, background, what, texture, style_of(texture, style))


@dataclass(frozen=True)
class OcclusionLevel(Intervention):
    """Cover objects and context by levels. See `occlusion_level` for the parameters."""

    foreground: int
    background: int
    what: str
    texture: str
    style: str
    donors: Donors | None = field(default=None, repr=False, compare=False)

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what) | {"objects"} | ({"class:<name>"} if self.style == SILHOUETTE else set())

    @property
    def control(self) -> str | None:
        """None of the context alone: it covers no object itself."""
        if self.foreground == 0:
            return None
        names = ("foreground", "background", "what", "texture", "style")
        return str(Spec("occlusion-level-control", {name: getattr(self, name) for name in names}))

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it. A step of a curve, by the middle of its range, where both levels are the same (a table of one axis)."""
        on_curve = self.foreground and self.background in (0, self.foreground)
        return ContextFacts(
            experiment="occlude-object" if self.foreground else "occlude-context",
            choice=choice_of(self.what),
            method=f"{self.texture} {self.style}",
            level=sum(FOREGROUND[self.foreground]) / 2 if on_curve else None,
            occlusion=OcclusionLevels(self.foreground, self.background),
        )

    @property
    def stream(self) -> str:
        return "occlusion-level"

    def lent(self, donors: Donors) -> OcclusionLevel:
        """The same, with these samples' objects to cover by."""
        return replace(self, donors=donors)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.stream)
        return self.apply(sample, stream, self.area(sample, stream))

    def area(self, sample: Sample, noise: Noise, /) -> Area:
        """The chosen objects' visible pixels and all occluders; those beside the objects are what a placebo leaves in place."""
        context = ~objects(sample)
        if not context.any() and self.background:
            raise NotApplicable(f"sample {sample.id} has no background pixel to cover")
        for size in _SIZES if self.style == SILHOUETTE else _SIZES[:1]:
            cover = cover_by(self.style, self.texture, sample, noise.seed, self.donors, size)
            area = self._objects(sample, noise, cover)
            over = share(context, area.region)
            if not self.background or over < BACKGROUND[self.background][1]:
                return self._beside(sample, noise, cover, area, context)
        raise NotApplicable(
            f"the occluders of the objects alone cover {BACKGROUND[self.background][1]:.0%} of the context or more (sample {sample.id})"
        )

    def _objects(self, sample: Sample, noise: Noise, cover: Cover) -> Area:
        if not self.foreground:
            chosen = select(sample, self.what, noise, erase=False)
            return Area(chosen, torch.zeros_like(chosen), cover.collage)
        within = FOREGROUND[self.foreground]
        return cover_objects(sample, self.what, _drawn(within, noise.fork("foreground")), noise, cover, within)

    def _beside(self, sample: Sample, noise: Noise, cover: Cover, area: Area, context: Tensor) -> Area:
        """The area with occluders beside the objects, until the context's share is in its range."""
        if not self.background:
            return area
        within = BACKGROUND[self.background]
        over = share(context, area.region)
        missing = _drawn(within, noise.fork("background")) - over
        region = area.region
        left = context & ~region
        if missing > 0 and left.any():
            avoid = main_class(sample) if isinstance(sample.target, ClassTarget) else None
            wanted = missing * int(context.sum()) / int(left.sum())
            region = region | cover.beside(left, wanted, noise, frozenset() if avoid is None else frozenset({avoid}))
        realised = share(context, region)
        if not within[0] <= realised < within[1]:
            raise NotApplicable(
                f"occluders cover {realised:.0%} of the context, not a share from {within[0]:.0%} to below {within[1]:.0%} ({sample.id})"
            )
        return area._replace(region=region, stays=region & ~area.region, collage=cover.collage)

    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample:
        """The sample with an area painted over."""
        return paint_over(sample, "occlusion-level", self.texture, noise, area, instead_of)


def _drawn(within: Range, noise: Noise) -> float:
    """A share inside a range; of all levels, the same place in each one's."""
    low, high = within
    return low + (high - low) * float(noise.rng().uniform(_EDGE, 1 - _EDGE))
