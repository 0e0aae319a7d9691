"""The checks: what each looked at, what it found, and what to do about it."""

from __future__ import annotations

from robustbench_cv.catalogue import report
from robustbench_cv.check_findings import Finding, Verdict
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.rendering.table_cells import Cell
from robustbench_cv.rendering.tables import Table, cells_of
from robustbench_cv.results import Results

_VERDICTS: dict[Verdict, str] = {
    "stop": "stop: the numbers it touches are blocked",
    "warn": "warn: the numbers it touches are marked",
    "note": "note",
    "pass": "pass",
    "not applicable": "not applicable",
}
_COLUMNS = ("verdict", "check", "question", "where", "evidence", "what to do")

_MOST = 3
"""Places that a row names where a check said the same of many."""


@report()
def checks() -> Report:
    """Every finding of the run, the severest first."""
    return _table


def _table(results: Results) -> Table:
    rows: dict[tuple[str, ...], list[str]] = {}
    for finding in sorted(results.findings, key=lambda f: (list(_VERDICTS).index(f.verdict), f.check)):
        key = (_VERDICTS[finding.verdict], finding.check, finding.title, finding.evidence, _remedy(finding))
        rows.setdefault(key, []).append(_where(finding))
    cells: list[list[Cell]] = [
        [verdict, check, title, _places(list(dict.fromkeys(where))), evidence, remedy]
        for (verdict, check, title, evidence, remedy), where in rows.items()
    ]
    caption = "Validity checks, before and after the run. Ids are stable; a stop blocks numbers, a warning marks them."
    notes = () if cells else ("No check has run: nothing here says that the numbers are right.",)
    return Table(cells_of(_COLUMNS, cells), caption, "checks", notes, blocks="verdict", title="Checks", folded=("pass", "not applicable"))


def _remedy(finding: Finding) -> str:
    """What to do, and the corrected line of configuration where there is one."""
    return finding.remedy if finding.fix is None else f"{finding.remedy}. Write {finding.fix.line} ({finding.fix.place})"


def _places(where: list[str]) -> str:
    """All of a few, the first of many with how many more; findings.json holds all."""
    more = f"; and {len(where) - _MOST} more" if len(where) > _MOST + 1 else ""
    return "; ".join(where[:_MOST] if more else where) + more


def _where(finding: Finding) -> str:
    return ", ".join(part for part in (finding.model, finding.dataset, finding.condition) if part) or "the run"
