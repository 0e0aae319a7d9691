"""How a segmenter's answer for one class responds when another class is removed from the picture.

After the pairwise response of Shetty, Schiele & Fritz, "Not Using the Car to See the Sidewalk", CVPR 2019 (arXiv:1812.06707).
The paper's exact formula is unverified; the ones here are project choices. Both images are scored against the truth outside
the edited region: the evidence of "before" is of the unedited image with the edit's `before` target.
"""

from __future__ import annotations

import numpy

from robustbench_cv.metrics.evidence import Column, Side, aligned
from robustbench_cv.metrics.iou import CONFUSION, pixels_by_class
from robustbench_cv.metrics.ratios import quotient

CHANGES = (0.05, 0.10, 0.20)
"""Changes of an image's IoU beyond which it counts as affected."""

FEWEST = 10
"""A cell of the matrix with fewer images is left blank."""


def changed_images(after: Side, before: Side, index: int) -> dict[float, float] | None:
    """Share of the images whose own IoU of class `index` changes by more than each of CHANGES, either way.

    From the evidence of mIoU, over the images that have both and a scored pixel of the class; None below FEWEST of them.
    """
    new, old = (_image_ious(side, index) for side in aligned([Column.taken(side, CONFUSION) for side in (after, before)]))
    changes = numpy.abs(new - old)
    changes = changes[~numpy.isnan(changes)]
    if len(changes) < FEWEST:
        return None
    return {limit: float((changes > limit).mean()) for limit in CHANGES}


def _image_ious(side: Column, index: int) -> numpy.ndarray:
    """Each image's own IoU of a class; NaN where the truth has no scored pixel of it."""
    pixels = pixels_by_class(side.values)
    place = numpy.flatnonzero(pixels.classes == index)
    if not len(place):
        return numpy.full(len(side), numpy.nan)
    shared, predicted, truth = (counts[:, place[0]] for counts in pixels[1:])
    return quotient(shared, numpy.where(truth > 0, predicted + truth - shared, 0))
