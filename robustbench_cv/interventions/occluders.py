"""Shapes and textures of occluders: for one sample and seed a larger share covers a superset of what a smaller one covers."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from robustbench_cv.boxes import from_mask, to_mask
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.fill import GRAY, blur
from robustbench_cv.interventions.object_selection import objects
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample

Order = Callable[[Tensor, Noise], Tensor]


def block(mask: Tensor, noise: Noise) -> Tensor:
    """Order in which a rectangle that grows from a random point of the object, cut to the object's bounding box, reaches each pixel:
    float64 (H, W), infinite outside the box."""
    rng = noise.rng()
    points = mask.nonzero()
    y, x = points[int(rng.integers(len(points)))].double() + torch.from_numpy(rng.uniform(-0.5, 0.5, 2))
    x1, y1, x2, y2 = from_mask(mask).double()
    # Aspects between 1/2 and 2 times the object's own (project choice).
    aspect = float((x2 - x1) / (y2 - y1)) * 2.0 ** float(rng.uniform(-1, 1))
    rows, columns = (torch.arange(n, dtype=torch.float64) for n in mask.shape)
    reached = torch.maximum((rows - y).abs()[:, None], (columns - x).abs()[None, :] / aspect)
    return reached.masked_fill(~to_mask(from_mask(mask), *mask.shape), numpy.inf)


def blobs(mask: Tensor, noise: Noise) -> Tensor:
    """A smooth random field in the object's bounding box, infinite outside: its low ground is covered first. float64 (H, W)."""
    x1, y1, x2, y2 = (int(v) for v in from_mask(mask))
    cells = 6  # bumps along each side of the box (project choice)
    coarse = torch.from_numpy(noise.rng().standard_normal((1, 1, cells, cells)))
    field = torch.full(mask.shape, numpy.inf, dtype=torch.float64)
    field[y1:y2, x1:x2] = interpolate(coarse, size=(y2 - y1, x2 - x1), mode="bicubic", align_corners=True)[0, 0]
    return field


STYLES: dict[str, Order] = {"block": block, "blobs": blobs}


def covering_pixels(mask: Tensor, order: Tensor, share: float) -> Tensor:
    """The occluder, bool (H, W), that covers the share of the mask which is nearest to `share` among those the order can reach.

    >>> covering_pixels(torch.ones(1, 4, dtype=torch.bool), torch.tensor([[3.0, 1, 0, 2]]), 0.5)
    tensor([[False,  True,  True, False]])
    """
    ranks = order[mask].sort().values
    levels, counts = torch.unique_consecutive(ranks, return_counts=True)
    nearest = int((counts.cumsum(0) / len(ranks) - share).abs().argmin())
    covered: Tensor = order <= levels[nearest]
    return covered


def plain(sample: Sample, noise: Noise) -> Tensor:
    return torch.full_like(sample.image, GRAY)


def random_pixels(sample: Sample, noise: Noise) -> Tensor:
    """Uniform in [0, 1), every pixel for itself."""
    return noise.fork("texture").uniform(tuple(sample.image.shape))[0].to(sample.image.dtype)


def own_background(sample: Sample, noise: Noise) -> Tensor:
    """The image's own background, objects blurred away, shifted by at least a quarter of each side (around the edges)."""
    region = objects(sample)
    if region.all():
        raise NotApplicable(f"sample {sample.id} has no background pixel to make a patch of")
    image = torch.where(region, blur(sample.image, region, noise), sample.image) if region.any() else sample.image
    shifts = [round(n * s) for n, s in zip(region.shape, noise.fork("texture").rng().uniform(0.25, 0.75, 2), strict=True)]
    return image.roll(shifts, dims=(1, 2)).clamp(0, 1)


TEXTURES: dict[str, Callable[[Sample, Noise], Tensor]] = {"gray": plain, "noise": random_pixels, "patch": own_background}

OBJECT, SILHOUETTE = "object", "silhouette"
"""The texture and the style of occluders that are objects of other samples."""


def style_of(texture: str, style: str) -> str:
    """The style that is meant. UserError for a texture or a style that is not there, and for an object in another shape than its own."""
    for name, value, choices in (("texture", texture, {*TEXTURES, OBJECT}), ("style", style, {*STYLES, SILHOUETTE, "auto"})):
        if value not in choices:
            raise UserError(f"no {name} named {value!r}; choose one of {sorted(choices)}")
    if style == "auto":
        return SILHOUETTE if texture == OBJECT else "block"
    if texture == OBJECT and style != SILHOUETTE:
        raise UserError(f"an object of another sample has its own outline, not style={style!r}: leave style out")
    return style
