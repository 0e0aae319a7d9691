"""Writes docs/checks.md from the checks themselves: `python -m tests.docs_checks`."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.checks.doctor import MOST_SAMPLES, SAMPLES

PAGE = Path(__file__).parents[1] / "docs" / "checks.md"

_COST = {
    "data": "reads the data",
    "before": f"{SAMPLES} samples",
    "attack": "after each attack",
    "after": "after a run",
}
_SEARCHES = ("S02", "S19", "S21", "S37")

_INTRODUCTION = f"""# Checks

<!-- Written by `python -m tests.docs_checks`; a test compares it with the code. -->

`robustbench-cv doctor MODEL DATA` runs those of the data and of {SAMPLES} samples; `robustbench-cv run` runs all, and blocks ("stop") or
marks ("warn") the numbers that they speak of. Each says what it measured, and what to do.

S02, S21 and S37 ask whether *some* change of the input makes the model better: each tries a family of changes that would undo a usual
fault, on a classifier's mistakes first and then on all {SAMPLES} samples. Where these do not decide, the most promising changes meet up to
{MOST_SAMPLES} samples (as many as have no more pixels than {SAMPLES} images of 224 x 224), drawn at random with a fixed seed.
S19 does the same for orders of the classes, S22 for the frame of boxes, S27 for that of label maps. The p-value of the paired test is
multiplied by the size of *all* input families (the nine usual mistakes share one half of the error, the others the other) and by the looks
taken; the best of the family is the remedy that is printed. Where chance explains what is right under every reading, S00 says so.

What they cannot tell: a fault that loses what it changes has no inverse to try (images made small and large again, blurred, or cropped by
the model), unless the model then ignores something visible, as it does colour (S21 notes it). An exchange of two of K classes changes about
2/K of the answers: of a thousand classes, no {MOST_SAMPLES} samples show it. Objects never annotated look like false boxes of a sure
detector. Nobody can tell wrong labels from an overconfident model: S38 notes samples worth a look.

| id | what it asks | what it catches | cost | what it does |
|---|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return _INTRODUCTION + "\n".join(sorted(_row(name) for name in CHECKS.entries())) + "\n"


def _row(name: str) -> str:
    entry = CHECKS.entry(name)
    module = importlib.import_module(entry.module)
    question = (module.__doc__ or "").splitlines()[0].split(": ", 1)[-1]
    id_ = name.split("-")[0].upper()
    stage = str(entry.facts.get("stage", ""))
    cost = f"{SAMPLES} to {MOST_SAMPLES} samples" if id_ in _SEARCHES and stage == "before" else _COST[stage]
    cells = [id_, question, entry.summary, cost, ", ".join(_actions(inspect.getsource(module)))]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _actions(source: str) -> list[str]:
    """The verdicts that a check's own code names, the severest first; what is left to the size of the gain is stop or warn."""
    tree = list(ast.walk(ast.parse(source)))
    said = {n.value for n in tree if isinstance(n, ast.Constant)}
    by_gain = any(isinstance(n, ast.Name) and n.id == "report" for n in tree) or any(
        isinstance(n, ast.Attribute) and n.attr == "verdict" for n in tree
    )
    return [verdict for verdict in ("stop", "warn", "note") if verdict in said or (by_gain and verdict != "note")]


if __name__ == "__main__":
    PAGE.write_text(page())
