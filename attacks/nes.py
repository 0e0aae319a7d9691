"""Natural evolution strategies: gradients of a black box. Ilyas, Engstrom, Athalye, Lin, ICML 2018, https://arxiv.org/abs/1804.08598"""

from __future__ import annotations

from robustbench_cv.adversary import Attack, ball
from robustbench_cv.adversary.gradient_transforms import chain, momentum, scale, steepest
from robustbench_cv.adversary.objectives.task_goals import Goal, misclassify, misclassify_pixels, vanish_detections
from robustbench_cv.adversary.optimizers.gradient_estimation import EstimatedAscent, gaussian, steps_within, tiled_directions
from robustbench_cv.adversary.optimizers.step_size import require_step
from robustbench_cv.arguments import Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates, Logits, PixelLogits, R


@attack(
    title="NES", paper="arXiv:1804.08598", task="classification", gradient=False, reduced="queries=200, probes=20", renamed="samples=probes"
)
def nes(
    norm: str = "linf",
    eps: Length = 8 / 255,
    queries: PositiveInt = 2000,
    probes: PositiveInt = 50,
    alpha: Length | None = None,
    loss: str = "margin",
    tile: PositiveInt = 1,
) -> Attack[Logits]:
    """Score-based: steepest ascent along gradients from `probes` queries each, until `queries` are spent or the class is left.

    The authors' code: probes 0.001 away, 50 a step, momentum 0.9, cross-entropy. alpha: 2.5 eps a run (project choice), the paper 0.01 at
    eps 0.05 with at most 10,000 queries. Momentum here sums instead of averaging: the same directions. A model that rounds its input to 8
    bits hides what lies 0.001 away: spsa reaches further. tile: pixels, the side of the squares that a probe moves as one, the data prior
    of Ilyas, Engstrom and Madry (arXiv:1807.07978); the paper's probes have none (1), and larger ones need fewer queries.
    """
    return _nes_attack("nes", misclassify(loss), norm=norm, eps=eps, queries=queries, probes=probes, alpha=alpha, tile=tile)


@attack(
    title="NES",
    paper="arXiv:1804.08598",
    task="segmentation",
    gradient=False,
    reduced="eps=32/255, queries=400, probes=40",
    renamed="samples=probes, share=wrong_fraction",
)
def nes_pixels(
    norm: str = "linf",
    eps: Length = 8 / 255,
    queries: PositiveInt = 2000,
    probes: PositiveInt = 50,
    alpha: Length | None = None,
    wrong_fraction: PositiveFraction = 0.5,
    tile: PositiveInt = 1,
) -> Attack[PixelLogits]:
    """Score-based, on the mean pixel cross-entropy (the paper attacks classifiers). wrong_fraction: of the scored
    pixels that must be wrong."""
    return _nes_attack(
        "nes-pixels", misclassify_pixels(wrong_fraction), norm=norm, eps=eps, queries=queries, probes=probes, alpha=alpha, tile=tile
    )


@attack(
    title="NES",
    paper="arXiv:1804.08598",
    task="detection",
    gradient=False,
    reduced="eps=16/255, queries=120, probes=20",
    renamed="samples=probes",
)
def nes_vanish(
    norm: str = "linf",
    eps: Length = 8 / 255,
    queries: PositiveInt = 2000,
    probes: PositiveInt = 50,
    alpha: Length | None = None,
    tile: PositiveInt = 1,
) -> Attack[Candidates]:
    """Score-based, on `tog-vanish`'s loss (the paper attacks classifiers): for detectors of any kind, those without a gradient too."""
    return _nes_attack("nes-vanish", vanish_detections(), norm=norm, eps=eps, queries=queries, probes=probes, alpha=alpha, tile=tile)


def _nes_attack(name: str, goal: Goal, norm: str, eps: float, queries: int, probes: int, alpha: float | None, tile: int) -> Attack[R]:
    region = ball(norm, eps)
    steps, pairs = steps_within(name, queries, probes)
    move = chain(momentum(0.9), steepest(region), scale(require_step(region, alpha, steps)))
    search = EstimatedAscent(move, tiled_directions(gaussian, tile), 0.001, pairs)
    return Attack(
        name=name,
        objective=goal.objective,
        success=goal.success,
        constraint=region,
        optimizer=search,
        steps=steps,
        restarts=1,
        start="clean",
        keep=goal.keep,
        reference=goal.reference,
    )
