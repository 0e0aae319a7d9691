"""One theta for all samples: fitted once on a training split, judged on samples that it has never seen.

`UniversalAttack` is the adversary; `fitting.fit` gives it its theta, `files` keeps it in files. Judging costs one forward pass a sample.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

import torch
from torch import Tensor

from robustbench_cv.adversary.attack_facts import AttackFacts, Judged, within
from robustbench_cv.adversary.attack_references import Reference, annotated_targets
from robustbench_cv.adversary.criteria import Success
from robustbench_cv.adversary.objective import Objective
from robustbench_cv.adversary.universal.perturbation import Placed, Surface
from robustbench_cv.adversary.universal.printability import Term
from robustbench_cv.adversary.victim import SearchResult, Victim, checked_size, non_finite, require_raw
from robustbench_cv.errors import UserError
from robustbench_cv.models.labels import class_index
from robustbench_cv.noise import Noise
from robustbench_cv.types import R, Target


@dataclass(frozen=True, kw_only=True)
class Training:
    """How theta is fitted: `steps` moves of size alpha along the mean gradient of `batch` samples, `limit` samples in all.

    scan: samples looked at for each that is wanted, where many do not serve (of a rare class there are few).

    data: a data set's spec, or 'auto': the train split of what the attack is judged on where that has one, else the samples of it that the
    run leaves out. move: the gradient's 'sign', or 'adam' (Kingma & Ba 2015), whose steps shrink to a tenth towards the end.
    """

    data: str = "auto"
    limit: int = 256
    steps: int = 200
    batch: int = 16
    move: Literal["sign", "adam"] = "adam"
    alpha: float = 0.03
    scan: int = 1

    def __post_init__(self) -> None:
        if min(self.limit, self.batch) < 1 or self.steps < 0 or not self.alpha >= 0:
            raise UserError(
                f"limit={self.limit} and batch={self.batch} must be at least 1, steps={self.steps} and alpha={self.alpha} at least 0"
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class UniversalAttack(Generic[R]):
    """objective raised, on average over training samples, by one theta on a surface; then judged on others. Holds no model.

    terms: what theta itself is charged for (ink that no printer has, edges). becomes: the class that the patch itself shall be seen as;
    goals and references are then the patch, not the sample's own. aim: what the user chose to aim at, as stored with the artefact.
    judged_on: the surface for judging, where it is not the one of the fit. shuffled: judge theta's control instead of theta. theta: None
    until fitted or read from a file. fitted_on: ids of the training samples.
    """

    name: str
    objective: Objective[R]
    success: Success
    surface: Surface
    training: Training
    reference: Reference = annotated_targets
    terms: tuple[Term, ...] = ()
    becomes: str | None = None
    aim: Mapping[str, str] = field(default_factory=dict)
    judged_on: Surface | None = None
    shuffled: bool = False
    theta: Tensor | None = None
    fitted_on: tuple[str, ...] = ()

    @property
    def accepts(self) -> type[R]:
        return self.objective.accepts

    @property
    def facts(self) -> AttackFacts:
        """The fit's steps, where there was or will be one; the judged surface's budget, which the victim is asked about once."""
        given = [] if self.theta is None else self.theta.flatten().tolist()
        fit = hashlib.sha256(json.dumps([self.fit_facts(), given], sort_keys=True).encode()).hexdigest()[:16]
        judged: Judged = "shuffled" if self.shuffled else "plain" if self.judged_on is not None else "sampled"
        steps = self.training.steps if self.theta is None else None
        surface = self.judged_on or self.surface
        return within(
            surface.norm,
            surface.radius,
            steps=steps,
            queries=1,
            is_control=self.shuffled,
            fitted=True,
            fit=fit,
            judged=judged,
            knowledge="gradients",
        )

    def with_theta(self, theta: Tensor, fitted_on: Sequence[str]) -> UniversalAttack[R]:
        return dataclasses.replace(self, theta=theta, fitted_on=tuple(fitted_on))

    def fit_facts(self) -> dict[str, Any]:
        """All that theta depends on besides model, samples and seed; what concerns judging alone is not in it."""
        terms = [[term.name, term.weight, term.floor] for term in self.terms]
        training = dataclasses.asdict(self.training)
        return {
            "attack": self.name, "aim": dict(self.aim), "objective": self.objective.name, "terms": terms,
            "surface": self.surface.facts(), "training": training,
        }  # fmt: skip

    def place(self, victim: Victim[R], surface: Surface, purpose: str) -> tuple[Placed, Sequence[Target], Sequence[Target]]:
        """Where theta goes for these samples, and the goals and references that remain once it is there."""
        placed = surface.place(victim.x0, victim.references, victim.noise.fork(purpose))
        if self.becomes is None:
            return placed, placed.visible(victim.goals), placed.visible(victim.references)
        itself = placed.as_objects(class_index(victim.model.info.classes.names, self.becomes))
        return placed, itself, itself

    def search(self, victim: Victim[R], /) -> SearchResult:
        """No search: theta goes onto every image once, by each sample's own random numbers, and is judged."""
        if self.theta is None:
            raise UserError(f"attack {self.name!r} has nothing to show yet: run it in a suite, which fits it first, or give file='...'")
        surface = self.judged_on or self.surface
        theta = surface.random(self.theta, Noise(0, (self.name,), "shuffled")) if self.shuffled else self.theta
        placed, _, references = self.place(victim, surface, "place")
        with torch.no_grad():
            images = placed.apply(theta)
            raw: R = victim.model.raw(images)
        require_raw(self.name, self.accepts, raw)
        broken = non_finite(raw).cpu()
        degree = dataclasses.replace(victim, references=references).judge(self.success, raw).masked_fill(broken, 0.0)
        images = torch.where(broken.to(images.device)[:, None, None, None], victim.x0, images)
        size = checked_size(self.name, surface.measure, surface.radius, victim.x0, images)
        nothing = torch.zeros(len(images), dtype=torch.int64)
        return SearchResult(
            images=images,
            degree=degree,
            size=size,
            forwards=nothing + 1,
            backwards=nothing.clone(),
            zero_grads=nothing.clone(),
            non_finite=broken,
        )
