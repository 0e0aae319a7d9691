"""Hide a share of an object behind an occluder, and the placebo of it: the same occluder where no object is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_cv.arguments import PositiveFraction
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import UserError
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.elsewhere import Area, Elsewhere
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, instances, members, needed_regions, objects, select
from robustbench_cv.interventions.occluders import STYLES, TEXTURES, covering_pixels
from robustbench_cv.interventions.shapes import pieces
from robustbench_cv.interventions.target_update import cut_regions, ignore_pixels, make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample


@intervention()
def occlude(share: PositiveFraction = 0.5, what: str = "auto", texture: str = "gray", style: str = "block") -> Intervention:
    """Cover a share of each chosen object's visible pixels (project choice: the visible mask's area, not the box's).

    what: "auto" (the labelled object in classification, each object else), or as in `remove`. texture: "gray", "noise" (random pixels),
    "patch" (the image's own background, displaced). style: "block" (a rectangle grown from a random point of the object until it covers the
    share, so to the nearest row) or "blobs" (random patches, to the nearest pixel).

    The realised share is `edit.share`. A larger share covers a superset. Labels and boxes stay: the boxes are those of the unoccluded
    object, as a detector that completes objects should report them. Covered pixels of a label map are ignored.
    """
    return Occlusion(share, what, texture, style)


@intervention()
def occlude_control(share: PositiveFraction = 0.5, what: str = "auto", texture: str = "gray", style: str = "block") -> Intervention:
    """The placebo of `occlude`: an occluder of the same shape and texture at a random place that touches no object (project choice)."""
    return Elsewhere(Occlusion(share, what, texture, style))


@dataclass(frozen=True)
class Occlusion:
    """Cover a share of each chosen object. See `occlude` for the parameters."""

    share: float
    what: str
    texture: str
    style: str

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"share={self.share} must be a share of the object in (0, 1], such as 0.5")
        for name, value, choices in (("texture", self.texture, TEXTURES), ("style", self.style, STYLES)):
            if value not in choices:
                raise UserError(f"no {name} named {value!r}; choose one of {sorted(choices)}")

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what)

    @property
    def control(self) -> str | None:
        return str(Spec("occlude-control", {name: getattr(self, name) for name in ("share", "what", "texture", "style")}))

    @property
    def removes_objects(self) -> bool:
        return False

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(
            experiment="occlude-object", choice=choice_of(self.what), method=f"{self.texture} {self.style}", level=self.share
        )

    @property
    def stream(self) -> str:
        return "occlude"

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.stream)
        return self.apply(sample, stream, self.area(sample, stream))

    def area(self, sample: Sample, noise: Noise, /) -> Area:
        """The chosen objects' visible pixels and the occluder's. It lies behind every object that was not chosen, and each object has its
        own."""
        chosen = select(sample, self.what, noise, erase=False)
        masks = instances(sample)
        visible = {k: masks[k] & chosen for k in members(sample, chosen)}
        # Where no instance is known, each connected piece counts as an object.
        apart = list(visible.items()) or list(enumerate(pieces(chosen)))
        everything = objects(sample) | chosen
        region = torch.zeros_like(chosen)
        for k, mask in apart:
            order = STYLES[self.style](mask, noise.fork(f"object {k}"))
            region |= covering_pixels(mask, order, self.share) & (mask | ~everything)
        union = torch.stack([mask for _, mask in apart]).any(dim=0)
        return Area(union, region)

    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample:
        """The sample with an area painted over; label maps ignore it, and, so that both effects are of the same pixels, what a placebo's
        own edit hides. The share is that of the objects' pixels, 0 of a placebo's."""
        chosen, region = area
        assert chosen is not None
        ignore = region if instead_of is None else region | instead_of
        return make_edited(
            sample,
            "occlude" if instead_of is None else "occlude-control",
            torch.where(region, TEXTURES[self.texture](sample, noise), sample.image),
            region=region,
            target=ignore_pixels(sample.target, ignore),
            before=ignore_pixels(origin(sample), ignore),
            regions=cut_regions(sample, region),
            share=int((chosen & region).sum()) / int(chosen.sum()),
            chosen=chosen,
        )
