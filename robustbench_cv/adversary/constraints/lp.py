"""Balls of a norm around the clean image: Linf, L2 and L1; theta = x - x0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_facts import Norm
from robustbench_cv.adversary.constraint import TINY, Constraint
from robustbench_cv.adversary.constraints.l1_projection import project_onto_l1_ball, sparse_sign
from robustbench_cv.arguments import pixel_slip
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Target


@dataclass(frozen=True)
class Linf(Constraint):
    """max |x - x0| <= radius and x in [0, 1]. theta is the image x itself, so that no rounding stands between them.

    An infinite radius only measures.
    """

    radius: float
    norm: ClassVar[Norm] = "linf"

    def __post_init__(self) -> None:
        if self.radius != math.inf:
            require_pixel_units("eps", self.radius)

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Linf:
        return self

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """Uniform in the ball, then cut to [0, 1] (Madry et al. 2018)."""
        if noise is None:
            return x0.clone()
        uniform = noise.uniform(tuple(x0.shape[1:]), x0.device).to(x0)
        return self.project(x0, x0 + self.radius * (2 * uniform - 1))

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """Uniform, scaled so that one coordinate at least sits at +-radius (the start of APGD, Croce & Hein 2020)."""
        direction = 2 * noise.uniform(tuple(x0.shape[1:]), x0.device).to(x0) - 1
        return self.project(x0, x0 + self.radius * direction / _largest(direction))

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta.clamp(*self.bounds(x0))

    def bounds(self, x0: Tensor) -> tuple[Tensor, Tensor]:
        return (x0 - self.radius).clamp_(0, 1), (x0 + self.radius).clamp_(0, 1)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        return (x - x0).abs().flatten(1).amax(1)


@dataclass(frozen=True)
class L2(Constraint):
    """|x - x0|_2 <= radius over all pixels and channels, and x in [0, 1]. theta is the image x. An infinite radius only measures."""

    radius: float
    norm: ClassVar[Norm] = "l2"

    def __post_init__(self) -> None:
        _require_length("L2", self.radius, "0.5")

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> L2:
        return self

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """A Gaussian direction of uniform length in [0, radius] (project choice)."""
        if noise is None:
            return x0.clone()
        length = self.radius * noise.fork("length").uniform((1, 1, 1), x0.device).to(x0)
        return self.project(x0, x0 + length * self._direction(x0, noise))

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """A Gaussian direction of length radius (the start of APGD, Croce & Hein 2020)."""
        return self.project(x0, x0 + self.radius * self._direction(x0, noise))

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        # Cut to the image first: moving toward x0 afterwards stays in [0, 1], and no part of the radius is lost to the cut.
        change = theta.clamp(0, 1) - x0
        length = _lengths(change).reshape(-1, 1, 1, 1)
        # A hair inside the ball, so that rounding leaves a second projection nothing to do.
        factor = torch.where(length > self.radius, self.radius * (1 - 1e-6) / length.clamp(min=TINY), torch.ones_like(length))
        return (x0 + change * factor).clamp_(0, 1)

    def steepest(self, grad: Tensor) -> Tensor:
        # By the largest entry first: the squares of a saturated model's gradient underflow.
        scaled = grad / _largest(grad)
        return scaled / _lengths(scaled).clamp(min=TINY).reshape(-1, 1, 1, 1)

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        return _lengths(x - x0)

    def _direction(self, x0: Tensor, noise: Noise) -> Tensor:
        return self.steepest(noise.normal(tuple(x0.shape[1:]), x0.device).to(x0))


@dataclass(frozen=True)
class L1(Constraint):
    """sum |x - x0| <= radius over all pixels and channels, and x in [0, 1]. theta is the image x. An infinite radius only measures.

    share: of the coordinates that a steepest step moves, those of the largest gradient. One alone gains most and leads nowhere: SLIDE
    (Tramer & Boneh, NeurIPS 2019, https://arxiv.org/abs/1904.13000) moves all above a quantile, in foolbox 0.99.
    """

    radius: float
    share: float = 0.01
    norm: ClassVar[Norm] = "l1"

    def __post_init__(self) -> None:
        _require_length("L1", self.radius, "12.0")

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> L1:
        return self

    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """A Gaussian direction of uniform L1 length in [0, radius] (project choice)."""
        if noise is None:
            return x0.clone()
        direction = noise.normal(tuple(x0.shape[1:]), x0.device).to(x0)
        length = self.radius * noise.fork("length").uniform((1, 1, 1), x0.device).to(x0)
        return self.project(x0, x0 + length * direction / direction.abs().sum(dim=(1, 2, 3), keepdim=True))

    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """Standard normal noise, projected (the start of APGD-L1, Croce & Hein 2021)."""
        return self.project(x0, x0 + noise.normal(tuple(x0.shape[1:]), x0.device).to(x0))

    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        return theta

    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        """Exact, on the ball and the box at once: the box alone would give away most of a sparse step (Croce & Hein 2021)."""
        return project_onto_l1_ball(x0, theta, self.radius)

    def steepest(self, grad: Tensor) -> Tensor:
        return sparse_sign(grad, torch.full((len(grad),), self.share))

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        return (x - x0).abs().flatten(1).sum(1)


Ball: TypeAlias = Linf | L2 | L1


def ball(norm: str, eps: float | None) -> Ball:
    """The ball of a norm by name, 'linf', 'l2' or 'l1'; eps=None: no bound, sizes are only measured.

    >>> ball("l2", 0.5)
    L2(radius=0.5)
    """
    balls: dict[str, type[Ball]] = {"linf": Linf, "l2": L2, "l1": L1}
    if norm.lower() not in balls:
        raise UserError(f"no norm named {norm!r}; there are 'linf', 'l2' and 'l1'")
    return balls[norm.lower()](math.inf if eps is None else eps)


def _require_length(norm: str, radius: float, such_as: str) -> None:
    """UserError unless a radius is a length from 0 up."""
    if math.isnan(radius) or radius < 0:
        raise UserError(f"eps={radius!r} is no {norm} radius: write a number from 0 up, in [0, 1] pixel units, such as {such_as}")


def require_pixel_units(name: str, value: float) -> None:
    """UserError unless `value` is a length in [0, 1] pixel units; a whole number is taken for a slip of 8 for 8/255."""
    if 0 <= value <= 1 and not (isinstance(value, int) and value):
        return
    raise UserError(pixel_slip(name, value))


def _lengths(values: Tensor) -> Tensor:
    """Euclidean length of each sample: (N,)."""
    lengths: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return lengths


def _largest(values: Tensor) -> Tensor:
    """The largest magnitude of each sample: (N, 1, 1, 1), never zero."""
    return values.abs().flatten(1).amax(1).clamp(min=TINY).reshape(-1, 1, 1, 1)
