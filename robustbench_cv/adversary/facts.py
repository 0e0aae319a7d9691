"""What a built attack is: its norm, radius, steps, restarts and queries, read from its parts and stored with its condition.

Reports print these and group by them; none reads a spec or a name to learn what an attack does.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from robustbench_cv.adversary.attack import Attack, Ensemble
from robustbench_cv.adversary.combinators.radius_schedule import RadiusSchedule
from robustbench_cv.adversary.combinators.targeted import CleanImage, Targeted
from robustbench_cv.adversary.combinators.transfer import Transfer
from robustbench_cv.adversary.constraints.l0 import L0
from robustbench_cv.adversary.constraints.lp import L1, L2, Linf
from robustbench_cv.adversary.constraints.patch import Patch
from robustbench_cv.adversary.constraints.pixels import Pixels
from robustbench_cv.adversary.constraints.spatial import Spatial
from robustbench_cv.adversary.external.external_attack import External
from robustbench_cv.adversary.objective import indifferent
from robustbench_cv.adversary.optimizers.ascent import RandomSteps
from robustbench_cv.adversary.optimizers.decision_based import Decisions
from robustbench_cv.adversary.optimizers.differential_evolution import DifferentialEvolution
from robustbench_cv.adversary.optimizers.gradient_estimation import EstimatedAscent
from robustbench_cv.adversary.optimizers.random_search import GridSearch, RandomDraws
from robustbench_cv.adversary.optimizers.sparse_rs import SparseRS
from robustbench_cv.adversary.optimizers.square import Square
from robustbench_cv.adversary.universal.perturbation import Overlay
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack

Norm: TypeAlias = Literal["linf", "l2", "l1", "l0", "area", "range", ""]
"""What a radius measures: a norm of the change; the share of the image's area that may change ("area"); the share of a range of turns and
shifts ("range"); "" where none of these."""

Judged: TypeAlias = Literal["", "sampled", "plain", "shuffled"]
"""Of a perturbation that all samples share: under its random conditions, straight on in even light, or with its control in its place."""


class AttackFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A built attack's budget and cost.

    radius: in units of `norm`, [0, 1] pixel units for norms of the change; None where there is no bound, or no single one.
    steps: of one run of the search; None where it takes none that can be counted. restarts: how many such runs a sample may get, be it
    from several starts or towards several classes. queries: the most images of one sample that the model is asked, of searches that use
    no gradient and of what is fitted beforehand; None for the others. is_control: it attacks nothing (random noise).
    fitted: all samples share what it found on others; steps are then those of the fit. fit: equal for attacks that show the same fit.
    parts: the facts of an ensemble's parts, where these differ.
    """

    norm: Norm = ""
    radius: float | None = None
    steps: int | None = None
    restarts: int = 1
    queries: int | None = None
    is_control: bool = False
    fitted: bool = False
    fit: str = ""
    judged: Judged = ""
    parts: tuple[AttackFacts, ...] = ()


def facts_of(attack: Any) -> AttackFacts:
    """The facts of anything that `run` can run; of an adversary of unknown kind as much as its `constraint` and `steps` say.

    >>> from robustbench_cv.catalogue import ATTACKS
    >>> facts = facts_of(ATTACKS.build("cw-l2(steps=20, searches=7)"))
    >>> facts.norm, facts.radius, facts.steps
    ('l2', None, 140)
    """
    for kind, read in _READERS:
        if isinstance(attack, kind):
            return read(attack)
    steps = getattr(attack, "steps", None)
    return _within(getattr(attack, "constraint", None), steps=steps if isinstance(steps, int) else None)


def _of_attack(attack: Attack[Any]) -> AttackFacts:
    each = _queries_a_step(attack)
    return _within(
        attack.constraint,
        steps=attack.steps,
        restarts=attack.restarts,
        queries=None if each is None else attack.restarts * (attack.steps * each + _queries_beside(attack)),
        is_control=attack.objective == indifferent(),
    )


def _queries_a_step(attack: Attack[Any]) -> int | None:
    """Images a step asks the model for, of optimizers that ask for values only; None for those that follow gradients."""
    optimizer = attack.optimizer
    if isinstance(optimizer, EstimatedAscent):
        return 2 * optimizer.pairs
    if isinstance(optimizer, Square | SparseRS | DifferentialEvolution | RandomDraws | GridSearch):
        return 1
    return 0 if isinstance(optimizer, RandomSteps) else None


def _queries_beside(attack: Attack[Any]) -> int:
    """Square's first stripes, and the last image, which is judged where no step has asked for it."""
    return 1 + isinstance(attack.optimizer, Square)


def _of_parts(attack: Ensemble[Any] | Targeted) -> AttackFacts:
    """Equal parts are restarts of one another. Of others: the steps and queries of all together, with the budget where they share one."""
    parts = [facts_of(part) for part in attack.parts if not isinstance(part, CleanImage)]
    if not parts:
        return _within(attack.constraint, steps=0)
    first = parts[0]
    if all(_alike(first, part) for part in parts):
        runs = sum(part.restarts for part in parts)
        queries = None if first.queries is None else first.queries // first.restarts * runs
        return msgspec.structs.replace(first, restarts=runs, queries=queries)
    shared = first if all((p.norm, p.radius) == (first.norm, first.radius) for p in parts) else AttackFacts()
    return AttackFacts(
        norm=shared.norm,
        radius=shared.radius,
        steps=_total([None if p.steps is None else p.steps * p.restarts for p in parts]),
        queries=_total([p.queries for p in parts]),
        parts=tuple(parts),
    )


def _alike(a: AttackFacts, b: AttackFacts) -> bool:
    """The same but for the number of runs."""
    one = msgspec.structs.replace(a, restarts=1, queries=None if a.queries is None else a.queries // a.restarts)
    return one == msgspec.structs.replace(b, restarts=1, queries=None if b.queries is None else b.queries // b.restarts)


def _total(counts: Sequence[int | None]) -> int | None:
    """The sum; None where any of them is unknown."""
    return None if any(count is None for count in counts) else sum(count or 0 for count in counts)


def _of_schedule(attack: RadiusSchedule[Any]) -> AttackFacts:
    """One search through all stages, in the last one's budget."""
    return msgspec.structs.replace(facts_of(attack.stages[-1]), steps=sum(stage.steps for stage in attack.stages))


def _of_universal(attack: UniversalAttack[Any]) -> AttackFacts:
    surface = attack.judged_on or attack.surface
    given = [] if attack.theta is None else attack.theta.flatten().tolist()
    fit = hashlib.sha256(json.dumps([attack.fit_facts(), given], sort_keys=True).encode()).hexdigest()[:16]
    judged: Judged = "shuffled" if attack.shuffled else "plain" if attack.judged_on is not None else "sampled"
    steps = None if attack.theta is not None else attack.training.steps
    return AttackFacts(
        norm="linf" if isinstance(surface, Overlay) else "area",
        radius=_finite(surface.radius),
        steps=steps,
        queries=1,
        is_control=attack.shuffled,
        fitted=True,
        fit=fit,
        judged=judged,
    )


_NORMS: tuple[tuple[type[Any], Norm], ...] = (
    (Linf, "linf"), (L2, "l2"), (L1, "l1"), (L0, "l0"), (Pixels, "l0"), (Patch, "area"), (Spatial, "range"),
)  # fmt: skip


def _within(region: Any, **facts: Any) -> AttackFacts:
    norm: Norm = next((norm for kind, norm in _NORMS if isinstance(region, kind)), "")
    return AttackFacts(norm=norm, radius=_finite(getattr(region, "radius", None)), **facts)


def _finite(radius: float | None) -> float | None:
    return None if radius is None or not math.isfinite(radius) else float(radius)


_READERS: tuple[tuple[Any, Callable[[Any], AttackFacts]], ...] = (
    (Attack, _of_attack),
    (Ensemble | Targeted, _of_parts),
    (RadiusSchedule, _of_schedule),
    (Decisions, lambda attack: _within(attack.constraint, queries=attack.queries + 1)),
    (Transfer, lambda attack: msgspec.structs.replace(facts_of(attack.attack), queries=1)),
    (External, lambda attack: _within(attack.constraint, steps=attack.steps)),
    (UniversalAttack, _of_universal),
    (CleanImage, lambda attack: _within(attack.constraint, steps=0)),
)
