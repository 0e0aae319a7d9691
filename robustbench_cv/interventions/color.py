"""Change how everything looks and nothing of where it is: no colour, another hue."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor

from robustbench_cv.arguments import Range
from robustbench_cv.catalogue import intervention
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.intervention import Intervention
from robustbench_cv.interventions.target_update import make_edited, origin, paired_noise
from robustbench_cv.noise import Noise
from robustbench_cv.types import Sample

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance of ITU-R BT.601."""


@intervention()
def grayscale() -> Intervention:
    """Replace colours by their luminance (ITU-R BT.601)."""

    def paint(image: Tensor, noise: Noise) -> Tensor:
        return _luminance(image)[None].expand_as(image)

    return ColorEdit("grayscale", paint)


@intervention()
def hue(
    degrees: Annotated[float, Range(-180, 180, meaning="degrees")] = 90.0, keep: Literal["luminance", "hsv"] = "luminance"
) -> Intervention:
    """Turn all hues by an angle.

    keep: "luminance" (the matrix of SVG's hueRotate filter, cut to [0, 1]), or "hsv" (saturation and value of HSV, see `turn_hsv`: never
    cut, so that the opposite turn undoes it).
    """
    matrix = hue_matrix(degrees)

    def paint(image: Tensor, noise: Noise) -> Tensor:
        return turn_hsv(image, degrees) if keep == "hsv" else torch.einsum("ij,jhw->ihw", matrix.to(image.dtype), image)

    return ColorEdit("hue", paint)


@dataclass(frozen=True)
class ColorEdit(Intervention):
    """The whole image painted anew, targets as they are."""

    kind: str
    paint: Callable[[Tensor, Noise], Tensor]

    @property
    def control(self) -> str | None:
        """None: what changes the whole image has no elsewhere."""
        return None

    def __call__(self, sample: Sample, noise: Noise, /) -> Sample:
        image = self.paint(sample.image, paired_noise(noise, self.kind)).clamp(0, 1).contiguous()
        if torch.allclose(image, sample.image, rtol=0, atol=1e-6):  # far below a grey level
            raise NotApplicable(f"{self.kind} leaves the image as it is (sample {sample.id})")
        region = torch.ones(sample.image.shape[-2:], dtype=torch.bool)
        regions = dict(sample.regions)
        return make_edited(sample, self.kind, image, region=region, target=sample.target, before=origin(sample), regions=regions)


def hue_matrix(degrees: float) -> Tensor:
    """The linear map of colours (3, 3): luminance kept, the plane of equal luminance turned.

    >>> torch.allclose(hue_matrix(120) @ hue_matrix(240), torch.eye(3, dtype=torch.float64), atol=2e-2)
    True
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    r, g, b = 0.213, 0.715, 0.072
    base = torch.tensor([[r, g, b]] * 3, dtype=torch.float64)
    by_cos = torch.tensor([[1 - r, -g, -b], [-r, 1 - g, -b], [-r, -g, 1 - b]], dtype=torch.float64)
    by_sin = torch.tensor([[-r, -g, 1 - b], [0.143, 0.140, -0.283], [-(1 - r), g, b]], dtype=torch.float64)
    return base + cos * by_cos + sin * by_sin


def turn_hsv(image: Tensor, degrees: float) -> Tensor:
    """(3, H, W) with `degrees` added to the hue of HSV, every pixel's largest and smallest value (V and V - C) kept.

    Hue in sixths of a turn, h = (G - B) / C where R is largest, 2 + (B - R) / C where G is, 4 + (R - G) / C where B is, and back with
    channel = V - C max(0, min(k, 4 - k, 1)), k = (n + h) mod 6, n = 5, 3, 1 for R, G, B (Smith, SIGGRAPH 1978, in its closed form).

    >>> turn_hsv(torch.tensor([1.0, 0.25, 0.25])[:, None, None], 120).flatten()
    tensor([0.2500, 1.0000, 0.2500])
    """
    r, g, b = image.double()
    value, low = image.double().amax(dim=0), image.double().amin(dim=0)
    chroma = value - low
    divisor = torch.where(chroma > 0, chroma, 1.0)  # greys have no hue, and any does
    of_g_or_b = torch.where(value == g, 2 + (b - r) / divisor, 4 + (r - g) / divisor)
    hues = torch.where(value == r, (g - b) / divisor, of_g_or_b) + degrees / 60
    k = (torch.tensor([5.0, 3.0, 1.0], dtype=torch.float64)[:, None, None] + hues) % 6
    return (value - chroma * torch.minimum(k, 4 - k).clamp(0, 1)).to(image.dtype)


def _luminance(image: Tensor) -> Tensor:
    """(3, H, W) -> (H, W)."""
    weights = torch.tensor(LUMA, dtype=image.dtype)
    return torch.einsum("c,chw->hw", weights, image)
