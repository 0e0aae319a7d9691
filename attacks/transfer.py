"""Transfer from a surrogate. Papernot, McDaniel, Goodfellow, 2016, https://arxiv.org/abs/1605.07277"""

from __future__ import annotations

import dataclasses
from typing import Any

from robustbench_cv.adversary import Attack
from robustbench_cv.adversary.combinators.transfer import Transfer
from robustbench_cv.catalogue import ATTACKS, attack


@attack(title="Transfer", paper="arXiv:1605.07277", task="any", gradient=False, needs="source")
def transfer(source: str, attack: str, stop: bool = False) -> Transfer[Any, Any]:
    """`transfer(source='lenet5.scenes', attack='mi-fgsm(eps=8/255)')`: the attack runs on the surrogate, the victim sees the result.

    source: the spec of a model with the same classes. stop: end where the surrogate is broken, as on a white box; by default a single
    attack takes all its steps, since images just past one model's boundary seldom cross another's.
    """
    made = ATTACKS.build(attack)
    if isinstance(made, Attack) and not stop:
        made = dataclasses.replace(made, keep="last")
    return Transfer(f"transfer from {source}", source, made)
