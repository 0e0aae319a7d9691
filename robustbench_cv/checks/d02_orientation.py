"""D02: are photos read in the frame in which they were annotated?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import OfData
from robustbench_cv.checks.data_survey import DataSurvey
from robustbench_cv.data.source import FromFiles

_TITLE = "EXIF orientation"
_FEW = 0.05
"""Share of turned images up to which labels of whole images are a note, not a warning (project choice)."""


@check(
    stage="data",
    cost="data",
    action="warn note",
    gives="how many images ask for a turn, and the first with its orientation",
)
def d02_orientation() -> OfData:
    """No photo asks to be turned, or it was: boxes and masks drawn on what a viewer shows lie elsewhere on the pixels as stored."""
    return _examine


def _examine(seen: DataSurvey) -> Finding:
    if not seen.turned and not (isinstance(seen.dataset, FromFiles) and seen.read):
        return Finding("D02", _TITLE, "not applicable", "no image file was read")
    if not seen.turned:
        return Finding("D02", _TITLE, "pass", f"none of {seen.read} images asks for a turn that it was not given")
    first = min(seen.turned)
    evidence = (
        f"{len(seen.turned)} of {seen.read} images carry an EXIF orientation that turns them in a viewer, and were read as stored; "
        f"first {seen.file_name(first)} (orientation {seen.turned[first]})"
    )
    remedy = "if annotations or labels belong to what a viewer shows, say upright=True in the data's spec; if to the stored pixels, go on"
    is_minor = seen.dataset.task == "classification" and len(seen.turned) <= _FEW * seen.read
    return Finding("D02", _TITLE, "note" if is_minor else "warn", evidence, remedy)
