"""A twin of a model that computes the same function faster: batch norms folded into their convolutions, channels last in memory.

For searches, which ask a model thousands of times; what they find is judged on the model itself. Folding is exact but for rounding:
Jacob et al., CVPR 2018, section 3.2, https://arxiv.org/abs/1712.05877
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode

from robustbench_cv.types import Candidates, HasModule, Model, ModelInfo, Prediction, R, Raw

TOLERANCE = 1e-3
"""Largest difference of raw outputs, relative to the largest output, at which two networks count as the same function (project choice)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Folded(Generic[R]):
    """A Model around the faster copy. Same info, same decode."""

    inner: Model[R]

    @property
    def info(self) -> ModelInfo:
        """Of the original."""
        return self.inner.info

    @property
    def module(self) -> nn.Module:
        """The copy."""
        module: nn.Module = cast(HasModule, self.inner).module
        return module

    def raw(self, images: Tensor, /) -> R:
        """As the original, but for rounding."""
        return self.inner.raw(images.contiguous(memory_format=torch.channels_last))

    def decode(self, raw: R, /) -> list[Prediction]:
        """As the original."""
        return list(self.inner.decode(raw))


def fold(model: Model[R], probe: Tensor) -> Model[R]:
    """The model's faster twin, or the model itself where none can be made: no torch module to copy, no convolution, another function.

    probe: an image (1, 3, H, W) of those to come, on the model's device; the two are compared on it. The model is left as it is; its
    weights are held twice.
    """
    if not (isinstance(model, HasModule) and dataclasses.is_dataclass(model) and "module" in {f.name for f in dataclasses.fields(model)}):
        return model
    if not any(isinstance(m, nn.Conv2d) for m in model.module.modules()):
        return model
    try:
        module = copy.deepcopy(model.module)
    except (RuntimeError, TypeError, NotImplementedError):
        return model  # modules that hold what cannot be copied (non-leaf tensors, handles) serve as they are
    made = Folded(cast("Model[R]", dataclasses.replace(cast(Any, model), module=module)))
    with torch.no_grad():
        before = model.raw(probe)
        fold_batch_norms(module, lambda: made.inner.raw(probe))
        module.to(memory_format=torch.channels_last)
        return made if _agree(before, made.raw(probe)) else model


def fold_batch_norms(module: nn.Module, forward: Callable[[], object]) -> int:
    """Fold, in place, every batch norm whose input always comes from one convolution that nothing else reads. How many were folded.

    forward: runs the module once on sample data; who reads whose output is seen there, so any control flow will do.
    """
    with _watch(module) as readers:
        forward()
    names = {m: name for name, m in module.named_modules()}
    folded = 0
    for conv, norm in readers.pairs():
        weight, bias = _fuse(conv, norm)
        conv.weight, conv.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
        parent, _, leaf = names[norm].rpartition(".")
        setattr(module.get_submodule(parent), leaf, nn.Identity())
        folded += 1
    return folded


NOT_READING = torch.Size | int | bool | torch.dtype | torch.device
"""What a function gives that asks a tensor for its shape or kind, not for its values."""


class _Readers(TorchFunctionMode):
    """Who reads the outputs of convolutions. Holds every output, so that no two share an id."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}
        self.uses: dict[int, int] = {}
        self.norm_of: dict[int, nn.Module] = {}
        self.sources: dict[nn.Module, set[nn.Conv2d | None]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not isinstance(made, NOT_READING):
            for value in _tensors((args, kwargs)):
                if id(value) in self.outputs:
                    self.uses[id(value)] += 1
        return made

    def saw_convolution(self, conv: nn.Conv2d, _: Any, output: Tensor) -> None:
        self.outputs[id(output)] = conv, output
        self.uses[id(output)] = 0

    def saw_norm(self, norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        source = self.outputs.get(id(inputs[0])) if inputs else None
        self.sources.setdefault(norm, set()).add(source[0] if source else None)
        if source:
            self.norm_of[id(source[1])] = norm

    def pairs(self) -> list[tuple[nn.Conv2d, nn.Module]]:
        """Convolutions all of whose outputs go to one norm and nowhere else, which reads nothing else."""
        readers: dict[nn.Conv2d, set[nn.Module | None]] = {}
        for key, (conv, _) in self.outputs.items():
            readers.setdefault(conv, set()).add(self.norm_of.get(key) if self.uses[key] == 1 else None)
        alone = ((conv, next(iter(seen))) for conv, seen in readers.items() if len(seen) == 1)
        return [(conv, norm) for conv, norm in alone if norm is not None and len(self.sources[norm]) == 1]


@contextmanager
def _watch(module: nn.Module) -> Iterator[_Readers]:
    readers = _Readers()
    handles = []
    for part in module.modules():
        if type(part) is nn.Conv2d and not part._forward_hooks and not part._forward_pre_hooks:
            handles.append(part.register_forward_hook(readers.saw_convolution))
        elif _is_plain_norm(part):
            handles.append(part.register_forward_pre_hook(readers.saw_norm))
    try:
        with readers:
            yield readers
    finally:
        for handle in handles:
            handle.remove()


def _is_plain_norm(part: nn.Module) -> bool:
    """Whether it scales and shifts each channel by numbers that are fixed in eval mode, and does nothing else."""
    if part._forward_hooks or part._forward_pre_hooks:
        return False
    return _is_frozen(part) or (type(part) is nn.BatchNorm2d and part.running_mean is not None and not part.training)


def _is_frozen(part: nn.Module) -> bool:
    """Whether it is torchvision's batch norm that never learns. Where nothing has loaded torchvision, which takes seconds, nothing is."""
    loaded = sys.modules.get("torchvision.ops")
    return loaded is not None and type(part) is loaded.FrozenBatchNorm2d


def _fuse(conv: nn.Conv2d, norm: Any) -> tuple[Tensor, Tensor]:
    weight, bias = fuse_conv_bn_weights(conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    return weight.detach(), bias.detach()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _agree(one: Raw, other: Raw) -> bool:
    """Whether two raw outputs are equal but for rounding. Not where proposals changed places: then nothing was shown."""
    if isinstance(one, Candidates):
        pairs = [(one.boxes, cast(Candidates, other).boxes), (one.log_score, cast(Candidates, other).log_score)]
    else:
        pairs = [(one.values, cast(Any, other).values)]
    return all(_close(a, b) for a, b in pairs)


def _close(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape:
        return False
    scale = float(one[one.isfinite()].abs().max()) if bool(one.isfinite().any()) else 0.0
    return torch.allclose(one, other, rtol=0, atol=TOLERANCE * max(scale, 1e-6), equal_nan=True)
