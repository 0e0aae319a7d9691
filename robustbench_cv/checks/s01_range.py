"""S01: do images lie in the range that models and attacks assume?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import Before, Preflight

_TITLE = "image range"
_DARK = 2 / 255
_ROUNDING = 1e-4
_BRIGHT = 0.75
_ENOUGH = 8


@check(
    stage="before",
    cost="data",
    action="stop warn",
    gives="the least and the greatest value, and over how many images",
)
def s01_range() -> Before:
    """Images are RGB floats in [0, 1] and use the range: an attack clamps to it, so whatever lies outside changes without a budget."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    images = [s.image for s in subject.samples]
    odd = [x for x in images if x.ndim != 3 or x.shape[0] != 3 or x.numel() == 0 or not x.is_floating_point()]
    if odd:
        evidence = f"{len(odd)} of {len(images)} images are not float (3, H, W); the first is {odd[0].dtype} {tuple(odd[0].shape)}"
        return Finding("S01", _TITLE, "stop", evidence, "give float RGB images (3, H, W) in [0, 1]")
    broken = [s.id for s in subject.samples if not bool(s.image.isfinite().all())]
    if broken:
        evidence = f"{len(broken)} of {len(images)} images hold NaN or infinity, first {broken[0]!r}"
        return Finding("S01", _TITLE, "stop", evidence, "mend the images")
    low, high = min(float(x.min()) for x in images), max(float(x.max()) for x in images)
    evidence = f"values run from {low:.4g} to {high:.4g} over {len(images)} images"
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        return Finding("S01", _TITLE, "stop", evidence, _remedy(low, high))
    if high <= _DARK:
        return Finding("S01", _TITLE, "stop", f"{evidence}: all but black", "the images look divided by 255 twice; divide once")
    unused = _unused_range(images, high)
    if unused:
        return Finding(
            "S01", _TITLE, "warn", f"{evidence}{unused}", "divide by the greatest value that the format can hold, not by that of its type"
        )
    return Finding("S01", _TITLE, "pass", evidence)


def _unused_range(images: Sequence[Tensor], high: float) -> str:
    """Signs that pixels were divided by more than their format holds: empty where there are none.

    Among many photographs some are bright: where none reaches three quarters, and values lie on a grid of 8 bits that is no grid of 8 bits
    of the whole range, or all stay below a sixteenth of it as 12 bits in 16 do, the divisor is wrong.
    """
    if len(images) < _ENOUGH or high >= _BRIGHT:
        return ""
    if high <= 2.0**-4 + _ROUNDING:
        return ": a sixteenth of the range, as of 12 bits divided by 65535"
    grids = {255 * k: k for k in (1, 2, 4)}
    on_grid = {n: all(bool(((x * n).round() - x * n).abs().max() < 0.01) for x in images[:_ENOUGH]) for n in grids}
    twice = next((k for n, k in grids.items() if k > 1 and on_grid[n] and not on_grid[255] and high <= 1 / k + _ROUNDING), None)
    return f": values of 8 bits, divided by {twice} x 255" if twice else ""


def _remedy(low: float, high: float) -> str:
    if low >= -_ROUNDING and high > 2:
        return "divide by 255: pixels are handed over in [0, 1]"
    if low < -_ROUNDING:
        return "the images are normalised already: hand over pixels in [0, 1] and normalise inside the model"
    return "scale the images to [0, 1]"
