"""Blur an object and leave its context sharp, and the placebo of it: the same blur where no object is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_cv.arguments import PositiveNumber
from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.context_facts import ContextFacts
from robustbench_cv.interventions.degrade_context import AT
from robustbench_cv.interventions.fill import blur_known_pixels
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import choice_of, needed_regions, select
from robustbench_cv.interventions.placebo import Area, Elsewhere
from robustbench_cv.interventions.target_update import make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample


@intervention(paper="arXiv:1911.07349")
def blur_object(sigma: PositiveNumber = 8.0, what: str = "auto") -> Intervention:
    """Blur the object by a Gaussian of `sigma` px at a shorter side of 224 px, its context sharp (the paper's levels: 2, 4, 8, 16, 32).

    Targets stay: the object is still there.
    """
    return BlurredObject(sigma, what)


@intervention(paper="arXiv:1911.07349")
def blur_object_control(sigma: PositiveNumber = 8.0, what: str = "auto") -> Intervention:
    """The placebo of `blur_object`: the same shape blurred where no object is (project choice)."""
    return Elsewhere(BlurredObject(sigma, what))


@dataclass(frozen=True)
class BlurredObject(Intervention):
    """See `blur_object`."""

    sigma: float
    what: str

    @property
    def needs(self) -> frozenset[str]:
        return needed_regions(self.what)

    @property
    def control(self) -> str | None:
        return str(Spec("blur-object-control", {"sigma": self.sigma, "what": self.what}))

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(experiment="blur-object", choice=choice_of(self.what), level=self.sigma)

    @property
    def stream(self) -> str:
        return "blur-object"

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.stream)
        return self.apply(sample, stream, self.area(sample, stream))

    def area(self, sample: Sample, noise: Noise, /) -> Area:
        """The objects, which are blurred themselves."""
        chosen = select(sample, self.what, noise, erase=False)
        return Area(chosen, chosen)

    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample:
        """The sample with the pixels of an area blurred."""
        soft = blur_known_pixels(sample.image, torch.ones_like(area.region), self.sigma * min(area.region.shape) / AT).clamp(0, 1)
        return make_edited(
            sample,
            "blur-object" if instead_of is None else "blur-object-control",
            torch.where(area.region, soft, sample.image),
            region=area.region,
            target=sample.target,
            before=origin(sample),
            regions=dict(sample.regions),
            chosen=area.chosen,
        )
