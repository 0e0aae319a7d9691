"""Any attack of torchattacks, by its class name. Kim, Torchattacks, 2020, https://arxiv.org/abs/2010.01950"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any

from torch import nn

from robustbench_cv.adversary import L2, Constraint, External, ball
from robustbench_cv.adversary.external.external_attack import Crafted
from robustbench_cv.arguments import check_like_defaults
from robustbench_cv.catalogue import attack
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.registry import Scalar

WRAPPERS = ("MultiAttack", "LGV")
"""They take attacks or training data, not numbers."""

FEWEST_CLASSES = {"APGDT": 4, "AutoAttack": 4, "JSMA": 3}
"""Below, the library stops with an IndexError (version 3.5.1)."""


@attack(title="torchattacks", paper="arXiv:2010.01950", task="classification")
def torchattacks(name: str, by_sample: bool = True, **arguments: Scalar) -> External:
    """`torchattacks:PGD(eps=8/255, alpha=2/255, steps=10)`: the library's class and its own arguments, untargeted.

    by_sample: one image at a time, so that a result depends on its sample alone; False is faster and breaks that.
    """
    library = _library()
    if name not in library:
        close = difflib.get_close_matches(name.upper(), {n.upper(): n for n in library}, n=3)
        known = [n for n in library if n.upper() in close] or sorted(library)
        raise UserError(f"torchattacks has no attack {name!r} that runs by itself; did you mean {' or '.join(known)}?")
    signature = inspect.signature(library[name])
    try:
        bound = signature.bind(None, **arguments)
    except TypeError as error:
        taken = ", ".join(str(p) for p in list(signature.parameters.values())[1:])
        raise UserError(f"torchattacks:{name}: {error}; it takes {taken}") from error
    check_like_defaults(f"torchattacks:{name}", library[name], arguments)
    bound.apply_defaults()
    if name.startswith("EAD") and bound.arguments["max_iterations"] < 10:
        raise UserError(f"torchattacks:{name} divides by max_iterations // 10: give at least 10")
    steps, made = bound.arguments.get("steps"), _maker(name, library[name], arguments)
    count = steps if isinstance(steps, int) else None
    return External(f"torchattacks:{name}", made, _budget(name, bound.arguments), by_sample, count)


def _library() -> dict[str, type[Any]]:
    try:
        import torchattacks as library
    except ImportError as error:
        raise UserError("torchattacks is not installed: pip install 'robustbench-cv[torchattacks]'") from error
    return {name: getattr(library, name) for name in library.__all__ if name not in WRAPPERS}


def _budget(name: str, arguments: dict[str, Any]) -> Constraint:
    """The ball that the arguments promise, or none for attacks that look for the smallest change."""
    eps = arguments.get("eps", arguments.get("max_epsilon"))
    if eps is None:
        return L2(math.inf)
    return ball(arguments.get("norm", "L2" if name.endswith("L2") else "Linf"), eps)


def _maker(name: str, made: type[Any], arguments: dict[str, Scalar]) -> Callable[[nn.Module, int, int], Crafted]:
    parameters = inspect.signature(made).parameters

    def make(network: nn.Module, classes: int, seed: int) -> Crafted:
        fewest = FEWEST_CLASSES.get(name, 2)
        if classes < fewest:
            raise NotApplicable(f"torchattacks:{name} needs at least {fewest} classes, this model has {classes}")
        # Its own defaults are 10 classes, and one seed (or the clock) for every image.
        known = {key: value for key, value in {"n_classes": classes, "seed": seed}.items() if key in parameters}
        crafted: Crafted = made(network, **(known | arguments))
        return crafted

    return make
