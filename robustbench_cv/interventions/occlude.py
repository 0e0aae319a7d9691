"""Hide a share of an object behind an occluder, and the placebo of it: the same occluder where no object is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor

from robustbench_cv.arguments import PositiveFraction
from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.interventions.growing_occluders import cover_by
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, needed_regions
from robustbench_cv.interventions.occluded_objects import cover_objects, paint_over
from robustbench_cv.interventions.occluders import SILHOUETTE, style_of
from robustbench_cv.interventions.other_samples import Borrowing, BorrowingElsewhere
from robustbench_cv.interventions.placebo import Area, Elsewhere
from robustbench_cv.interventions.target_update import paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample


@intervention()
def occlude(share: PositiveFraction = 0.5, what: str = "auto", texture: str = "gray", style: str = "auto") -> Intervention:
    """Cover a share of each chosen object's visible pixels (project choice: the visible mask's area, not the box's).

    what: "auto" (the labelled object in classification, each object else), or as in `remove`. texture: "gray", "noise" (random pixels),
    "patch" (the image's own background, displaced), "object" (an object of another sample, cut out by its mask, of another class than the
    one it covers: the "natural objects" of CompositionalNets). style: "block" (a rectangle grown from a random point of the object until it
    covers the share, so to the nearest row), "blobs" (random patches, to the nearest pixel), "silhouette" (the outline of another sample's
    object, in any texture); "auto" is the silhouette of an object, else the block.

    A silhouette is as large as the object that it covers, larger where it could not cover the share else, and slides in from a random side
    until the share is met to 0.005 (of objects under 200 pixels to the nearest pixel). It shows whole, but for what other objects hide.

    The realised share is `edit.share`. A larger share covers a superset, but not of silhouettes. Labels and boxes stay: the boxes are those
    of the unoccluded object, as a detector that completes objects should report them. Covered pixels of a label map are ignored. An object
    that is pasted is no object that is asked about: a classifier's label stays that of what it covers (its placebo, the same object beside,
    tells what seeing it costs), and for detectors it is a crowd, so that reporting it is neither right nor wrong.
    """
    made = Occlusion(share, what, texture, style_of(texture, style))
    return Borrowing(made) if made.style == SILHOUETTE else made


@intervention()
def occlude_control(share: PositiveFraction = 0.5, what: str = "auto", texture: str = "gray", style: str = "auto") -> Intervention:
    """The placebo of `occlude`: an occluder of the same shape and texture at a random place that touches no object (project choice)."""
    made = Occlusion(share, what, texture, style_of(texture, style))
    return BorrowingElsewhere(made) if made.style == SILHOUETTE else Elsewhere(made)


@dataclass(frozen=True)
class Occlusion(Intervention):
    """Cover a share of each chosen object. See `occlude` for the parameters."""

    share: float
    what: str
    texture: str
    style: str
    donors: Donors | None = field(default=None, repr=False, compare=False)

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what) | ({"class:<name>"} if self.style == SILHOUETTE else set())

    @property
    def control(self) -> str | None:
        return str(Spec("occlude-control", {name: getattr(self, name) for name in ("share", "what", "texture", "style")}))

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(
            experiment="occlude-object", choice=choice_of(self.what), method=f"{self.texture} {self.style}", level=self.share
        )

    @property
    def stream(self) -> str:
        return "occlude"

    def lent(self, donors: Donors) -> Occlusion:
        """The same, with these samples' objects to cover by."""
        return replace(self, donors=donors)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.stream)
        return self.apply(sample, stream, self.area(sample, stream))

    def area(self, sample: Sample, noise: Noise, /) -> Area:
        """The chosen objects' visible pixels and the occluder's. It lies behind every object that was not chosen, and each object has its
        own."""
        return cover_objects(sample, self.what, self.share, noise, cover_by(self.style, self.texture, sample, noise.seed, self.donors))

    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample:
        """The sample with an area painted over."""
        return paint_over(sample, "occlude", self.texture, noise, area, instead_of)
