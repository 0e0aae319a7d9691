"""What one theta, shared by all samples, is drawn on: the whole image (`Overlay`), or a patch in it (`patch_application.Pasted`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.adversary.attack_facts import Norm
from robustbench_cv.adversary.constraints.lp import require_pixel_units
from robustbench_cv.noise import Noise
from robustbench_cv.types import IGNORE, BoxTarget, MaskTarget, Target


class Placed(ABC):
    """A surface, found for each of N images x0. covered: bool (N, H, W), the pixels that are no longer the scene's own.

    frames: (N, 4), the box around what was drawn, zeros where nothing was.
    """

    x0: Tensor
    covered: Tensor
    frames: Tensor

    @abstractmethod
    def apply(self, theta: Tensor) -> Tensor:
        """The images with theta on them, in [0, 1]; differentiable in theta."""

    def visible(self, targets: Sequence[Target]) -> Sequence[Target]:
        """The targets without the pixels that a patch covers: nobody can know what lies under it."""
        return [_ignore_covered(t, c) if isinstance(t, MaskTarget) else t for t, c in zip(targets, self.covered, strict=True)]

    def as_objects(self, label: int) -> Sequence[Target]:
        """The patch itself as the only object of each image, of class `label`: what DPatch and creation attacks want to be seen."""
        return [BoxTarget.of(frame[None], torch.tensor([label], device=frame.device)) for frame in self.frames]


class Surface(ABC):
    """Owns the shape and the limits of theta. radius: the budget that `measure` is held to."""

    radius: float
    norm: ClassVar[Norm] = "area"
    """What the radius measures."""

    @abstractmethod
    def start(self, image: Tensor, noise: Noise) -> Tensor:
        """The theta that a fit begins with; image (3, H, W) shows the size of the training images."""

    @abstractmethod
    def random(self, theta: Tensor, noise: Noise) -> Tensor:
        """A theta of the same size and budget without any purpose: the control."""

    @abstractmethod
    def project(self, theta: Tensor) -> Tensor:
        """A feasible theta near the given one; idempotent."""

    @abstractmethod
    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Placed:
        """Where theta goes in these images: by the references' boxes, or by each sample's own random numbers."""

    @abstractmethod
    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        """How much of the budget images x use: (N,)."""

    @abstractmethod
    def plain(self) -> Self:
        """This surface without random conditions: seen straight on, in even light."""

    def stored_theta(self, theta: Tensor) -> Tensor:
        """theta (on the CPU) as a file holds it."""
        return theta

    def facts(self) -> dict[str, Any]:
        """Everything that says where theta goes, as JSON can hold it."""
        return {"kind": type(self).__name__.lower(), **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Overlay(Surface):
    """theta (3, H, W) in [-radius, radius] added to every image, which is then cut to [0, 1]: a universal perturbation.

    For images of another size theta is interpolated (bilinear: it stays in the ball), a project choice.
    """

    radius: float
    norm: ClassVar[Norm] = "linf"

    def __post_init__(self) -> None:
        require_pixel_units("eps", self.radius)

    def start(self, image: Tensor, noise: Noise) -> Tensor:
        """Uniform in the ball."""
        return self.radius * (2 * noise.uniform(tuple(image.shape), image.device)[0] - 1)

    def random(self, theta: Tensor, noise: Noise) -> Tensor:
        """A random sign for each value, the largest noise of that size."""
        return self.radius * (noise.uniform(tuple(theta.shape), theta.device)[0] - 0.5).sign()

    def project(self, theta: Tensor) -> Tensor:
        return theta.clamp(-self.radius, self.radius)

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Placed:
        return _Added(x0, self.radius)

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        return (x - x0).abs().flatten(1).amax(1)

    def plain(self) -> Overlay:
        return self


class _Added(Placed):
    def __init__(self, x0: Tensor, radius: float) -> None:
        self.x0, self._radius = x0, radius
        self.covered = torch.zeros(len(x0), *x0.shape[2:], dtype=torch.bool, device=x0.device)
        self.frames = torch.zeros(len(x0), 4, device=x0.device)

    def apply(self, theta: Tensor) -> Tensor:
        theta = theta.to(self.x0)
        if theta.shape[1:] != self.x0.shape[2:]:
            theta = F.interpolate(theta[None], self.x0.shape[2:], mode="bilinear")[0]
        x = self.x0 + theta
        # x0 + radius can round to just outside the ball.
        return torch.clamp(x, self.x0 - self._radius, self.x0 + self._radius).clamp(0, 1)


def _ignore_covered(target: MaskTarget, covered: Tensor) -> MaskTarget:
    return replace(target, labels=target.labels.masked_fill(covered.to(target.labels.device), IGNORE))
