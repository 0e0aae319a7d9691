"""D06: are boxes annotated once, and of the images that they come with?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import OfData
from robustbench_cv.checks.data_survey import DataSurvey

_TITLE = "annotated boxes"
_ENOUGH = 32
"""Boxes from which on it is told where none of them lies (project choice)."""
_SHORT = 0.8
"""Share of the sides that no box goes beyond, where boxes belong to smaller images (project choice: of 32 boxes, some touch the edge)."""


@check(
    stage="data",
    cost="data",
    action="stop warn",
    gives="how many boxes repeat another, in which images; how far boxes reach",
)
def d06_boxes() -> OfData:
    """No object is annotated twice with the same box, and boxes reach all sides of the images: else they are of another image size."""
    return _examine


def _examine(seen: DataSurvey) -> Finding:
    if not seen.boxes:
        return Finding("D06", _TITLE, "not applicable", "there are no boxes")
    if seen.repeated:
        first = min(seen.repeated)
        total = sum(seen.repeated.values())
        evidence = f"{total} of {seen.boxes} boxes repeat another of the same image and class, in {len(seen.repeated)} images, "
        evidence += f"first {seen.file_name(first)}"
        remedy = "keep one of each: whatever is found of an object annotated twice, one of the two counts as missed"
        return Finding("D06", _TITLE, "stop" if total >= 0.05 * seen.boxes else "warn", evidence, remedy)
    across, down = seen.reach
    if seen.boxes >= _ENOUGH and max(across, down) < _SHORT:
        evidence = f"none of {seen.boxes} boxes goes beyond {across:.0%} of its image's width and {down:.0%} of its height"
        remedy = "boxes of another image size, or in shares of it? give them in pixels of the image itself"
        return Finding("D06", _TITLE, "warn", evidence, remedy)
    return Finding("D06", _TITLE, "pass", f"{seen.boxes} boxes, none twice, reach {across:.0%} of the width and {down:.0%} of the height")
