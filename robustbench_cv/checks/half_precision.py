"""Number formats inside a model: whether it computes in half precision, and the same model in float32 and in float64."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from robustbench_cv.types import HasModule, Model, ModelInfo, Prediction

HALF = (torch.float16, torch.bfloat16)


class _Watch(TorchFunctionMode):
    """Notes every half-precision type that a function of torch gives. (A dispatch mode would load the compiler: seconds.)"""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.seen |= {t.dtype for t in tree_leaves(out) if isinstance(t, Tensor) and t.dtype in HALF}
        return out


class _Full(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Gives float32 wherever half precision is asked for: .half(), autocast, new tensors."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if kwargs.get("dtype") in HALF:
            kwargs["dtype"] = torch.float32
        return func(*args, **kwargs)


def half_precision(model: Model[Any], images: Tensor) -> list[str]:
    """The half-precision types that one forward pass computes in, by name; empty for a float32 model."""
    with torch.no_grad(), _Watch() as watch:
        model.raw(images)
    return sorted(str(t).removeprefix("torch.") for t in watch.seen)


class _Copy:
    """A copy of a model, its parameters in another format."""

    def __init__(self, model: Model[Any], dtype: torch.dtype) -> None:
        self._model = copy.deepcopy(model)
        if isinstance(self._model, HasModule):
            self._model.module.to(dtype)

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    def decode(self, raw: Any, /) -> Sequence[Prediction]:
        return self._model.decode(raw)


class Float32(_Copy):
    """A copy of a model that computes in float32 throughout, whatever it asks for."""

    def __init__(self, model: Model[Any]) -> None:
        super().__init__(model, torch.float32)

    def raw(self, images: Tensor, /) -> Any:
        with _Full():  # type: ignore[no-untyped-call]
            return self._model.raw(images.float())


class Float64(_Copy):
    """A copy of a model that computes in float64, but where it asks for another format itself; `raw` then may raise what torch raises."""

    def __init__(self, model: Model[Any]) -> None:
        super().__init__(model, torch.float64)

    def raw(self, images: Tensor, /) -> Any:
        return self._model.raw(images.double())
