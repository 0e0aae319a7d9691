"""Fill a hole with patches of the rest of the image: PatchMatch's search, coarse to fine.

Nearest patches by the propagation and random search of Barnes, Shechtman, Finkelstein, Goldman, "PatchMatch", SIGGRAPH 2009; each pixel the
mean of what the patches over it say, as in Wexler, Shechtman, Irani, "Space-Time Completion of Video", PAMI 2007. All pixels are searched
at once rather than in scan order, and the sizes and counts below are project choices.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from robustbench_cv.interventions.fill import extend_background
from robustbench_cv.noise import Noise

RADIUS = 3
"""Patches are of 7 x 7 px."""

COARSEST = 24
"""px of the shorter side below which no smaller level is made."""

PASSES, SEARCHES = 4, 5
"""Rounds of search and voting at each level; random tries of a round, each in half the window of the one before."""

_STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, -1), (2, 0), (0, 2))


def fill_by_patches(image: Tensor, region: Tensor, noise: Noise) -> Tensor:
    """The image (3, H, W) with the region (H, W) replaced by pixels of patches that lie wholly outside it; unchanged elsewhere.

    Where no whole patch lies outside, the nearest pixels outside.
    """
    levels = [(image, region)]
    while min(levels[-1][1].shape) >= 2 * COARSEST:
        small = _halved(*levels[-1])
        if not _sources(small[1]).any():
            break
        levels.append(small)
    if not _sources(region).any():
        return extend_background(image, region)
    rng = torch.Generator().manual_seed(noise.fork("patches").key())
    current, field = extend_background(*levels[-1]), None
    for pixels, hole in reversed(levels):
        if current.shape != pixels.shape:
            grown = interpolate(current[None], size=pixels.shape[-2:], mode="bilinear", align_corners=False)[0]
            current = torch.where(hole, grown, pixels)
            field = None if field is None else _grown(field, hole.shape)
        current, field = _complete(current, hole, field, rng)
    return current


def _halved(image: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """Half the size; a pixel with any part in the hole belongs to it."""
    size = [math.ceil(n / 2) for n in region.shape]
    known = (~region).to(image.dtype)[None]
    both = interpolate(torch.cat([image * known, known])[None], size=size, mode="area")[0]
    return both[:3] / both[3:].clamp(min=1e-6), both[3] < 1 - 1e-6


def _sources(region: Tensor) -> Tensor:
    """Centres of the patches that lie wholly inside the image and outside the hole: bool (H, W)."""
    hidden = pad(region.to(torch.float32)[None, None], (RADIUS,) * 4, value=1.0)
    blocked: Tensor = torch.nn.functional.max_pool2d(hidden, 2 * RADIUS + 1, stride=1)[0, 0] > 0
    return ~blocked


def _complete(image: Tensor, hole: Tensor, field: Tensor | None, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """One level: the image with its hole filled, and the place (H, W, 2) that each pixel's patch was taken from."""
    height, width = hole.shape
    allowed = _sources(hole)
    places = allowed.nonzero()
    near = torch.nn.functional.max_pool2d(hole.float()[None, None], 2 * RADIUS + 1, stride=1, padding=RADIUS)[0, 0] > 0
    centres = near.nonzero()  # every patch that overlaps the hole
    best = places[torch.randint(len(places), (len(centres),), generator=rng)]
    if field is not None:
        old = field[centres[:, 0], centres[:, 1]]
        best = torch.where(allowed[old[:, 0], old[:, 1]][:, None], old, best)
    index = torch.full((height, width), -1)
    index[centres[:, 0], centres[:, 1]] = torch.arange(len(centres))
    for _ in range(PASSES):
        patches = _Patches(image)
        cost = patches.distance(centres, best)
        for candidate in _candidates(centres, best, index, rng):
            candidate = torch.stack([candidate[:, 0].clamp(0, height - 1), candidate[:, 1].clamp(0, width - 1)], dim=1)
            distance = patches.distance(centres, candidate)
            better = allowed[candidate[:, 0], candidate[:, 1]] & (distance < cost)
            best, cost = torch.where(better[:, None], candidate, best), torch.where(better, distance, cost)
        image = _vote(image, hole, centres, best, cost)
    found = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), dim=2)
    found[centres[:, 0], centres[:, 1]] = best
    return image, found


def _candidates(centres: Tensor, best: Tensor, index: Tensor, rng: torch.Generator) -> list[Tensor]:
    """Places to try: where the neighbours' patches say that this one's lies, and random ones around the best."""
    height, width = index.shape
    out = []
    for dy, dx in _STEPS:
        y, x = (centres[:, 0] + dy).clamp(0, height - 1), (centres[:, 1] + dx).clamp(0, width - 1)
        neighbour = index[y, x]
        moved = best[neighbour.clamp(min=0)] - torch.tensor([dy, dx])
        out.append(torch.where((neighbour >= 0)[:, None], moved, best))
    reach = float(max(height, width))
    for _ in range(SEARCHES):
        step = (torch.rand(best.shape, generator=rng) * 2 - 1) * reach
        out.append(best + step.round().long())
        reach = max(1.0, reach / 3)
    return out


class _Patches:
    """The patches of an image whose border pixels are repeated."""

    def __init__(self, image: Tensor) -> None:
        self.padded = pad(image[None], (RADIUS,) * 4, mode="replicate")[0].permute(1, 2, 0).contiguous()
        side = torch.arange(2 * RADIUS + 1)
        self.dy, self.dx = (part.flatten() for part in torch.meshgrid(side, side, indexing="ij"))

    def at(self, centres: Tensor) -> Tensor:
        """(M, 2) -> (M, 49, 3)."""
        return self.padded[centres[:, :1] + self.dy, centres[:, 1:] + self.dx]

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Mean squared difference of the patches at (M, 2) and (M, 2): (M,)."""
        return (self.at(a) - self.at(b)).square().mean(dim=(1, 2))


def _vote(image: Tensor, hole: Tensor, centres: Tensor, best: Tensor, cost: Tensor) -> Tensor:
    """Each pixel of the hole as the mean of what the patches over it say, the likelier the heavier."""
    height, width = hole.shape
    spread = cost.median().clamp(min=1e-5)
    weight = torch.exp(-cost / (2 * spread)).clamp(min=1e-6)
    total = torch.zeros(3, height, width, dtype=image.dtype)
    weights = torch.zeros(height, width, dtype=image.dtype)
    for dy in range(-RADIUS, RADIUS + 1):
        for dx in range(-RADIUS, RADIUS + 1):
            y, x = centres[:, 0] + dy, centres[:, 1] + dx
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            y, x, w = y[inside], x[inside], weight[inside]
            source = best[inside] + torch.tensor([dy, dx])
            # each offset names a pixel once, so that no sum depends on an order
            total[:, y, x] += w * image[:, source[:, 0], source[:, 1]]
            weights[y, x] += w
    return torch.where(hole, total / weights.clamp(min=1e-12), image)


def _grown(field: Tensor, size: torch.Size) -> Tensor:
    """Places of the next level: twice those of this one, and the pixel's own parity."""
    y, x = torch.arange(size[0]), torch.arange(size[1])
    coarse = field[(y // 2).clamp(max=field.shape[0] - 1)][:, (x // 2).clamp(max=field.shape[1] - 1)] * 2
    coarse = coarse + torch.stack(torch.meshgrid(y % 2, x % 2, indexing="ij"), dim=2)
    return torch.stack([coarse[..., 0].clamp(max=size[0] - 1), coarse[..., 1].clamp(max=size[1] - 1)], dim=2)
