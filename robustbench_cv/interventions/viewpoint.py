"""Show the same objects from another side, by turning them where they stand and rendering the description again.

Networks that know an object from its usual side miss it in unusual poses: Alcorn et al., Strike (with) a Pose, CVPR 2019,
https://arxiv.org/abs/1811.11553; Dong et al., ViewFool, NeurIPS 2022, https://arxiv.org/abs/2210.03895. They look for the worst pose; here
one is asked for. Objects of Scenes are drawn from the side, facing left or right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from robustbench_cv.arguments import Range
from robustbench_cv.catalogue import intervention
from robustbench_cv.interventions.context_facts import Choice, ContextFacts
from robustbench_cv.interventions.counterfactual import render_turned
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample

Azimuth = Annotated[float, Range(-180, 180, meaning="degrees")]


@intervention()
def viewpoint(azimuth: Azimuth = 45.0) -> Intervention:
    """Turn every object about its upright axis by these degrees: 90 shows its front, -90 its back, 180 its other side. Rendered data only.

    The objects keep their place, colour and pose, and the camera and the backdrop stay; boxes, masks and label maps are those of the new
    picture. There is no placebo, since nothing but the objects changes. Hold other angles against 180, which is drawn in the same way and
    shows the side in mirror image, a view that Scenes has as often as the side itself.
    """
    return Viewpoint(azimuth)


@dataclass(frozen=True)
class Viewpoint(Intervention):
    """azimuth: degrees."""

    azimuth: float

    @property
    def control(self) -> str | None:
        """None: a turn changes the objects themselves, and nothing else could be turned instead."""
        return None

    @property
    def context_facts(self) -> ContextFacts:
        """What reports say of it."""
        return ContextFacts(experiment="turn-object", choice=Choice("objects", "objects"), level=self.azimuth, exact=True)

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        return render_turned(sample, self.azimuth, "viewpoint")
