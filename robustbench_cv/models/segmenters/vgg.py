"""VGG-16's convolutions, the encoder of the first deep segmenters, with the places that its max-pools took. arXiv:1409.1556, column D."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

STAGES = ((1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8))
"""Maps of each convolution as multiples of the first stage's, in the five stages that end in a pool; the paper's first has 64."""


def stages(width: int, *, normed: bool) -> nn.ModuleList:
    """The five stages, without their pools. The first convolution of all takes 3 channels."""
    sizes = [[width * times for times in stage] for stage in STAGES]
    before = [3, *(stage[-1] for stage in sizes[:-1])]
    return nn.ModuleList(nn.Sequential(*chain([i, *stage], normed=normed)) for i, stage in zip(before, sizes, strict=True))


def chain(maps: list[int], *, normed: bool) -> list[nn.Module]:
    """3x3 convolutions from each number of maps to the next, each with its ReLU and, if `normed`, batch normalisation before that."""
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(maps):
        layers += [nn.Conv2d(inside, outside, 3, padding=1), *after(outside, normed=normed)]
    return layers


def after(maps: int, *, normed: bool) -> list[nn.Module]:
    """What follows a convolution."""
    return [*([nn.BatchNorm2d(maps)] if normed else []), nn.ReLU()]


def draw(network: nn.Module) -> None:
    """He initialisation of every convolution, forward or transposed; biases 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in" if isinstance(module, nn.Conv2d) else "fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class Pooled(NamedTuple):
    """values (N, C, h, w); switches, the places of each maximum in the flattened maps before pooling; size (H, W) of those."""

    values: Tensor
    switches: Tensor
    size: tuple[int, int]


def pool(x: Tensor) -> Pooled:
    """2x2 max-pool that remembers where each maximum stood. Odd sides keep their last row and column, as in Caffe."""
    values, switches = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    return Pooled(values, switches, (x.shape[-2], x.shape[-1]))


def unpool(x: Tensor, pooled: Pooled) -> Tensor:
    """Every value back at the place of its maximum, zeros elsewhere: (N, C, h, w) -> (N, C, *pooled.size)."""
    height, width = pooled.size
    # Non-overlapping windows never name a place twice, so scattering is deterministic; max_unpool2d refuses 16-bit floats on CPUs.
    flat = x.new_zeros(*x.shape[:2], height * width).scatter(2, pooled.switches.flatten(2), x.flatten(2))
    return flat.reshape(*x.shape[:2], height, width)
