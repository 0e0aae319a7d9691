"""A corruption as an intervention: of the whole image, of the objects alone, or of all but the objects; and its placebo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.corruption_facts import GROUPS, SCORED, CorruptionFacts, Where
from robustbench_cv.interventions.corruptions import blur, digital, pixel_noise, weather
from robustbench_cv.interventions.corruptions.pixel_noise import Image
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.object_selection import needed_regions, select
from robustbench_cv.interventions.placebo import Area
from robustbench_cv.interventions.target_update import make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec
from robustbench_cv.types import Sample

SMALLEST = 32
"""px of the shorter side: below it the published constants blur everything into one colour (project choice)."""

Corrupt = Callable[[Image, int, numpy.random.Generator], Image]

CORRUPTIONS: Mapping[str, Corrupt] = {
    corrupt.__name__: corrupt
    for corrupt in (
        *(pixel_noise.gaussian_noise, pixel_noise.shot_noise, pixel_noise.impulse_noise, pixel_noise.speckle_noise),
        *(blur.defocus_blur, blur.glass_blur, blur.motion_blur, blur.zoom_blur, blur.gaussian_blur),
        *(weather.snow, weather.frost, weather.fog, weather.spatter),
        *(digital.brightness, digital.contrast, digital.saturate, digital.elastic_transform, digital.pixelate, digital.jpeg_compression),
    )
}
"""By ImageNet-C's name."""


@dataclass(frozen=True)
class Corruption(Intervention):
    """A corruption at a severity from 1 to 5, seeded by the sample: severities share their random numbers. What it gives is of 8 bits.

    where: "object" corrupts the pixels of `what` alone, "context" all others: of the whole image, corrupted as "everywhere" does, the
    rest is put back. Targets and regions stay: what is behind fog is still there.
    """

    name: str
    severity: int
    where: Where = "everywhere"
    what: str = "auto"

    @property
    def corruption_facts(self) -> CorruptionFacts:
        """What reports say of it."""
        return CorruptionFacts(self.name, self.severity, GROUPS[self.name], self.name in SCORED, self.where)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset() if self.where == "everywhere" else needed_regions(self.what)

    @property
    def control(self) -> str | None:
        """Of an object's corruption, the same where no object is. What covers everything, or all but the object, has no elsewhere."""
        if self.where != "object":
            return None
        return str(Spec("corruption-control", {"corruption": self.name, "severity": self.severity, "what": self.what}))

    @property
    def stream(self) -> str:
        return self.name

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.stream)
        return self.apply(sample, stream, self.area(sample, stream))

    def area(self, sample: Sample, noise: Noise, /) -> Area:
        """Everything, the objects, or all but them. NotApplicable where objects leave no context."""
        if self.where == "everywhere":
            return Area(None, torch.ones(sample.image.shape[-2:], dtype=torch.bool))
        chosen = select(sample, self.what, noise, erase=False)
        region = chosen if self.where == "object" else ~chosen
        if not region.any():
            raise NotApplicable(f"{self.what!r} of sample {sample.id} leaves no context: it covers the whole image")
        return Area(chosen, region)

    def apply(self, sample: Sample, noise: Noise, area: Area, /, *, instead_of: Tensor | None = None) -> Sample:
        """The sample with the pixels of an area corrupted."""
        height, width = sample.image.shape[-2:]
        if min(height, width) < SMALLEST:
            raise NotApplicable(f"sample {sample.id} is {width} x {height} px; corruptions are of images from {SMALLEST} px on")
        image = numpy.ascontiguousarray(sample.image.permute(1, 2, 0).numpy(), dtype=numpy.float32)
        corrupted = CORRUPTIONS[self.name](image, self.severity, noise.rng()).clip(0, 1)
        levels = torch.from_numpy((corrupted * 255).round()).permute(2, 0, 1)
        return make_edited(
            sample,
            "corruption" if instead_of is None else "corruption-control",
            torch.where(area.region, levels.to(sample.image.dtype) / 255, sample.image),
            region=area.region,
            target=sample.target,
            before=origin(sample),
            regions=dict(sample.regions),
            chosen=area.chosen,
        )
