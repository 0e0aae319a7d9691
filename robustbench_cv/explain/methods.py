"""The methods by name. Imports no torch, so that a misspelt name is answered at once."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
from typing import TYPE_CHECKING, Protocol

from robustbench_cv.errors import UserError
from robustbench_cv.specs import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from robustbench_cv.explain.targets import Explained
    from robustbench_cv.types import AnyModel

METHODS = {
    "occlusion": "how far the score falls where a grey square covers the image (Zeiler, Fergus 2014); any model",
    "gradient": "how fast the score changes with a pixel (Simonyan et al. 2014)",
    "integrated-gradients": "what each pixel adds on the way from black (Sundararajan et al. 2017)",
    "grad-cam": "the last convolution's maps, weighted (Selvaraju et al. 2017)",
    "lrp": "the score handed back layer by layer (Bach et al. 2015); convolutional networks",
}


class Method(Protocol):
    """A map (H, W) on the CPU, of one image (3, H, W) on the model's device. Large is relevant; it may be negative."""

    def __call__(self, model: AnyModel, explained: Explained, image: Tensor, /) -> Tensor: ...


def check_method(spec: str) -> Spec:
    """The parsed spec; UserError, with the closest name, where there is no such method."""
    parsed = Spec.parse(spec)
    if parsed.name not in METHODS or parsed.target is not None:
        close = difflib.get_close_matches(parsed.name, METHODS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(METHODS)}"
        raise UserError(f"no method named {parsed.name!r}; {hint} (robustbench-cv explain --help)")
    return parsed


def build_method(spec: str) -> Method:
    """The method that a spec names, such as "occlusion(side=16)". UserError for arguments that it does not take."""
    parsed = check_method(spec)
    function = getattr(importlib.import_module(f"robustbench_cv.explain.{parsed.name.replace('-', '_')}"), parsed.name.replace("-", "_"))
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    taken = {p.name: p for p in parameters}
    for name, value in parsed.args.items():
        if name not in taken:
            raise UserError(f"{parsed.name} takes no argument {name!r}; it takes {', '.join(taken) or 'none'}")
        kind = (
            "str" if isinstance(value, str) else "int" if isinstance(value, int) and not isinstance(value, bool) else type(value).__name__
        )
        if value is not None and kind not in str(taken[name].annotation):
            raise UserError(f"{parsed.name}: {name}={value!r} must be {taken[name].annotation}")
    method: Method = functools.partial(function, **parsed.args)
    return method
