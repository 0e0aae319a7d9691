"""HopSkipJumpAttack. Chen, Jordan, Wainwright, IEEE Symposium on Security and Privacy 2020, https://arxiv.org/abs/1904.02144"""

from __future__ import annotations

import math
from typing import Any, Literal, cast

from robustbench_cv.adversary import ball
from robustbench_cv.adversary.attack_references import either
from robustbench_cv.adversary.criteria import prediction_wrong
from robustbench_cv.adversary.optimizers.decision_based import Decisions
from robustbench_cv.adversary.optimizers.hop_skip_jump import HopSkipJump
from robustbench_cv.arguments import Length, PositiveInt
from robustbench_cv.catalogue import attack
from robustbench_cv.types import Raw


@attack(title="HopSkipJump", paper="arXiv:1904.02144", task="any", gradient=False, reduced="eps=0.7, queries=300")
def hop_skip_jump(
    norm: Literal["linf", "l2"] = "l2",
    eps: Length | None = None,
    queries: PositiveInt = 1000,
    first: PositiveInt = 100,
    tile: PositiveInt = 1,
) -> Decisions[Any]:
    """Decision-based, for any task: along the boundary toward the clean image, judged predictions only.

    eps: None comes as near as the queries allow, the size being the distance found; a number ends at the first broken image inside.
    queries: the paper reports 1,000 to 25,000. A detection counts as broken where any of the model's own boxes is lost, relabelled or new.
    tile: pixels, the side of the squares that a probe moves as one (see nes); the paper's probes have none (1), and larger ones need fewer
    queries, as in QEBA (Li et al., CVPR 2020, https://arxiv.org/abs/2005.14137).
    """
    walk, region = HopSkipJump(norm, first, tile), ball(norm, math.inf if eps is None else eps)
    return Decisions(
        name="hop-skip-jump",
        accepts=cast(Any, Raw),
        success=prediction_wrong(),
        constraint=region,
        converse=walk,
        queries=queries,
        reference=either,
    )
