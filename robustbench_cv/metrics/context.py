"""How a segmenter's answer for one class responds when another class is removed from the picture.

After the pairwise response of Shetty, Schiele & Fritz, "Not Using the Car to See the Sidewalk", CVPR 2019 (arXiv:1812.06707).
The paper's exact formula is unverified; the ones here are project choices. Both images are scored against the truth outside
the edited region: the evidence of "before" is of the unedited image with the edit's `before` target.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from robustbench_cv.metrics.intervals import RESAMPLES, paired_difference
from robustbench_cv.metrics.iou import ClassIoU
from robustbench_cv.metrics.metric import Estimate
from robustbench_cv.types import Evidence

CHANGES = (0.05, 0.10, 0.20)
"""Changes of an image's IoU beyond which it counts as affected."""

FEWEST = 10
"""A cell of the matrix with fewer images is left blank."""


@dataclass(frozen=True)
class Response:
    """change: of the class's IoU accumulated over all images, after minus before. affected: share of images whose own IoU changes by more
    than each of CHANGES, either way. relative: mean over images of the share of the IoU that is lost (negative where it is gained).

    The last two are None below FEWEST images. n: images with a scored pixel of the class.
    """

    n: int
    change: Estimate
    affected: dict[float, float] | None
    relative: float | None


def class_iou(evidence: Evidence, index: int) -> float | None:
    """One image's IoU of a class, from the evidence of mIoU; None where the truth has no scored pixel of it."""
    for c, shared, predicted, truth in evidence:
        if c == index and truth:
            return float(shared / (predicted + truth - shared))
    return None


def response(
    after: Mapping[str, Evidence], before: Mapping[str, Evidence], index: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Response:
    """The response of class `index`, from the evidence of mIoU by sample id."""
    ids = sorted(set(after) & set(before))
    both = [(i, class_iou(after[i], index), class_iou(before[i], index)) for i in ids]
    kept = [(i, new, old) for i, new, old in both if new is not None and old is not None]
    change = paired_difference(
        ClassIoU(index, str(index)), {i: after[i] for i, *_ in kept}, {i: before[i] for i, *_ in kept}, resamples=resamples, seed=seed
    )
    if len(kept) < FEWEST:
        return Response(len(kept), change, None, None)
    affected = {t: sum(abs(new - old) > t for _, new, old in kept) / len(kept) for t in CHANGES}
    return Response(len(kept), change, affected, sum((old - new) / max(old, 0.01) for _, new, old in kept) / len(kept))
