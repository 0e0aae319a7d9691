"""How a segmenter's answer for one class responds when another class is removed from the picture.

After the pairwise response of Shetty, Schiele & Fritz, "Not Using the Car to See the Sidewalk", CVPR 2019 (arXiv:1812.06707).
The paper's exact formula is unverified; the ones here are project choices. Both images are scored against the truth outside
the edited region: the evidence of "before" is of the unedited image with the edit's `before` target.
"""

from __future__ import annotations

from collections.abc import Mapping

from robustbench_cv.types import Evidence

CHANGES = (0.05, 0.10, 0.20)
"""Changes of an image's IoU beyond which it counts as affected."""

FEWEST = 10
"""A cell of the matrix with fewer images is left blank."""


def class_iou(evidence: Evidence, index: int) -> float | None:
    """One image's IoU of a class, from the evidence of mIoU; None where the truth has no scored pixel of it."""
    for c, shared, predicted, truth in evidence:
        if c == index and truth:
            return float(shared / (predicted + truth - shared))
    return None


def changed_images(after: Mapping[str, Evidence], before: Mapping[str, Evidence], index: int) -> dict[float, float] | None:
    """Share of the images whose own IoU of class `index` changes by more than each of CHANGES, either way.

    From the evidence of mIoU by sample id, over the images that have both and a scored pixel of the class; None below FEWEST of them.
    """
    pairs = [(class_iou(after[i], index), class_iou(before[i], index)) for i in sorted(set(after) & set(before))]
    changes = [abs(new - old) for new, old in pairs if new is not None and old is not None]
    if len(changes) < FEWEST:
        return None
    return {limit: sum(change > limit for change in changes) / len(changes) for limit in CHANGES}
