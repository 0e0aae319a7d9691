"""Checks that a user overrides: what they stop is shown, marked, instead of blocked."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import replace

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.check_findings import Finding
from robustbench_cv.checks.check_declarations import id_and_title
from robustbench_cv.errors import UserError


def check_allowed(ids: Iterable[str]) -> tuple[str, ...]:
    """Ids of checks, such as "S07", in their own spelling. UserError for one that no check has, with the closest."""
    known = sorted({id_and_title(name)[0] for name in CHECKS.names()})
    chosen = []
    for id_ in ids:
        plain = id_.strip().upper()
        if plain not in known:
            close = difflib.get_close_matches(plain, known, n=1)
            raise UserError(f"no check has the id {id_!r}{f'; did you mean {close[0]}?' if close else ''} (robustbench-cv list checks)")
        chosen.append(plain)
    return tuple(dict.fromkeys(chosen))


def allow(findings: Iterable[Finding], ids: Collection[str]) -> list[Finding]:
    """The findings, where those of allowed checks that say stop warn instead, and say so wherever they are shown."""
    return [
        replace(f, verdict="warn", evidence=f"{f.evidence} (stop, allowed by --allow {f.check})")
        if f.verdict == "stop" and f.check in ids
        else f
        for f in findings
    ]
