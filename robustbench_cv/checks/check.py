"""The contract of a check: what it may look at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from robustbench_cv.results import Results
    from robustbench_cv.types import AnyModel, Sample, Task

Verdict = Literal["pass", "note", "warn", "stop", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """What one check says. evidence: the measured numbers; remedy: what to do, empty when it passed. "stop" blocks the affected numbers.

    model, dataset, condition: what it was said of; empty means all.
    """

    check: str
    title: str
    verdict: Verdict
    evidence: str
    remedy: str = ""
    model: str = ""
    dataset: str = ""
    condition: str = ""


@dataclass(frozen=True, eq=False)
class Preflight:
    """Before a run: a model on its device, and up to 64 labelled samples whose targets are in the model's class indices."""

    model: AnyModel
    task: Task
    samples: Sequence[Sample]
    dataset: str = ""
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Aftermath:
    """After a run: its results, and the models by name, for checks that predict again."""

    results: Results
    models: Mapping[str, AnyModel]
    device: str = "cpu"


Before: TypeAlias = Callable[[Preflight], Finding]
After: TypeAlias = Callable[[Aftermath], Sequence[Finding]]
Check: TypeAlias = Before | After
"""The decorator's `stage` says which: @check(stage="before") or @check(stage="after")."""
