"""What a benchmark is: tracks (a task's models, data, conditions and metrics), gates and reports, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

from robustbench_cv.types import Task


@dataclass(frozen=True)
class Condition:
    """What happens to a sample before the model sees it; "clean" has neither interventions nor an attack.

    interventions: specs, applied in order. attack: a spec, run on the model (or on `source`, a surrogate, for transfer).
    severity: the x value of this condition on the curve that shares its `curve` name (a budget in [0, 1] pixel units, an occluded share).
    control_of: the condition of which this one is the placebo; the plan adds these from the interventions' own `control` specs.
    """

    name: str
    interventions: tuple[str, ...] = ()
    attack: str | None = None
    source: str | None = None
    severity: float | None = None
    curve: str | None = None
    control_of: str | None = None

    @property
    def kind(self) -> str:
        """ "clean", "attack", "intervention" or "control"."""
        if self.control_of is not None:
            return "control"
        if self.attack is not None:
            return "attack"
        return "intervention" if self.interventions else "clean"


CLEAN = Condition("clean")


@dataclass(frozen=True)
class Track:
    """One task's share of a suite. models, datasets, metrics: specs. metrics[0] is the primary one, which tables lead with."""

    task: Task
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    conditions: tuple[Condition, ...]
    metrics: tuple[str, ...]
    samples: int


@dataclass(frozen=True)
class Gate:
    """A bound on a number: an absolute one, or a drop against a baseline."""

    metric: str
    condition: str
    model: str = "*"
    at_least: float | None = None
    max_drop: float | None = None


@dataclass(frozen=True)
class Suite:
    """A benchmark by name. `version` rises when any number that it produces may change."""

    name: str
    version: int
    tracks: tuple[Track, ...]
    seed: int = 0
    gates: tuple[Gate, ...] = ()
    reports: tuple[str, ...] = ()
