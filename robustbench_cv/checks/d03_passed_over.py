"""D03: is a file passed over that belongs to the data?"""

from __future__ import annotations

import os

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import OfData
from robustbench_cv.checks.data_survey import DataSurvey
from robustbench_cv.data.images import may_be_image
from robustbench_cv.data.source import FromFiles

_TITLE = "files passed over"
_MOST = 1000
"""Files that are looked into (project choice)."""


@check(
    stage="data",
    cost="data",
    action="warn",
    gives="how many files look like images or lead nowhere, and the first of each",
)
def d03_passed_over() -> OfData:
    """Beside the images there are no files that hold images under another suffix, and no links that lead nowhere."""
    return _examine


def _examine(seen: DataSurvey) -> Finding:
    others = seen.dataset.others if isinstance(seen.dataset, FromFiles) else None
    if others is None:
        return Finding("D03", _TITLE, "not applicable", "no folder says which files belong to the data")
    lost = [path for path in others if os.path.islink(path) and not os.path.exists(path)]
    images = [path for path in others[:_MOST] if may_be_image(path)]
    if not lost and not images:
        return Finding("D03", _TITLE, "pass", f"{len(others)} other files lie beside the images, none of which looks like one")
    parts = []
    if images:
        parts.append(f"{len(images)} files look like images and have a suffix that is not read, first {str(images[0])!r}")
    if lost:
        parts.append(f"{len(lost)} links lead nowhere, first {str(lost[0])!r}")
    remedy = "rename or convert them to .png or .jpg, mend the links, or take them out of the folder"
    return Finding("D03", _TITLE, "warn", "; ".join(parts), remedy)
