"""Square Attack, by random search. Andriushchenko, Croce, Flammarion, Hein, ECCV 2020, https://arxiv.org/abs/1912.00049"""

from __future__ import annotations

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.combinators.autoattack import square_search
from robustbench_cv.adversary.objectives.task_goals import misclassify, misclassify_pixels, vanish_detections
from robustbench_cv.arguments import Area, Length, PositiveFraction, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Candidates, Logits, PixelLogits


@attack(title="Square", paper="arXiv:1912.00049", task="classification", gradient=False, renamed="share=area")
def square(
    norm: str = "linf", eps: Length = 8 / 255, queries: PositiveInt = 5000, area: Area = 0.8, rescale: bool = True
) -> Attack[Logits]:
    """Score-based, one forward pass a query: random squares in 'linf', windows in 'l2' and 'l1', kept where the margin shrinks.

    area: share of the image that the first squares cover. rescale: stretch the schedule of square sizes, made for 10,000 queries, over
    those at hand; False as inside AutoAttack.
    """
    return square_search("square", misclassify(), norm=norm, eps=eps, queries=queries, area=area, rescale=rescale)


@attack(
    title="Square",
    paper="arXiv:1912.00049",
    task="segmentation",
    gradient=False,
    reduced="eps=32/255, queries=300",
    renamed="share=area, wrong=wrong_fraction",
)
def square_pixels(
    norm: str = "linf",
    eps: Length = 8 / 255,
    queries: PositiveInt = 1000,
    area: Area = 0.8,
    rescale: bool = True,
    wrong_fraction: PositiveFraction = 0.5,
) -> Attack[PixelLogits]:
    """Score-based, on the mean pixel cross-entropy (the paper attacks classifiers). wrong_fraction: of the
    scored pixels that must be wrong."""
    return square_search(
        "square-pixels", misclassify_pixels(wrong_fraction), norm=norm, eps=eps, queries=queries, area=area, rescale=rescale
    )


@attack(title="Square", paper="arXiv:1912.00049", task="detection", gradient=False, reduced="eps=16/255, queries=60", renamed="share=area")
def square_vanish(
    norm: str = "linf", eps: Length = 8 / 255, queries: PositiveInt = 1000, area: Area = 0.8, rescale: bool = True
) -> Attack[Candidates]:
    """Score-based, on `tog-vanish`'s loss (the paper attacks classifiers): for detectors of any kind, those without a gradient too."""
    return square_search("square-vanish", vanish_detections(), norm=norm, eps=eps, queries=queries, area=area, rescale=rescale)
