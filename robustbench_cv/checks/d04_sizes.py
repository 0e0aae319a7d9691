"""D04: does the model take every size of image that the data holds?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import OfData
from robustbench_cv.checks.data_survey import SKIP_BAD, DataSurvey

_TITLE = "image sizes"


@check(
    stage="data",
    cost="passes",
    action="stop warn",
    gives="the first image whose size the model refuses, and what it raised",
)
def d04_sizes() -> OfData:
    """The model fails on no size of image while it takes others: one odd image would stop a run at its turn."""
    return _examine


def _examine(seen: DataSurvey) -> Finding:
    if not seen.refused:
        sizes = "all images have one size" if len(seen.shapes) < 2 else f"{len(seen.shapes)} sizes, none of which the model alone refuses"
        return Finding("D04", _TITLE, "pass", sizes)
    evidence = f"{odd_image(seen)}; {sum(len(seen.shapes[s]) for s in seen.refused)} of {len(seen.indices)} samples have such a size"
    remedy = "scale these images, leave them out, or use a model that takes any size"
    if seen.skip_bad:
        return Finding("D04", _TITLE, "warn", evidence, f"{remedy}; until then they are recorded as failed")
    return Finding("D04", _TITLE, "stop", evidence, f"{remedy}; {SKIP_BAD}")


def odd_image(seen: DataSurvey) -> str:
    """The first image whose size the model refuses, and what it raises."""
    (height, width), reason = next(iter(seen.refused.items()))
    usual_height, usual_width = max((s for s in seen.shapes if s not in seen.refused), key=lambda s: len(seen.shapes[s]))
    index = seen.shapes[height, width][0]
    refused = f"the model fails on {seen.file_name(index)} of {width} x {height} pixels ({reason})"
    return f"{refused}, and takes {usual_width} x {usual_height} pixels"
