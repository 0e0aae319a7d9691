"""A patch pasted into images: where it lies, how it is turned, and in which light it is seen, drawn anew for each image.

Expectation over transformation (Athalye et al., ICML 2018) draws these for every training step; judging draws them once for each sample id.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv import boxes
from robustbench_cv.adversary.universal.perturbation import Placed, Surface
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, Target

Where = Literal["corner", "centre", "random", "object"]
ROUNDING_PX = math.sqrt(2)
"""A square of side s in any position holds the centres of at most (s + this)^2 pixels."""
DISTANCE = 4.0
"""The camera's distance in patch sides, which is how strong perspective is (project choice)."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Random conditions, each drawn uniformly and independently; all zero: the patch straight on, as it was printed.

    rotation, yaw: +- degrees in the plane, and about the patch's vertical axis. quarter_turns: a multiple of 90 degrees more.
    shift: of the centre, +- as a share of the side. contrast: a factor 1 +- this. brightness: +- this. noise: of uniform noise, +- this.
    blur: standard deviation of a Gaussian, from 0 to this share of the side.
    """

    rotation: float = 0.0
    yaw: float = 0.0
    quarter_turns: bool = False
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    blur: float = 0.0


OUTDOORS = Look(rotation=15, yaw=45, shift=0.05, contrast=0.2, brightness=0.3, noise=0.03, blur=0.06)
"""Physical conditions (project choice, for no published list is verified): +- 15 degrees in the plane, +- 45 of yaw, +- 0.3 of brightness,
a blur of up to 2 of 32 texture pixels. JPEG, which has no gradient, is left out."""


@dataclass(frozen=True, kw_only=True)
class Pasted(Surface):
    """theta (3, side, side) in [0, 1], in a square of the image or on each of its reference objects; nothing else changes.

    where: the top left corner, the centre, anywhere (always fully inside), or 'object': on each reference box, at its centre.
    smallest, largest: between these the size is drawn: a share of the image's area; with 'object' the side as a share of the box's
    diagonal, or, if `stretched`, width and height as shares of the box's own. on_mask: only on the object's own pixels, where masks are
    known. lift: upwards by a share of the image's height. circle: a disc instead of a square.
    radius: the largest share of the image's area; with 'object' 1.0, for there the objects set the size.
    """

    side: int = 32
    where: Where = "random"
    smallest: float = 0.1
    largest: float = 0.1
    look: Look = field(default_factory=Look)
    circle: bool = False
    stretched: bool = False
    on_mask: bool = False
    lift: float = 0.0

    def __post_init__(self) -> None:
        if self.where not in ("corner", "centre", "random", "object"):
            raise UserError(f"no place named {self.where!r}; there are 'corner', 'centre', 'random' and 'object'")
        if not 0 < self.smallest <= self.largest or (self.where != "object" and self.largest > 1):
            raise UserError(
                f"a patch between {self.smallest!r} and {self.largest!r} of the image cannot be drawn: write shares such as 0.05"
            )
        if self.side < 2:
            raise UserError(f"a patch of side={self.side} has nothing to fit: write 16 or more")

    @property
    def radius(self) -> float:  # type: ignore[override]
        return 1.0 if self.where == "object" else self.largest

    def start(self, image: Tensor, noise: Noise) -> Tensor:
        """Grey, with a little noise to break the symmetry."""
        return 0.5 + 0.1 * (noise.uniform((3, self.side, self.side), image.device)[0] - 0.5)

    def random(self, theta: Tensor, noise: Noise) -> Tensor:
        """theta's own pixels in another order: the same colours, no pattern (the baseline of TOG's patch)."""
        order = torch.from_numpy(noise.rng().permutation(theta.shape[1] * theta.shape[2])).to(theta.device)
        return theta.flatten(1)[:, order].reshape(theta.shape)

    def project(self, theta: Tensor) -> Tensor:
        return theta.clamp(0, 1)

    def measure(self, x0: Tensor, x: Tensor) -> Tensor:
        return (x != x0).any(dim=1).flatten(1).float().mean(dim=1)

    def stored_theta(self, theta: Tensor) -> Tensor:
        """8 bits a channel, so that the picture file is the patch itself."""
        return (theta * 255).round() / 255

    def plain(self) -> Pasted:
        return dataclasses.replace(self, look=Look(quarter_turns=False))

    def place(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> Placed:
        spots = self._on_objects(x0, references, noise) if self.where == "object" else self._in_image(x0, noise)
        return _Patched(x0, spots, _Light.draw(self.look, noise, x0), self.circle)

    def _in_image(self, x0: Tensor, noise: Noise) -> _Spots:
        height, width = x0.shape[-2:]
        drawn = noise.fork("where").uniform((3,), x0.device).to(x0)
        share = self.smallest + (self.largest - self.smallest) * drawn[:, 0]
        # Smaller by what the pixel raster can add, so that the share is an upper bound.
        sides = (torch.sqrt(share * height * width) - ROUNDING_PX).clamp(min=0.5)
        half = sides[:, None].expand(-1, 2) / 2
        room = x0.new_tensor([width, height]) - 2 * _reach(self.look, half)
        if bool((room < 0).any()):
            raise UserError(f"a patch of {self.largest:.0%} of the area, turned, does not fit into an image of {height} x {width}")
        at = {"corner": torch.zeros_like(half), "centre": torch.full_like(half, 0.5)}.get(self.where, drawn[:, 1:])
        centre = _reach(self.look, half) + at * room
        return _Spots.draw_turns(self.look, centre[:, None], half[:, None], None, noise)

    def _on_objects(self, x0: Tensor, references: Sequence[Target], noise: Noise) -> _Spots:
        object_boxes = [r.boxes.to(x0) if isinstance(r, BoxTarget) else x0.new_zeros(0, 4) for r in references]
        most = max([1, *map(len, object_boxes)])
        frames = torch.stack([F.pad(f, (0, 0, 0, most - len(f))) for f in object_boxes])
        present = torch.tensor([[k < len(f) for k in range(most)] for f in object_boxes], device=x0.device)
        drawn = noise.fork("size").uniform((most, 3), x0.device).to(x0)
        size = frames[..., 2:] - frames[..., :2]
        reference = size if self.stretched else torch.linalg.vector_norm(size, dim=-1, keepdim=True).expand_as(size)
        half = (self.smallest + (self.largest - self.smallest) * drawn[..., :1]) * reference / 2
        centre = (frames[..., :2] + frames[..., 2:]) / 2 + self.look.shift * (2 * drawn[..., 1:] - 1) * 2 * half
        centre = centre - x0.new_tensor([0.0, self.lift * x0.shape[-2]])
        masks = _masks(references, present, x0) if self.on_mask else present[:, :, None, None].expand(-1, -1, *x0.shape[-2:])
        return _Spots.draw_turns(self.look, centre, half, masks, noise)


def _reach(look: Look, half: Tensor) -> Tensor:
    """How far a patch reaches from its centre at most, in any of its turns: (..., 2)."""
    angle = math.radians(min(look.rotation, 45.0))
    return half * math.cos(angle) + half.flip(-1) * math.sin(angle)


def _masks(references: Sequence[Target], present: Tensor, x0: Tensor) -> Tensor:
    """bool (N, M, H, W): the pixels of each object; all pixels where they are not annotated."""
    masks = present[:, :, None, None].repeat(1, 1, *x0.shape[-2:])
    for i, target in enumerate(references):
        if isinstance(target, BoxTarget) and target.masks is not None:
            masks[i, : len(target.masks)] = target.masks.to(x0.device)
    return masks


@dataclass(frozen=True, eq=False)
class _Spots:
    """M places in each image: to_patch (N, M, 3, 3) takes homogeneous pixel positions to the patch's [-1, 1]^2.

    allowed: bool (N, M, H, W), or None for everywhere.
    """

    to_patch: Tensor
    allowed: Tensor | None

    @classmethod
    def draw_turns(cls, look: Look, centre: Tensor, half: Tensor, allowed: Tensor | None, noise: Noise) -> _Spots:
        """centre, half: (N, M, 2), x and y in pixels."""
        drawn = noise.fork("turn").uniform((centre.shape[1], 3), centre.device).to(centre)
        angle = torch.deg2rad(look.rotation * (2 * drawn[..., 0] - 1))
        if look.quarter_turns:
            angle = angle + math.pi / 2 * (4 * drawn[..., 2]).floor()
        yaw = torch.deg2rad(look.yaw * (2 * drawn[..., 1] - 1))
        wide, high = half[..., 0], half[..., 1]
        # A pinhole camera; the nearer edge keeps its size, so that no turn makes the patch larger.
        tilt = yaw.sin() / (2 * DISTANCE)
        nearer = 1 - tilt.abs()
        cos, sin = angle.cos() * nearer, angle.sin() * nearer
        x, y, zero, one = centre[..., 0], centre[..., 1], torch.zeros_like(wide), torch.ones_like(wide)
        rows = [
            [cos * wide * yaw.cos() + x * tilt, -sin * high, x],
            [sin * wide * yaw.cos() + y * tilt, cos * high, y],
            [tilt, zero, one],
        ]
        to_image = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
        # A box without any area, or padding, gets a patch that no pixel's centre hits.
        empty = (half.amin(dim=-1) <= 0)[..., None, None]
        safe = torch.where(empty, torch.diag(to_image.new_tensor([1e-6, 1e-6, 1.0])), to_image)
        return cls(torch.linalg.inv(safe), allowed)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Light:
    """factor, offset, sigma: (N, 1, 1, 1); grain: the range of uniform noise, with its stream."""

    factor: Tensor
    offset: Tensor
    sigma: Tensor
    blur: float
    grain: float
    noise: Noise

    @classmethod
    def draw(cls, look: Look, noise: Noise, x0: Tensor) -> _Light:
        drawn = noise.fork("light").uniform((3, 1, 1, 1), x0.device).to(x0)
        factor = 1 + look.contrast * (2 * drawn[:, 0] - 1)
        offset = look.brightness * (2 * drawn[:, 1] - 1)
        return cls(factor=factor, offset=offset, sigma=look.blur * drawn[:, 2], blur=look.blur, grain=look.noise, noise=noise.fork("grain"))

    def on(self, theta: Tensor) -> Tensor:
        """theta (3, s, s) as each image's camera sees it: (N, 3, s, s)."""
        seen = theta.expand(len(self.factor), -1, -1, -1)
        if self.blur > 0:
            seen = _blur(seen, self.sigma[:, 0, 0, 0] * theta.shape[-1], math.ceil(3 * self.blur * theta.shape[-1]))
        seen = (seen - 0.5) * self.factor + 0.5 + self.offset
        if self.grain > 0:
            seen = seen + self.grain * (2 * self.noise.uniform(tuple(theta.shape), theta.device).to(theta) - 1)
        return seen.clamp(0, 1)


def _blur(images: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """A Gaussian of its own for each image, edges continued."""
    n, channels, height, width = images.shape
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-0.5 * (steps / sigma.clamp(min=1e-3)[:, None]).square())
    kernel = (weights / weights.sum(dim=1, keepdim=True)).repeat_interleave(channels, dim=0)[:, None]
    flat = F.pad(images, (reach,) * 4, mode="replicate").reshape(1, n * channels, height + 2 * reach, width + 2 * reach)
    flat = F.conv2d(flat, kernel[:, :, :, None], groups=n * channels)
    return F.conv2d(flat, kernel[:, :, None, :], groups=n * channels).reshape(images.shape)


class _Patched(Placed):
    def __init__(self, x0: Tensor, spots: _Spots, light: _Light, circle: bool) -> None:
        self.x0, self._spots, self._light = x0, spots, light
        height, width = x0.shape[-2:]
        rows, columns = torch.meshgrid(torch.arange(height).to(x0) + 0.5, torch.arange(width).to(x0) + 0.5, indexing="ij")
        pixels = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1)
        at = torch.einsum("nmij,hwj->nmhwi", spots.to_patch, pixels)
        # Behind the camera the third coordinate turns negative; there is no patch there.
        self._grids = at[..., :2] / at[..., 2:].clamp(min=1e-6)
        reach = self._grids.square().sum(dim=-1) if circle else self._grids.abs().amax(dim=-1)
        self._inside = (reach <= 1) & (at[..., 2] > 0)
        if spots.allowed is not None:
            self._inside &= spots.allowed
        self.covered = self._inside.any(dim=1)
        self.frames = torch.stack([boxes.from_mask(mask) for mask in self.covered]).to(x0)

    def apply(self, theta: Tensor) -> Tensor:
        seen = self._light.on(theta.to(self.x0))
        x = self.x0
        for grid, inside in zip(self._grids.unbind(1), self._inside.unbind(1), strict=True):
            colour = F.grid_sample(seen, grid, mode="bilinear", padding_mode="border", align_corners=False)
            # The weights of the interpolation add up to 1 only up to rounding.
            x = torch.where(inside[:, None], colour.clamp(0, 1), x)
        return x
