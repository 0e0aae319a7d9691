"""S26: are pixels ignored that belong to a class?"""

from __future__ import annotations

from collections.abc import Sequence

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding, Verdict
from robustbench_cv.checks.check import OfData
from robustbench_cv.checks.data_survey import DataSurvey
from robustbench_cv.types import IGNORE

_TITLE = "ignored pixels"
_NOTABLE = 0.01
"""Share of ignored pixels from which they may be the highest class that has none (project choice; borders of objects take up to 5 %)."""


@check(
    stage="data",
    cost="data",
    action="stop warn note",
    gives="the share of ignored pixels, and the classes without a pixel",
)
def s26_ignored_pixels() -> OfData:
    """No class is empty while pixels are ignored: foreground saved as 255 leaves a mean IoU of background alone."""
    return _examine


def _examine(seen: DataSurvey) -> Finding:
    total = sum(seen.pixels.values())
    if seen.dataset.task != "segmentation" or not total:
        return Finding("S26", _TITLE, "not applicable", "there are no masks")
    names = seen.dataset.labels.names
    empty = [c for c in range(len(names)) if not seen.pixels.get(c)]
    share = seen.pixels.get(IGNORE, 0) / total
    if share == 1:
        return Finding("S26", _TITLE, "stop", f"all pixels of {seen.read} masks are {IGNORE} (ignore)", "give masks of class indices")
    if not empty or not share:
        return Finding(
            "S26", _TITLE, "pass", f"{share:.1%} of the pixels are ignored; {len(names) - len(empty)} of {len(names)} classes have pixels"
        )
    evidence = f"{_name_classes(empty, names)} no pixel in {seen.read} masks, and {IGNORE} (ignore) takes {share:.1%} of them"
    remedy = f"if {IGNORE} stands for such a class there, save its index ({empty[-1]}) instead; if it means ignore, go on"
    return Finding("S26", _TITLE, _verdict(empty, share, len(names)), evidence, remedy)


def _verdict(empty: Sequence[int], share: float, classes: int) -> Verdict:
    """A warning where one class alone is left to be scored, or where the highest, which 255 would be, is the one without a pixel."""
    alone = classes - len(empty) <= 1
    return "warn" if alone or (empty == [classes - 1] and share >= _NOTABLE) else "note"


def _name_classes(empty: Sequence[int], names: Sequence[str]) -> str:
    listed = ", ".join(repr(names[c]) for c in empty[:5]) + (f" and {len(empty) - 5} more" if len(empty) > 5 else "")
    return f"class {listed} has" if len(empty) == 1 else f"classes {listed} have"
