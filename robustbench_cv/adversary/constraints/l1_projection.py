"""The geometry of the L1 ball inside the box [0, 1]. Croce & Hein, "Mind the box", ICML 2021, https://arxiv.org/abs/2103.01208"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def project_onto_l1_ball(x0: Tensor, theta: Tensor, radius: float) -> Tensor:
    """The point of {x in [0, 1]: sum |x - x0| <= radius} closest to theta (Euclidean), all (N, ...): proposition 2.1, by sorting.

    Its change is sign(d) * clamp(|d| - lam, 0, room), d = theta - x0 and room what the box leaves in that direction; lam >= 0 is the
    number at which the changes add up to the radius. Their sum is piecewise linear in lam, with bends where a coordinate leaves the wall
    (|d| - room) and where it reaches zero (|d|). A theta that is inside already comes back as it is.
    """
    boxed = theta.clamp(0, 1)
    if math.isinf(radius):
        return boxed
    inside = _sums(boxed - x0) <= radius
    if bool(inside.all()):
        return boxed
    change = (theta - x0).flatten(1)
    room = torch.where(change > 0, 1 - x0.flatten(1), x0.flatten(1))
    size = change.abs()
    lam = _level(size, room, radius * (1 - 1e-6))
    kept = torch.minimum((size - lam[:, None]).clamp(min=0), room)
    x = (x0 + (change.sign() * kept).reshape(x0.shape)).clamp(0, 1)
    # Rounding may have left a hair too much.
    excess = _sums(x - x0) / (radius * (1 - 1e-6) + 1e-30)
    x = torch.where(_column(_sums(x - x0) > radius, x), (x0 + (x - x0) / _column(excess, x) * (1 - 1e-5)).clamp(0, 1), x)
    return torch.where(_column(inside, x), boxed, x)


def sparse_sign(grad: Tensor, share: Tensor) -> Tensor:
    """The signs of the largest `share` (N,) of each sample's gradient, of L1 length 1; zero where the gradient is."""
    flat = grad.flatten(1)
    ordered = flat.abs().sort(dim=1).values
    first = ((1 - share.to(grad)) * flat.shape[1]).clamp(0, flat.shape[1] - 1).long()
    signs = flat.sign() * (flat.abs() >= ordered.gather(1, first[:, None]))
    return (signs / signs.abs().sum(dim=1, keepdim=True).clamp(min=1)).reshape(grad.shape)


def _level(size: Tensor, room: Tensor, radius: float) -> Tensor:
    """lam (N,), the least number from 0 up with sum clamp(size - lam, 0, room) <= radius, by sweeping lam down from infinity."""
    bends = torch.cat([size, size - room], dim=1).clamp(min=0)
    turns = torch.cat([torch.ones_like(size), -torch.ones_like(size)], dim=1)
    bends, order = bends.sort(dim=1, descending=True)
    growth = turns.gather(1, order).cumsum(dim=1)
    # Sums at each bend: zero at the highest, then what grew on the way down to the next.
    sums = (growth[:, :-1] * (bends[:, :-1] - bends[:, 1:])).cumsum(dim=1)
    sums = torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)
    # The last bend at which the sum is still small enough, and on from there.
    last = ((sums <= radius).sum(dim=1) - 1).clamp(min=0)[:, None]
    left, slope = radius - sums.gather(1, last), growth.gather(1, last)
    lam = bends.gather(1, last) - torch.where(slope > 0, left / slope.clamp(min=1), torch.zeros_like(left))
    return lam[:, 0].clamp(min=0)


def _sums(change: Tensor) -> Tensor:
    return change.abs().flatten(1).sum(dim=1)


def _column(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 1))
