"""Hide parts of an image that are chosen without looking at it: random erasing, and cells of a grid.

Neither asks for a mask. There is no placebo: what is hidden at random is hidden elsewhere already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from robustbench_cv.arguments import Area, Fraction, PositiveInt
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.fill import GRAY
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.shapes import scale_length
from robustbench_cv.interventions.target_update import cut_regions, ignore_pixels, make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample

Cover = Literal["mean", "noise", "gray"]

MOST_TRIES = 100
"""Rectangles that random erasing draws until one fits, as in the authors' code."""

ASPECTS = 0.3, 1 / 0.3
"""Of a rectangle, height over width, drawn uniformly between them as in the authors' code: so wide ones are rarer than tall ones."""


@intervention(paper="arXiv:1708.04896")
def random_erasing(least: Area = 0.02, most: Area = 0.4, cover: Cover = "noise") -> Intervention:
    """Cover a random rectangle of `least` to `most` of the image's area (Zhong et al., AAAI 2020; here it is always done).

    cover: "noise" (each pixel uniform in [0, 1), as in the paper), "mean" (the image's mean colour), or "gray". Covered pixels of a label
    map are ignored; labels and boxes stay.
    """
    if least > most:
        raise UserError(f"random-erasing: least={least:g} is more than most={most:g}; least is the smaller share of the area")
    return Hiding("random-erasing", lambda height, width, noise: _rectangle(height, width, least, most, noise), cover)


@intervention(paper="arXiv:1704.04232")
def hide_and_seek(cell: PositiveInt = 32, probability: Fraction = 0.5, cover: Cover = "mean") -> Intervention:
    """Cover each cell of a grid with this probability (Singh, Lee, ICCV 2017).

    cell: its side in px at a shorter side of 224 px, scaled with the image (the paper's: 16, 32, 44, 56). cover: as in `random_erasing`;
    the paper covers with the data set's mean, for which the image's own stands here (project choice).
    """
    return Hiding("hide-and-seek", lambda height, width, noise: _cells(height, width, cell, probability, noise), cover)


@dataclass(frozen=True)
class Hiding(Intervention):
    """Cover the region that `choose` (height, width, noise) -> bool (H, W) draws."""

    kind: str
    choose: Callable[[int, int, Noise], Tensor]
    cover: Cover

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        stream = paired_noise(noise, self.kind)
        height, width = sample.image.shape[-2:]
        region = self.choose(height, width, stream)
        if not region.any():
            raise NotApplicable(f"{self.kind} covers nothing here by chance (sample {sample.id})")
        image = torch.where(region, self._paint(sample.image, stream), sample.image)
        target, before = ignore_pixels(sample.target, region), ignore_pixels(origin(sample), region)
        return make_edited(sample, self.kind, image, region=region, target=target, before=before, regions=cut_regions(sample, region))

    def _paint(self, image: Tensor, stream: Noise) -> Tensor:
        if self.cover == "noise":
            return stream.fork("cover").uniform(tuple(image.shape))[0].to(image.dtype)
        colour = image.mean(dim=(1, 2), keepdim=True) if self.cover == "mean" else image.new_full((3, 1, 1), GRAY)
        return colour.expand_as(image)


def _rectangle(height: int, width: int, least: float, most: float, noise: Noise) -> Tensor:
    rng = noise.fork("rectangle").rng()
    region = torch.zeros(height, width, dtype=torch.bool)
    for _ in range(MOST_TRIES):
        area = rng.uniform(least, most) * height * width
        aspect = rng.uniform(*ASPECTS)
        h, w = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < h < height and 0 < w < width:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            region[top : top + h, left : left + w] = True
            return region
    raise NotApplicable(f"no rectangle of {least:g} to {most:g} of an image of {width} x {height} px was found in {MOST_TRIES} tries")


def _cells(height: int, width: int, cell: int, probability: float, noise: Noise) -> Tensor:
    side = scale_length(cell, 224, height, width)
    rows, columns = -(-height // side), -(-width // side)
    hidden = torch.from_numpy(noise.fork("cells").rng().random((rows, columns)) < probability)
    return hidden.repeat_interleave(side, dim=0).repeat_interleave(side, dim=1)[:height, :width].contiguous()
