"""Any attack of foolbox on classifiers, by its class name. Rauber, Zimmermann, Bethge, Brendel, JOSS 2020, https://doi.org/10.21105/joss.02607"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from typing import Any

from robustbench_cv.adversary import External, ball
from robustbench_cv.adversary.external.adapters import from_foolbox
from robustbench_cv.arguments import Length, check_like_defaults
from robustbench_cv.catalogue import attack
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Scalar


@attack(title="foolbox", paper="doi:10.21105/joss.02607", task="classification", needs="foolbox")
def foolbox(name: str, eps: Length | None = None, norm: str | None = None, by_sample: bool = True, **arguments: Scalar) -> External:
    """`foolbox:LinfPGD(eps=8/255, steps=40)`: the library's class and its own arguments, untargeted, at the budget eps.

    eps: None looks for the smallest change, with attacks that can. norm: 'linf', 'l2' or 'l1', by default the attack's own distance.
    by_sample: one image at a time, so that a result depends on its sample alone.
    """
    library = _library()
    if name not in library:
        close = difflib.get_close_matches(name.upper(), {n.upper(): n for n in library}, n=3)
        known = [n for n in library if n.upper() in close] or sorted(library)
        raise UserError(f"foolbox has no attack {name!r}; did you mean {' or '.join(known)}?")
    made = library[name]
    check_like_defaults(f"foolbox:{name}", made, arguments)
    try:
        example = made(**arguments)
    except TypeError as error:
        raise UserError(f"foolbox:{name}: {error}; it takes {inspect.signature(made)}") from error
    if eps is None and isinstance(example, _attacks().base.FixedEpsilonAttack):
        raise UserError(f"foolbox:{name} needs a budget: write eps=8/255 in its own norm")
    # Attacks of no single norm (rotations, say) have a distance of another kind, or none.
    own = {math.inf: "linf", 2: "l2", 1: "l1"}.get(getattr(example.distance, "p", 2), "l2")
    region = ball(norm or own, math.inf if eps is None else eps)
    steps = getattr(example, "steps", None)
    count = steps if isinstance(steps, int) else None
    return from_foolbox(f"foolbox:{name}", lambda: made(**arguments), region, by_sample=by_sample, steps=count)


def _attacks() -> Any:
    try:
        return importlib.import_module("foolbox").attacks
    except ImportError as error:
        raise UserError("foolbox is not installed: pip install foolbox") from error


def _library() -> dict[str, type[Any]]:
    attacks = _attacks()
    kinds = attacks.base.FixedEpsilonAttack, attacks.base.MinimizationAttack
    return {n: v for n, v in vars(attacks).items() if isinstance(v, type) and issubclass(v, kinds)}
