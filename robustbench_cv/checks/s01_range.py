"""S01: do images lie in the range that models and attacks assume?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Preflight
from robustbench_cv.findings import Finding

_TITLE = "image range"
_DARK = 2 / 255
_ROUNDING = 1e-4


@check(stage="before")
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
    return Finding("S01", _TITLE, "pass", evidence)


def _remedy(low: float, high: float) -> str:
    if low >= -_ROUNDING and high > 2:
        return "divide by 255: pixels are handed over in [0, 1]"
    if low < -_ROUNDING:
        return "the images are normalised already: hand over pixels in [0, 1] and normalise inside the model"
    return "scale the images to [0, 1]"
