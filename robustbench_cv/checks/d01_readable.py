"""D01: can every sample be read?"""

from __future__ import annotations

from robustbench_cv.catalogue import check
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check import OfData
from robustbench_cv.checks.data_survey import SKIP_BAD, DataSurvey

_TITLE = "readable samples"
_NAMED = 3


@check(
    stage="data",
    cost="data",
    action="stop warn",
    gives="how many samples cannot be read, and the first three with file and fault",
)
def d01_readable() -> OfData:
    """Every sample's files are there, whole and consistent: a run stops at the first that is not, or counts it as failed."""
    return _examine


def _examine(seen: DataSurvey) -> Finding:
    faults = list(seen.faults.values())
    if not faults:
        return Finding("D01", _TITLE, "pass", f"{seen.scope()} were read")
    more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    evidence = f"{len(faults)} of {len(seen.indices)} samples cannot be read: {'; '.join(faults[:_NAMED])}{more}"
    if seen.skip_bad and len(faults) < len(seen.indices):
        return Finding("D01", _TITLE, "warn", evidence, "mend or remove what is named; until then these samples are recorded as failed")
    return Finding("D01", _TITLE, "stop", evidence, f"mend or remove what is named; {SKIP_BAD}")
