"""Simultaneous perturbation with Adam. Uesato, O'Donoghue, van den Oord, Kohli, ICML 2018, https://arxiv.org/abs/1802.05666"""

from __future__ import annotations

from robustbench_cv.adversary import Attack, ball
from robustbench_cv.adversary.gradient_transforms import adam, chain, scale
from robustbench_cv.adversary.objectives.task_goals import Goal, misclassify, misclassify_pixels, vanish_detections
from robustbench_cv.adversary.optimizers.gradient_estimation import EstimatedAscent, signs, steps_within, tiled_directions
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt, PositiveNumber
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates, Logits, PixelLogits, R


@attack(
    title="SPSA",
    paper="arXiv:1802.05666",
    task="classification",
    gradient=False,
    reduced="queries=200, probes=20",
    renamed="samples=probes",
)
def spsa(
    norm: str = "linf",
    eps: Length = 8 / 255,
    queries: PositiveInt = 2560,
    probes: PositiveInt = 256,
    delta: PositiveNumber = 0.01,
    alpha: Length = 0.01,
    loss: str = "margin",
    tile: PositiveInt = 1,
) -> Attack[Logits]:
    """Score-based: Adam steps of rate `alpha` along gradients from probes `delta` away in every pixel, until the class is left.

    delta, alpha and the margin loss as in the paper. 256 probes a step (128 pairs, as in common
    re-implementations) and ten steps are project choices. tile: see nes.
    """
    return _spsa_attack("spsa", misclassify(loss), norm=norm, eps=eps, queries=queries, probes=probes, delta=delta, alpha=alpha, tile=tile)


@attack(
    title="SPSA",
    paper="arXiv:1802.05666",
    task="segmentation",
    gradient=False,
    reduced="eps=32/255, queries=400, probes=40, alpha=0.08",
    renamed="samples=probes, share=wrong_fraction",
)
def spsa_pixels(
    norm: str = "linf",
    eps: Length = 8 / 255,
    queries: PositiveInt = 2560,
    probes: PositiveInt = 256,
    delta: PositiveNumber = 0.01,
    alpha: Length = 0.01,
    wrong_fraction: PositiveFraction = 0.5,
    tile: PositiveInt = 1,
) -> Attack[PixelLogits]:
    """Score-based, on the mean pixel cross-entropy (the paper attacks classifiers). wrong_fraction: of the scored
    pixels that must be wrong."""
    return _spsa_attack(
        "spsa-pixels",
        misclassify_pixels(wrong_fraction),
        norm=norm,
        eps=eps,
        queries=queries,
        probes=probes,
        delta=delta,
        alpha=alpha,
        tile=tile,
    )


@attack(
    title="SPSA",
    paper="arXiv:1802.05666",
    task="detection",
    gradient=False,
    reduced="eps=16/255, queries=120, probes=20",
    renamed="samples=probes",
)
def spsa_vanish(
    norm: str = "linf",
    eps: Length = 8 / 255,
    queries: PositiveInt = 2560,
    probes: PositiveInt = 256,
    delta: PositiveNumber = 0.01,
    alpha: Length = 0.01,
    tile: PositiveInt = 1,
) -> Attack[Candidates]:
    """Score-based, on `tog-vanish`'s loss (the paper attacks classifiers): for detectors of any kind, those without a gradient too."""
    return _spsa_attack(
        "spsa-vanish", vanish_detections(), norm=norm, eps=eps, queries=queries, probes=probes, delta=delta, alpha=alpha, tile=tile
    )


def _spsa_attack(
    name: str, goal: Goal, norm: str, eps: float, queries: int, probes: int, delta: float, alpha: float, tile: int
) -> Attack[R]:
    steps, pairs = steps_within(name, queries, probes)
    search = EstimatedAscent(chain(adam(), scale(alpha)), tiled_directions(signs, tile), delta, pairs)
    return Attack(
        name=name,
        objective=goal.objective,
        success=goal.success,
        constraint=ball(norm, eps),
        optimizer=search,
        steps=steps,
        restarts=1,
        start="clean",
        keep=goal.keep,
        reference=goal.reference,
    )
