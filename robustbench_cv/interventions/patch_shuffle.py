"""Cut an image into tiles and put each at another's place: local texture stays, shapes are lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from robustbench_cv.arguments import Range
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.degrade_context import shuffle_tiles
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.target_update import make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, MaskTarget, Sample


@intervention()
def patch_shuffle(grid: Annotated[int, Range(2, 64)] = 4) -> Intervention:
    """Cut the image into grid x grid tiles and put each at another's place, in an order of the sample's own.

    Label maps and regions go with their tiles, and the unedited image is scored whole. Not applicable to boxes, whose objects fall apart.
    """
    return PatchShuffle(grid)


@dataclass(frozen=True)
class PatchShuffle(Intervention):
    """See `patch_shuffle`."""

    grid: int

    @property
    def control(self) -> str | None:
        """None: what changes the whole image has no elsewhere."""
        return None

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream, target = paired_noise(noise, "patch-shuffle"), sample.target
        if isinstance(target, BoxTarget):
            raise NotApplicable(f"patch-shuffle tears objects apart, and the boxes of sample {sample.id} have places")
        image = shuffle_tiles(sample.image, self.grid, stream)
        if torch.equal(image, sample.image):
            raise NotApplicable(f"patch-shuffle leaves the image as it is (sample {sample.id})")
        if isinstance(target, MaskTarget):
            target = MaskTarget(shuffle_tiles(target.labels[None], self.grid, stream)[0])
        return make_edited(
            sample,
            "patch-shuffle",
            image,
            region=torch.ones(image.shape[-2:], dtype=torch.bool),
            target=target,
            before=origin(sample),
            regions={name: shuffle_tiles(mask[None], self.grid, stream)[0] for name, mask in sample.regions.items()},
            moved=True,
        )
