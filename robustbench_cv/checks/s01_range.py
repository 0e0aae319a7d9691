"""S01: do images lie in the range that models and attacks assume?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.checks.check import Before, Finding, Preflight

_DARK = 2 / 255


@check(stage="before")
def s01_range() -> Before:
    """Images are RGB floats in [0, 1] and use the range: an attack clamps to it, so whatever lies outside changes without a budget."""
    return _examine


def _examine(subject: Preflight) -> Finding:
    title = "image range"
    if not subject.samples:
        return Finding("S01", title, "stop", "no sample could be read", "mend the data set; see the errors of single samples with run")
    low = min(float(s.image.min()) for s in subject.samples)
    high = max(float(s.image.max()) for s in subject.samples)
    evidence = f"values run from {low:.4g} to {high:.4g} over {len(subject.samples)} images"
    if any(s.image.ndim != 3 or s.image.shape[0] != 3 or not s.image.is_floating_point() for s in subject.samples):
        return Finding("S01", title, "stop", "an image is not float (3, H, W)", "give float RGB images (3, H, W) in [0, 1]")
    if not all(bool(s.image.isfinite().all()) for s in subject.samples):
        return Finding("S01", title, "stop", f"{evidence}; some are NaN or infinite", "mend the images")
    if low < 0 or high > 1:
        how = "divide by 255" if low >= 0 and high > 2 else "hand over pixels in [0, 1]; normalisation belongs inside the model"
        return Finding("S01", title, "stop", evidence, how)
    if high <= _DARK:
        return Finding("S01", title, "stop", f"{evidence}: nearly black", "the images look divided by 255 twice; divide once")
    return Finding("S01", title, "pass", evidence)
