"""The contract of a check: what it may look at, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from robustbench_cv.types import AnyModel, Sample, Task

Verdict = Literal["pass", "note", "warn", "stop", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """What one check says. evidence: the measured numbers; remedy: what to do, empty when it passed. "stop" blocks the affected numbers."""

    check: str
    title: str
    verdict: Verdict
    evidence: str
    remedy: str = ""
    model: str = ""
    dataset: str = ""
    condition: str = ""


@dataclass(frozen=True)
class Preflight:
    """Before a run: a model on its device, and up to 64 labelled samples whose targets are in the model's class indices."""

    model: AnyModel
    task: Task
    samples: Sequence[Sample]
    dataset: str = ""
    device: str = "cpu"


Check: TypeAlias = Callable[[Any], Finding]
"""A Preflight check takes a Preflight, an after-run check takes Results; the registry's fact `stage` says which ("before", "after")."""
