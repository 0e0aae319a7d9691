"""D05: do the data say which classes are objects, or are they told from surfaces by their names?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import OfData
from robustbench_cv.checks.data_survey import DataSurvey

_TITLE = "objects and surfaces"

_MOST = 0.5
"""Objects that cover more than this share of the images are more likely surfaces (project choice)."""


@check(
    stage="data",
    cost="data",
    action="warn note",
    gives="which classes count as objects, which as surfaces, and the share of the pixels that objects have",
)
def d05_objects() -> OfData:
    """Which classes of label maps are objects, where nothing but their names tells: removals, swaps and occlusions are about these."""
    return _examine


def _examine(seen: DataSurvey) -> Finding:
    things, surfaces = seen.guessed_objects, seen.guessed_surfaces
    if not things and not surfaces:
        said = "the data say where objects are, or hold none"
        return Finding("D05", _TITLE, "pass" if seen.read else "not applicable", said)
    names = seen.dataset.labels.names
    share = sum(seen.pixels[c] for c in things) / max(1, sum(seen.pixels.values()))
    told = f"by their names {_listed(names, things)} count as objects, and {_listed(names, surfaces)} as surfaces"
    remedy = f"say which classes are objects: objects={','.join(names[c] for c in sorted(things)) or 'car,person'!r} in the data's spec"
    if share > _MOST:
        return Finding("D05", _TITLE, "warn", f"{told}; these objects cover {share:.0%} of the images", remedy)
    return Finding("D05", _TITLE, "note", told, remedy)


def _listed(names: tuple[str, ...], classes: frozenset[int]) -> str:
    return ", ".join(names[c] for c in sorted(classes)) or "no class"
