"""Any evasion attack of the Adversarial Robustness Toolbox on classifiers, by its class name. Nicolae et al., 2018, https://arxiv.org/abs/1807.01069"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from typing import Any

from robustbench_cv.adversary import Constraint, External, ball
from robustbench_cv.adversary.external.adapters import ArtLike, from_art
from robustbench_cv.arguments import check_like_defaults
from robustbench_cv.catalogue import attack
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Scalar


@attack(title="ART", paper="arXiv:1807.01069", task="classification", needs="adversarial-robustness-toolbox")
def art(name: str, by_sample: bool = True, **arguments: Scalar) -> External:
    """`art:ProjectedGradientDescent(eps=8/255, eps_step=2/255, max_iter=10)`: the library's class and its own arguments, untargeted.

    Held to its own eps and norm ('inf', 1 or 2); without an eps its images may be as far as they like, and their L2 length is reported.
    by_sample: one image at a time, so that a result depends on its sample alone.
    """
    library = _library()
    if name not in library:
        close = difflib.get_close_matches(name.upper(), {n.upper(): n for n in library}, n=3)
        known = [n for n in library if n.upper() in close] or sorted(library)
        raise UserError(f"ART has no evasion attack {name!r}; did you mean {' or '.join(known)}?")
    signature = inspect.signature(library[name])
    # Progress bars on stderr are not ours to show.
    given = {"verbose": False} | arguments if "verbose" in signature.parameters else arguments
    try:
        bound = signature.bind(None, **given)
    except TypeError as error:
        raise UserError(f"art:{name}: {error}; it takes {signature}") from error
    check_like_defaults(f"art:{name}", library[name], arguments)
    bound.apply_defaults()

    def make(estimator: Any) -> ArtLike:
        made: ArtLike = library[name](estimator, **given)
        return made

    steps = bound.arguments.get("max_iter")
    count = steps if isinstance(steps, int) else None
    return from_art(f"art:{name}", make, _budget(bound.arguments), by_sample=by_sample, steps=count)


def _budget(arguments: dict[str, Any]) -> Constraint:
    eps, norm = arguments.get("eps"), arguments.get("norm")
    kind = {"inf": "linf", "2": "l2", "1": "l1"}.get(str(norm).removesuffix(".0"), "l2")
    return ball(kind, math.inf if eps is None else float(eps))


def _library() -> dict[str, type[Any]]:
    try:
        library, base = importlib.import_module("art.attacks.evasion"), importlib.import_module("art.attacks").EvasionAttack
    except ImportError as error:
        raise UserError("ART is not installed: pip install adversarial-robustness-toolbox") from error
    return {n: v for n, v in vars(library).items() if isinstance(v, type) and issubclass(v, base)}
