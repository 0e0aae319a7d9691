"""Attacks as data, and the one loop that runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, Protocol, runtime_checkable

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_facts import AttackFacts, facts_of, facts_of_parts, within
from robustbench_cv.adversary.attack_references import Aim, Clean, Reference, annotated_targets
from robustbench_cv.adversary.constraint import Constraint
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.gradient_transforms import rows
from robustbench_cv.adversary.objective import G, Objective, indifferent
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.problem import Keep, Problem, Start
from robustbench_cv.adversary.random_views import View
from robustbench_cv.adversary.victim import SearchResult, Victim, frozen_eval, non_finite, worst_of
from robustbench_cv.errors import UserError
from robustbench_cv.noise import Noise
from robustbench_cv.types import Model, R, Sample, Target

NOT_FINITE = "the model's output or its gradient is not finite (NaN or infinity) under this attack"


class Adversary(Protocol[R, G]):
    """Anything run() can run: an attack, an ensemble of them, another library's attack.

    success: when a sample counts as broken. reference: what it aims at and is judged against. accepts: the raw output that it reads.
    """

    @property
    def name(self) -> str: ...
    @property
    def success(self) -> Success: ...
    @property
    def reference(self) -> Reference[G]: ...
    @property
    def accepts(self) -> type[R]: ...

    def search(self, victim: Victim[R, G], /) -> SearchResult:
        """Images for every sample, within its constraint, judged."""
        ...


@runtime_checkable
class ChoosesSamples(Protocol):
    """An adversary that serves only some samples."""

    def require(self, sample: Sample, /) -> None:
        """NotApplicable, with the reason, for a sample that it cannot serve."""
        ...


@dataclass(frozen=True, kw_only=True)
class Attack(Generic[R, G]):
    """objective raised by optimizer inside constraint. Holds no model, no device, no results.

    start: the clean image, a random point inside the constraint, or one at its edge. restarts: further starts for the samples that the
    earlier ones did not break. keep: the final iterate ("last", nothing is decoded on the way); or of all iterates the one of the highest
    degree of success, the latest among equals ("worst"); or the first that breaks the sample, which then leaves the batch ("first": the
    same samples are broken as with "worst", at a fraction of the cost; for criteria that broken samples meet in full); or of those that
    break the sample the one closest to the clean image, which itself is handed back where none does ("nearest"). view: what the
    objective sees in place of the images, `views` times at each evaluation; success is judged without it (see `views`).
    """

    name: str
    objective: Objective[R, G]
    success: Success
    constraint: Constraint
    optimizer: Optimizer
    steps: int
    restarts: int = 1
    start: Start = "random"
    keep: Keep = "worst"
    reference: Reference[G] = annotated_targets  # type: ignore[assignment]  # goals of the usual kind, unless the attack gives a reference
    view: View | None = None
    views: int = 1

    def __post_init__(self) -> None:
        if self.views < 1:
            raise UserError(f"{self.name}: views={self.views} must be at least 1")
        if self.views > 1 and self.view is None:
            raise UserError(f"{self.name}: views={self.views} without a view would all be the same; give view (or `unchanged`)")
        if self.steps < 0 or self.restarts < 1:
            raise UserError(f"{self.name}: steps={self.steps} must be at least 0 and restarts={self.restarts} at least 1")
        if self.restarts > 1 and self.start == "clean":
            raise UserError(f"{self.name}: restarts={self.restarts} from the clean image would all be the same; use a random start")

    @property
    def accepts(self) -> type[R]:
        return self.objective.accepts

    @property
    def facts(self) -> AttackFacts:
        each = self.optimizer.queries_per_step
        return within(
            self.constraint.norm,
            self.constraint.radius,
            steps=self.steps,
            restarts=self.restarts,
            queries=None if each is None else self.restarts * (self.steps * each + self.optimizer.queries_beside),
            is_control=self.objective == indifferent(),
            knowledge="gradients" if each is None else "scores",
        )

    def search(self, victim: Victim[R, G], /) -> SearchResult:
        return worst_of([partial(_climb, self)] * self.restarts, victim, self.success.threshold)


def _climb(attack: Attack[R, G], victim: Victim[R, G]) -> SearchResult:
    """One run of the optimizer: the loop that all attacks by iteration share."""
    parts = attack.objective, attack.success, attack.constraint, attack.steps, attack.keep, attack.view, attack.views
    problem = Problem(attack.name, victim, *parts, attack.optimizer.may_leave_ball)
    theta = problem.start(attack.start)
    state = attack.optimizer.init(problem, theta)
    for step in range(attack.steps):
        problem.step = step
        theta, state = attack.optimizer.step(problem, theta, state)
        searching = problem.release()
        if searching is not None:
            theta, state = rows(theta, searching), rows(state, searching)
        if len(theta) == 0:
            break
    return problem.finish(theta)


@dataclass(frozen=True)
class Ensemble(Generic[R, G]):
    """Attacks in order, each on the samples that none before it broke: the worst case by sample, never an average (S16).

    All parts must be judged alike. exhaustive: each on the samples that none before it broke in full (degree 1), for numbers that go on
    falling after a sample counts as broken, such as the share of its pixels that are right.
    """

    name: str
    parts: tuple[Adversary[R, G], ...]
    exhaustive: bool = False

    def __post_init__(self) -> None:
        if len({(part.success.criterion, part.reference, part.accepts) for part in self.parts}) != 1:
            raise UserError(f"the parts of ensemble {self.name!r} must share one success criterion, one reference and one kind of model")

    @property
    def success(self) -> Success:
        return self.parts[0].success

    @property
    def reference(self) -> Reference[G]:
        return self.parts[0].reference

    @property
    def accepts(self) -> type[R]:
        return self.parts[0].accepts

    @property
    def constraint(self) -> Constraint | None:
        """The parts' own, where they share one."""
        regions = [getattr(part, "constraint", None) for part in self.parts]
        return regions[0] if all(region == regions[0] for region in regions) else None

    @property
    def facts(self) -> AttackFacts:
        """Of the parts that search."""
        parts = [facts_of(part) for part in self.parts]
        return facts_of_parts([part for part in parts if part.steps != 0] or parts)

    def search(self, victim: Victim[R, G], /) -> SearchResult:
        return worst_of([part.search for part in self.parts], victim, 1.0 if self.exhaustive else self.success.threshold)


@dataclass(frozen=True, eq=False, kw_only=True)
class AttackResult:
    """What came of each of N samples. All but images are on the CPU.

    images: (N, 3, H, W), the clean image where the sample is in `failed` or `skipped`. success: bool (N,), recomputed from `images`.
    degree: float (N,) in [0, 1], how far the criterion is met (a share of pixels or objects). size: float (N,), in units of the budget.
    forwards, backwards: int64 (N,), passes through the model, those that judge included. zero_grads: float (N,), share of the gradients
    that were exactly zero. criterion, reference: in words, when a sample counts as broken, and against whose labels.
    failed: samples on which the model broke down, with the reason; neither robust nor broken.
    skipped: samples without anything to attack, with the reason.
    """

    images: Tensor
    success: Tensor
    degree: Tensor
    size: Tensor
    forwards: Tensor
    backwards: Tensor
    zero_grads: Tensor
    criterion: str
    reference: str
    failed: Mapping[int, str]
    skipped: Mapping[int, str]

    @property
    def flagged(self) -> Tensor:
        """bool (N,): not broken, and gradients vanished on the way. Says nothing about robustness; use another objective."""
        return ~self.success & (self.zero_grads > 0)


def run(
    attack: Adversary[R, G], model: Model[R], images: Tensor, targets: Sequence[Target], noise: Noise, search_on: Model[R] | None = None
) -> AttackResult:
    """Attack `model` on images (N, 3, H, W) in [0, 1], on the model's device, with targets in the model's class indices.

    search_on: a faster model of the same function but for rounding (models.batch_norm_folding). What is found on it is judged on `model`,
    and searched for again on `model` where it does not hold there.

    The model runs in eval mode with frozen weights and is left bit-identical. A sample's result depends on (noise.seed, its id) and on
    nothing else in the batch, except for float rounding. UserError for an attack of another task, for images outside [0, 1], for labels
    that the model does not have, and for an attack that left its own budget. NotApplicable where the model has no gradient.
    """
    _require_batch(images, targets, noise)
    images = images.detach()
    with frozen_eval(model):
        clean = Clean(model, images, targets, attack.name, attack.accepts)
        aim = attack.reference(clean)
        failed = dict.fromkeys(non_finite(clean.raw).nonzero()[:, 0].tolist(), NOT_FINITE) if clean.was_looked_at else {}
        served = torch.tensor([i for i in range(len(images)) if i not in aim.skipped and i not in failed], dtype=torch.int64)
        table = SearchResult.of_clean_images(images, int(clean.was_looked_at))
        if len(served):
            # What is fitted beforehand is judged against references of its own, where it lies, and searches nothing.
            looked_at = model if search_on is None or facts_of(attack).fitted else search_on
            victim = Victim(
                model=looked_at, x0=images, goals=aim.goals, references=aim.references, noise=noise, capacity=len(images)
            ).select(served)
            result = attack.search(victim)
            table.merge(served, result if victim.model is model else _confirm_on_victim(attack, result, replace(victim, model=model)))
    failed |= dict.fromkeys(table.non_finite.nonzero()[:, 0].tolist(), NOT_FINITE)
    answered = torch.tensor([i not in failed and i not in aim.skipped for i in range(len(images))])
    return AttackResult(
        images=table.images,
        success=(table.degree >= attack.success.threshold) & answered,
        degree=table.degree.clamp(min=0) * answered,
        size=table.size,
        forwards=table.forwards,
        backwards=table.backwards,
        zero_grads=table.zero_grads / table.backwards.clamp(min=1),
        criterion=attack.success.criterion,
        reference=aim.provenance,
        failed=failed,
        skipped=aim.skipped,
    )


def _confirm_on_victim(attack: Adversary[R, G], result: SearchResult, victim: Victim[R, G]) -> SearchResult:
    """What a search on another model found, judged on the victim's own; what does not hold there is searched for again, there."""
    with torch.no_grad():
        raw: R = victim.model.raw(result.images)
    degree, threshold = victim.judge(attack.success, raw), attack.success.threshold
    lost = ((result.degree >= threshold) & (degree < threshold)).nonzero()[:, 0]
    result.degree = degree.masked_fill(result.non_finite, 0.0)
    result.forwards += 1
    result.non_finite |= non_finite(raw).cpu()
    if len(lost):
        result.merge(lost, attack.search(victim.select(lost)))
    return result


def aim_of(attack: Adversary[R, G], model: Model[R], images: Tensor, targets: Sequence[Target]) -> Aim[G]:
    """What `attack` would aim at and be judged against, without attacking."""
    with frozen_eval(model):
        return attack.reference(Clean(model, images, targets, attack.name, attack.accepts))


def _require_batch(images: Tensor, targets: Sequence[Target], noise: Noise) -> None:
    if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise UserError(f"an attack takes float images (N, 3, H, W), got {images.dtype} {tuple(images.shape)}")
    if not len(images) == len(targets) == len(noise.ids):
        raise UserError(f"{len(images)} images, {len(targets)} targets and {len(noise.ids)} ids: a batch needs one of each a sample")
    if len(images) and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        raise UserError(
            f"images run from {float(images.min()):g} to {float(images.max()):g}; attacks see pixels in [0, 1] "
            "(normalisation belongs inside the model)"
        )
