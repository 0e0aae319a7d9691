"""Where the adversary may go: the parameters theta that it changes, and the images that they mean."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from robustbench_cv.adversary.attack_facts import Norm
from robustbench_cv.noise import Noise
from robustbench_cv.types import Target

TINY = 1e-30


class Constraint(ABC):
    """A geometry: it owns theta (N, ...), so patches and rotations fit as well as balls of a norm. x0 is (N, 3, H, W) in [0, 1]."""

    radius: float
    norm: ClassVar[Norm] = ""
    """What the radius measures."""
    theta_is_picture: ClassVar[bool] = True
    """Whether theta is (N, 3, h, w), the pixels of an image or of a patch, rather than a few numbers of some other meaning."""

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

    def bounds(self, x0: Tensor) -> tuple[Tensor, Tensor] | None:
        """The least and the largest feasible theta where what lies between them is all that is feasible: projecting is one clamp then."""
        return None

    @abstractmethod
    def steepest(self, grad: Tensor) -> Tensor:
        """The unit step that gains most along `grad` in this geometry; zero where the gradient is zero."""

    @abstractmethod
    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        """How far images x are from x0: (N,), in units of radius. Needs no theta, so that anybody's images can be checked.

        NotApplicable where images alone do not tell (a rotation): then `size` does.
        """

    def size(self, x0: Tensor, theta: Tensor) -> Tensor:
        """How much of the radius theta uses: (N,)."""
        return self.measure(x0, self.apply(x0, theta))
