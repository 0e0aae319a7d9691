"""The contract of a check of one attack on one model: what it may look at, and the other attacks that it may try on the survivors."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from robustbench_cv.adversary.attack import Adversary, Attack, Ensemble, aim_of
from robustbench_cv.adversary.attack import run as run_attack
from robustbench_cv.adversary.combinators.radius_schedule import RadiusSchedule
from robustbench_cv.adversary.combinators.targeted import Targeted
from robustbench_cv.adversary.combinators.transfer import with_surrogates
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.constraints.lp import L2, Linf
from robustbench_cv.adversary.criteria import prediction_wrong, reported_predictions
from robustbench_cv.adversary.objective import Objective, indifferent
from robustbench_cv.adversary.objectives.classification import cross_entropy
from robustbench_cv.adversary.objectives.detection import vanish
from robustbench_cv.adversary.objectives.segmentation import pixel_cross_entropy
from robustbench_cv.adversary.optimizers.ascent import RandomSteps
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import RobustBenchError
from robustbench_cv.models.build import build
from robustbench_cv.noise import Noise
from robustbench_cv.registry import Spec

if TYPE_CHECKING:
    from robustbench_cv.tasks import Task
    from robustbench_cv.types import AnyModel, Model, Sample

_PIXELS = 16 * 224 * 224


class Budget(NamedTuple):
    """One cell of a curve: its severity, and whether each sample was broken, by id."""

    severity: float
    broken: Mapping[str, bool]


@dataclass(frozen=True, eq=False)
class Other:
    """Another model of the run for the same task and data, with the survivors in its own class indices."""

    model: AnyModel
    samples: Sequence[Sample]


@dataclass(frozen=True, eq=False, kw_only=True)
class Attacked:
    """One attack on one model and data set, after it ran.

    spec: the attack's. survivors: up to a few of the samples that it did not break, of one image shape, targets in the model's indices.
    attacked, survived: how many samples there were in all. backwards: mean gradients a sample. zero: share of the attacked samples that
    were not broken and whose every gradient was exactly zero. no_gradient: the model let none through. curve: the same attack at other
    budgets, and at this one. broken: where none survived, a few of the samples as the attack met them. measurements: what was measured
    already, see `measure_once`.
    """

    model: AnyModel
    task: Task
    spec: str
    survivors: Sequence[Sample]
    attacked: int
    survived: int
    backwards: float
    zero: float = 0.0
    no_gradient: bool = False
    severity: float | None = None
    curve: Sequence[Budget] = ()
    others: Sequence[Other] = ()
    broken: Sequence[Sample] = ()
    seed: int = 0
    device: str = "cpu"
    measurements: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def attack(self) -> Adversary[Any, Any]:
        return self._build_attack(self.spec)

    @cached_property
    def lone(self) -> Attack[Any, Any] | None:
        """The attack itself, where it is a single one of this library's engine."""
        return self.attack if isinstance(self.attack, Attack) else None

    @cached_property
    def parts(self) -> list[Attack[Any, Any]]:
        """The attack's parts that are of this library's engine; for another library's, what it takes to try something else."""
        attack: Any = self.attack
        attacks = list(_parts(attack))
        if not attacks and isinstance(getattr(attack, "constraint", None), Constraint):
            objective: Objective[Any, Any] = _OBJECTIVES[self.task]()
            attacks = [
                replace(_NOTHING, objective=objective, success=attack.success, constraint=attack.constraint, reference=attack.reference)
            ]
        return attacks

    @property
    def is_evaluation(self) -> bool:
        """Whether it tries to break the model at all: controls such as random noise do not."""
        return not self.parts or any(p.objective.name != "none" for p in self.parts)

    @property
    def images(self) -> Tensor:
        return torch.stack([s.image for s in self.survivors]).to(self.device)

    def chunks(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        """In batches that fit where the model's own ran."""
        _, height, width = samples[0].image.shape
        size = max(1, min(len(samples), _PIXELS // (height * width)))
        yield from (samples[i : i + size] for i in range(0, len(samples), size))

    def variant(self, **changes: Any) -> Adversary[Any, Any] | None:
        """The attack with other arguments; those that its factory does not take are left out; None where it takes none of them."""
        spec = Spec.parse(self.spec)
        taken = self._parameters
        changes = {name: value for name, value in changes.items() if name in taken}
        if not changes:
            return None
        arguments = {k: v for k, v in spec.args.items() if k not in changes} | {k: v for k, v in changes.items() if v is not DEFAULT}
        try:
            return self._build_attack(Spec(spec.name, arguments, spec.target))
        except RobustBenchError:
            return None

    def argument(self, name: str) -> Any:
        """An argument of the attack, given or by default; None where its factory has no such parameter."""
        given = Spec.parse(self.spec).args
        if name in given:
            return given[name]
        parameter = self._parameters.get(name)
        return None if parameter is None or parameter.default is inspect.Parameter.empty else parameter.default

    def _build_attack(self, spec: Spec | str) -> Adversary[Any, Any]:
        with warnings.catch_warnings():
            # Of steps that cannot reach the budget: whoever asked for them was told already.
            warnings.simplefilter("ignore", UserWarning)
            attack: Adversary[Any, Any] = ATTACKS.build(spec)
        return with_surrogates(attack, lambda source: build(source, device=self.device))

    @property
    def _parameters(self) -> Mapping[str, inspect.Parameter]:
        return inspect.signature(ATTACKS.factory(self.spec)).parameters

    @cached_property
    def norm(self) -> Linf | L2 | None:
        """The ball that it stays in, where it is one of a bounded radius."""
        region = self.parts[0].constraint if self.parts else None
        return region if isinstance(region, Linf | L2) and 0 < region.radius < math.inf else None

    def measure_once(self, name: str, measure: Callable[[Attacked], Any]) -> Any:
        """What `measure` finds, once for all checks."""
        if name not in self.measurements:
            self.measurements[name] = measure(self)
        return self.measurements[name]

    def breaks(self, attack: Adversary[Any, Any], *, model: AnyModel | None = None) -> Tensor:
        """Which survivors an attack breaks: bool (n,). model: in place of the attacked one."""
        broken = [self._run(attack, model or self.model, chunk)[1] for chunk in self.chunks(self.survivors)]
        return torch.cat(broken)

    def broken_before(self) -> int:
        """How many of `broken` met the attack's criterion before it, so that there was nothing to break."""
        before = 0
        for chunk in self.chunks(self.broken) if self.broken else ():
            images = torch.stack([s.image for s in chunk]).to(self.device)
            before += int(self._judge(images, chunk).sum())
        return before

    def breaks_by_transfer(self, other: Other) -> Tensor:
        """Which survivors are broken by what the same attack makes for another model: bool (n,)."""
        outcomes = []
        for mine, theirs in zip(self.chunks(self.survivors), self.chunks(other.samples), strict=True):
            images, _ = self._run(self.attack, other.model, theirs)
            outcomes.append(self._judge(images, mine))
        return torch.cat(outcomes)

    def _run(self, attack: Adversary[Any, Any], model: AnyModel, samples: Sequence[Sample]) -> tuple[Tensor, Tensor]:
        noise = Noise(self.seed, tuple(s.id for s in samples), f"strength of {self.spec}")
        images = torch.stack([s.image for s in samples]).to(self.device)
        made = run_attack(attack, cast("Model[Any]", model), images, [s.target for s in samples], noise)
        return made.images, made.success

    def _judge(self, images: Tensor, samples: Sequence[Sample]) -> Tensor:
        model = cast("Model[Any]", self.model)
        clean = torch.stack([s.image for s in samples]).to(self.device)
        aim = aim_of(self.attack, model, clean, [s.target for s in samples])
        with torch.no_grad():
            predictions = reported_predictions(list(model.decode(model.raw(images))), model.info.operating_score)
        return self.attack.success(predictions, aim.references)


_OBJECTIVES: Mapping[str, Callable[[], Objective[Any, Any]]] = {
    "classification": cross_entropy,
    "segmentation": pixel_cross_entropy,
    "detection": vanish,
}
_NOTHING: Attack[Any, Any] = Attack(
    name="another", objective=indifferent(), success=prediction_wrong(), constraint=Linf(0.0), optimizer=RandomSteps(), steps=0, keep="last"
)

DEFAULT: Any = object()
"""In place of an argument: that of the factory's own."""


def _parts(attack: Any) -> Iterator[Attack[Any, Any]]:
    if isinstance(attack, Attack):
        yield attack
    elif isinstance(attack, Ensemble):
        for part in attack.parts:
            yield from _parts(part)
    elif isinstance(attack, RadiusSchedule):
        yield attack.stages[-1]
    elif isinstance(attack, Targeted):
        yield attack.untargeted_attack
