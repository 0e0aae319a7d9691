"""The attacks without a step size to choose, as AutoAttack composes them. Croce & Hein, ICML 2020, https://arxiv.org/abs/2003.01690"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor

from robustbench_cv.adversary.attack import Adversary, Attack, Ensemble
from robustbench_cv.adversary.attack_references import Reference, annotated_targets
from robustbench_cv.adversary.combinators.targeted import CleanImage, Targeted, ranked_wrong_classes
from robustbench_cv.adversary.constraints.lp import ball
from robustbench_cv.adversary.criteria import misclassified
from robustbench_cv.adversary.objective import G, Objective
from robustbench_cv.adversary.objectives.classification import cross_entropy, dlr, margin, targeted_dlr, targeted_margin
from robustbench_cv.adversary.objectives.task_goals import Goal, misclassify
from robustbench_cv.adversary.optimizer import Optimizer
from robustbench_cv.adversary.optimizers.apgd import APGD
from robustbench_cv.adversary.optimizers.apgd_l1 import APGDL1
from robustbench_cv.adversary.optimizers.fab import FAB
from robustbench_cv.adversary.optimizers.square import Square
from robustbench_cv.adversary.random_views import same_images
from robustbench_cv.errors import UserError
from robustbench_cv.types import Logits, R, Target

Version = Literal["standard", "plus", "rand"]


def _dlr_or_margin() -> Objective[Logits]:
    """The DLR loss; for models of 2 classes, whose third logit it has not, the plain margin."""

    def score(raw: Logits, goals: Sequence[Target], progress: float) -> Tensor:
        return (dlr() if raw.values.shape[1] > 2 else margin())(raw, goals, progress)

    return Objective("dlr (margin for 2 classes)", Logits, score)


def auto_pgd(
    name: str,
    objective: Objective[Logits, G],
    norm: str,
    eps: float,
    steps: int,
    restarts: int = 1,
    rho: float = 0.75,
    views: int = 1,
    reference: Reference[G] = annotated_targets,  # type: ignore[assignment]  # as an Attack's own
) -> Attack[Logits, G]:
    """APGD of the norm's own kind. views: gradients averaged over as many passes, for models that are random themselves."""
    region = ball(norm, eps)
    optimizer: Optimizer = APGDL1() if norm.lower() == "l1" else APGD(rho)
    view = same_images if views > 1 else None
    return Attack(
        name=name,
        objective=objective,
        success=misclassified(),
        constraint=region,
        optimizer=optimizer,
        steps=steps,
        restarts=restarts,
        start="edge",
        keep="first",
        reference=reference,
        view=view,
        views=views,
    )


def auto_pgd_targeted(name: str, norm: str, eps: float, steps: int, targets: int) -> Targeted:
    """APGD on the targeted DLR loss, a run towards each of the likeliest `targets` wrong classes."""
    _require_targets(name, targets)
    objectives = (targeted_dlr(rank) for rank in range(targets))
    return Targeted(name, tuple(auto_pgd(name, o, norm, eps, steps, reference=ranked_wrong_classes) for o in objectives))


def fast_boundary(name: str, norm: str, eps: float | None, steps: int, restarts: int) -> Adversary[Logits]:
    """FAB on all boundaries: the first run from the clean image, later ones from half way to a random point at the edge."""
    if restarts < 1 or (restarts > 1 and eps is None):
        raise UserError(f"{name}: restarts={restarts} must be at least 1, and above 1 they begin at a distance of half eps: give eps")
    runs = tuple(
        _fab(
            name,
            margin(),
            norm=norm,
            eps=eps,
            steps=steps,
            search=FAB(norm=norm.lower(), targeted=False, halfway=i > 0),
            reference=annotated_targets,
        )
        for i in range(restarts)
    )
    return runs[0] if restarts == 1 else Ensemble(name, runs)


def fast_boundary_targeted(name: str, norm: str, eps: float | None, steps: int, targets: int) -> Targeted:
    """FAB on one boundary at a time: one backward pass a step instead of one for each wrong class."""
    _require_targets(name, targets)
    search, objectives = FAB(norm=norm.lower(), targeted=True), (targeted_margin(rank) for rank in range(targets))
    return Targeted(
        name, tuple(_fab(name, o, norm=norm, eps=eps, steps=steps, search=search, reference=ranked_wrong_classes) for o in objectives)
    )


def square_search(name: str, goal: Goal, norm: str, eps: float, queries: int, area: float, rescale: bool) -> Attack[R]:
    """Square Attack toward any task's goal. queries: proposals, at a forward pass each; one more for the first stripes."""
    if not 0 < area <= 1:
        raise UserError(f"{name}: area={area!r} of the image must be in (0, 1]")
    region, search = ball(norm, eps), Square(norm.lower(), area, rescale)
    return Attack(
        name=name,
        objective=goal.objective,
        success=goal.success,
        constraint=region,
        optimizer=search,
        steps=queries,
        restarts=1,
        start="clean",
        keep=goal.keep,
        reference=goal.reference,
    )


def auto_attack(norm: str, eps: float, version: Version, steps: int, queries: int) -> Ensemble[Logits]:
    """The versions' attacks in the reference's order, with its restarts and targets; samples already misclassified are settled first."""
    l1 = norm.lower() == "l1"
    parts: dict[str, tuple[Adversary[Logits], ...]] = {
        "standard": (
            auto_pgd("apgd-ce", cross_entropy(), norm, eps, steps, restarts=5 if l1 else 1),
            auto_pgd_targeted("apgd-t", norm, eps, steps, targets=5 if l1 else 9),
            fast_boundary_targeted("fab-t", norm, eps, steps, targets=9),
            square_search("square", misclassify(), norm, eps, queries, 0.8, rescale=False),
        ),
        "plus": (
            auto_pgd("apgd-ce", cross_entropy(), norm, eps, steps, restarts=5),
            auto_pgd("apgd-dlr", _dlr_or_margin(), norm, eps, steps, restarts=5),
            fast_boundary("fab", norm, eps, steps, restarts=5),
            square_search("square", misclassify(), norm, eps, queries, 0.8, rescale=False),
            auto_pgd_targeted("apgd-t", norm, eps, steps, targets=9),
            fast_boundary_targeted("fab-t", norm, eps, steps, targets=9),
        ),
        "rand": (
            auto_pgd("apgd-ce", cross_entropy(), norm, eps, steps, views=20),
            auto_pgd("apgd-dlr", _dlr_or_margin(), norm, eps, steps, views=20),
        ),
    }
    if version not in parts:
        raise UserError(f"no version {version!r} of AutoAttack; there are {', '.join(map(repr, parts))}")
    return Ensemble("autoattack", (CleanImage(ball(norm, eps), misclassified()), *parts[version]))


def _fab(
    name: str, objective: Objective[Logits, G], norm: str, eps: float | None, steps: int, search: FAB, reference: Reference[G]
) -> Attack[Logits, G]:
    # Under a bound the first image inside it is enough; without one the closest counts.
    keep: Literal["nearest", "first"] = "nearest" if eps is None else "first"
    start: Literal["edge", "clean"] = "edge" if search.halfway else "clean"
    return Attack(
        name=name,
        objective=objective,
        success=misclassified(),
        constraint=ball(norm, eps),
        optimizer=search,
        steps=steps,
        restarts=1,
        start=start,
        keep=keep,
        reference=reference,
    )


def _require_targets(name: str, targets: int) -> None:
    if targets < 1:
        raise UserError(f"{name}: targets={targets} must be at least 1")
