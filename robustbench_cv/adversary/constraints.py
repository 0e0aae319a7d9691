"""Where the adversary may go: the parameters theta that it changes, and the images that they mean."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Target

TINY = 1e-30


class Constraint(ABC):
    """A geometry: it owns theta (N, ...), so patches and rotations fit as well as balls of a norm. x0 is (N, 3, H, W) in [0, 1]."""

    radius: float

    @abstractmethod
    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Constraint:
        """This constraint for these samples: a patch finds its spot here, a ball is the same everywhere."""

    def select(self, index: Tensor) -> Constraint:
        """This constraint, placed, for some of its samples (int64 indices)."""
        return self

    @abstractmethod
    def start(self, x0: Tensor, noise: Noise | None) -> Tensor:
        """A random theta inside; None gives the theta that does nothing: apply(x0, start(x0, None)) == x0."""

    @abstractmethod
    def edge(self, x0: Tensor, noise: Noise) -> Tensor:
        """A random theta that uses the whole radius (before the limits of the image)."""

    @abstractmethod
    def apply(self, x0: Tensor, theta: Tensor) -> Tensor:
        """The images that a feasible theta means, in [0, 1]; differentiable in theta."""

    @abstractmethod
    def project(self, x0: Tensor, theta: Tensor) -> Tensor:
        """A feasible theta near the given one; idempotent."""

    @abstractmethod
    def steepest(self, grad: Tensor) -> Tensor:
        """The unit step that gains most along `grad` in this geometry; zero where the gradient is zero."""

    @abstractmethod
    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        """How far images x are from x0: (N,), in units of radius. Needs no theta, so that anybody's images can be checked."""

    def size(self, x0: Tensor, theta: Tensor) -> Tensor:
        """How much of the radius theta uses: (N,)."""
        return self.measure(x0, self.apply(x0, theta))


@dataclass(frozen=True)
class Linf(Constraint):
    """max |x - x0| <= radius and x in [0, 1]. theta is the image x itself, so that no rounding stands between them."""

    radius: float

    def __post_init__(self) -> None:
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
        return torch.clamp(theta, x0 - self.radius, x0 + self.radius).clamp_(0, 1)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        return (x - x0).abs().flatten(1).amax(1)


@dataclass(frozen=True)
class L2(Constraint):
    """|x - x0|_2 <= radius over all pixels and channels, and x in [0, 1]. theta is the image x. An infinite radius only measures."""

    radius: float

    def __post_init__(self) -> None:
        if math.isnan(self.radius) or self.radius < 0:
            raise UserError(f"eps={self.radius!r} is no L2 radius: write a number from 0 up, in [0, 1] pixel units, such as 0.5")

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


def ball(norm: str, eps: float) -> Linf | L2:
    """The ball of a norm by name, 'linf' or 'l2'.

    >>> ball("l2", 0.5)
    L2(radius=0.5)
    """
    if norm.lower() == "linf":
        return Linf(eps)
    if norm.lower() == "l2":
        return L2(eps)
    raise UserError(f"no norm named {norm!r}; there are 'linf' and 'l2'")


def require_step(region: Linf | L2, alpha: float | None, steps: int, reach: float = 2.5) -> float:
    """The step size: alpha, or where it is None the one with which `steps` steps go `reach` times the radius."""
    if alpha is None:
        return reach * region.radius / max(steps, 1)
    if isinstance(region, Linf):
        require_pixel_units("alpha", alpha)
    elif not 0 <= alpha < math.inf:
        raise UserError(f"alpha={alpha!r} must be a length from 0 up")
    return alpha


def require_pixel_units(name: str, value: float) -> None:
    """UserError unless `value` is a length in [0, 1] pixel units; a whole number is taken for a slip of 8 for 8/255."""
    if 0 <= value <= 1 and not (isinstance(value, int) and value):
        return
    if value > 0:
        raise UserError(
            f"{name}={value!r} can be read as {value:g}/255 = {value / 255:.4f} of the pixel range (write {name}={value:g}/255), "
            f"as {value:g} % (write {name}={value / 100:g}), or as {value:g} times the whole range [0, 1] "
            f"(write {name}=1.0 for an attack without a bound)"
        )
    raise UserError(f"{name}={value!r} must be from 0 to 1, in [0, 1] pixel units: write {name}=8/255")


def _lengths(values: Tensor) -> Tensor:
    """Euclidean length of each sample: (N,)."""
    lengths: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return lengths


def _largest(values: Tensor) -> Tensor:
    """The largest magnitude of each sample: (N, 1, 1, 1), never zero."""
    return values.abs().flatten(1).amax(1).clamp(min=TINY).reshape(-1, 1, 1, 1)
