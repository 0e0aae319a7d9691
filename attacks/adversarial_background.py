"""Adversarial backgrounds, the Backgrounds Challenge. Xiao, Engstrom, Ilyas, Madry, ICLR 2021, https://arxiv.org/abs/2006.09994"""

from __future__ import annotations

from robustbench_cv.adversary.background_search import BackgroundSearch
from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import attack


@attack(title="Adversarial backgrounds", paper="arXiv:2006.09994", task="classification", gradient=False, needs="imagenet9: data")
def adversarial_background(backgrounds: PositiveInt = 32) -> BackgroundSearch:
    """The object pasted by its mask on pictures of only_bg_t of all nine classes, its own included, until the model is wrong.

    backgrounds: the most that an object is shown on. The paper takes all 4050, this many are drawn for each object: accuracies under
    different numbers do not compare, and any is an upper bound of that under more. A model that is fooled early asks for few.
    """
    return BackgroundSearch(backgrounds)
