"""Watching one pass of a network below its modules: every torch operation with its cost, its module, and the memory that it fills."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from robustbench_cv.models.complexity.count import Kind, is_hidden, work_of
from robustbench_cv.models.complexity.receptive_field_rules import ReceptiveFields, ReceptiveFieldTracer


@dataclass(frozen=True)
class Layer:
    """One costly or resolution-changing operation of a pass.

    module: dotted name of the innermost module that it ran in. inputs, outputs: tensor shapes, batch included. parameters: of that module
    itself, at its first operation. receptive_field: (h, w) in pixels of the network's input, "whole" where every position depends on
    the whole image, None where an operation before is not followed. stride: the same pixels from one position to the next.
    """

    module: str
    kind: Kind
    operation: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    macs: int
    parameters: int
    receptive_field: tuple[int, ...] | Literal["whole"] | None
    stride: tuple[Fraction, ...] | None

    @property
    def values(self) -> int:
        """Entries of the output."""
        return math.prod(self.outputs)


@dataclass
class OpTrace:
    """What a pass did. layers: in order. bytes_made: of all distinct floating-point outputs (a view or an operation in place makes none).

    bytes_peak: the most that was alive between two operations, of what the pass made; workspaces inside an operation are not seen.
    hidden: operations that may multiply and are not counted, with their calls.
    """

    layers: list[Layer] = field(default_factory=list)
    bytes_made: int = 0
    bytes_peak: int = 0
    hidden: Counter[str] = field(default_factory=Counter)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    def macs_by_kind(self) -> dict[Kind, int]:
        macs: dict[Kind, int] = {}
        for layer in self.layers:
            if layer.macs:
                macs[layer.kind] = macs.get(layer.kind, 0) + layer.macs
        return macs

    @property
    def learned_values(self) -> int:
        """Entries of the outputs of convolutions and linear layers: what fvcore calls activations."""
        return sum(layer.values for layer in self.layers if layer.kind in ("convolution", "linear"))


def trace_ops(run: Callable[[], object], module: nn.Module | None = None, *, memory_only: bool = False) -> OpTrace:
    """Run once and say what happened. module: whose parts get their names; nothing of it is changed. memory_only: no layers."""
    watcher = _TraceMode(module, memory_only=memory_only)
    # The fused encoder of nn.TransformerEncoder is one operation without parts; unfused it computes the same.
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with watcher.names(), watcher:
            run()
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return watcher.found


class _TraceMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, module: nn.Module | None, *, memory_only: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found = OpTrace()
        self._memory_only = memory_only
        kept = [] if module is None else [*module.parameters(), *module.buffers()]
        self._weights = {t.untyped_storage()._cdata for t in kept}
        self._names = {} if module is None else {id(part): name for name, part in module.named_modules()}
        self._stack: list[nn.Module] = []
        self._paid: set[int] = set()
        self._follower = ReceptiveFieldTracer()
        self._alive: dict[int, tuple[StorageWeakRef, int]] = {}

    @contextlib.contextmanager
    def names(self) -> Iterator[None]:
        """Keep the stack of modules that are running."""
        enter = register_module_forward_pre_hook(lambda part, _: self._stack.append(part))
        leave = register_module_forward_hook(lambda part, *_: self._leave(part))
        try:
            yield
        finally:
            enter.remove()
            leave.remove()

    def _leave(self, part: nn.Module) -> None:
        while self._stack and self._stack.pop() is not part:
            pass

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        kwargs = dict(kwargs or {})
        if torch.is_inference_mode_enabled() and "upsample" not in func._schema.name:
            # Inference mode hands over composite operations; their parts are what is counted.
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = func(*args, **kwargs)
        self._note_memory(out, args)
        if not self._memory_only:
            self._note_layer(func, args, kwargs, out)
        return out

    def _note_layer(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], out: Any) -> None:
        self._follower.follow(func, args, kwargs, out)
        namespace, name = func._schema.name.split("::")
        work = work_of(name, args, out, self._is_weight)
        if work is None:
            if is_hidden(namespace, name):
                self.found.hidden[f"{namespace}.{name}"] += 1
            return
        result = out[0] if isinstance(out, list | tuple) else out
        source = args[1 if "add" in name else 0]
        seen = _field(self._follower.of(result))
        shapes = tuple(source.shape), tuple(result.shape)
        self.found.layers.append(Layer(self._name(), work.kind, name, *shapes, work.macs, self._parameters(), *seen))

    def _is_weight(self, tensor: Tensor) -> bool:
        """A parameter or buffer, or a view of one."""
        return isinstance(tensor, nn.Parameter) or tensor.untyped_storage()._cdata in self._weights

    def _name(self) -> str:
        return next((self._names[id(part)] for part in reversed(self._stack) if id(part) in self._names), "")

    def _parameters(self) -> int:
        """Of the innermost named module itself, once a pass."""
        part = next((part for part in reversed(self._stack) if id(part) in self._names), None)
        if part is None or id(part) in self._paid:
            return 0
        self._paid.add(id(part))
        return sum(p.numel() for p in part.parameters(recurse=False))

    def _note_memory(self, out: Any, args: tuple[Any, ...]) -> None:
        self._alive = {key: held for key, held in self._alive.items() if not held[0].expired()}  # type: ignore[no-untyped-call]
        ours = {t.untyped_storage()._cdata for t in args if isinstance(t, Tensor)}
        for tensor in out if isinstance(out, list | tuple) else [out]:
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata in self._alive or storage._cdata in ours:
                continue
            self._alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()  # type: ignore[no-untyped-call]
            self.found.bytes_made += storage.nbytes() if tensor.is_floating_point() else 0
        self.found.bytes_peak = max(self.found.bytes_peak, sum(size for _, size in self._alive.values()))


def _field(sight: ReceptiveFields | None) -> tuple[tuple[int, ...] | Literal["whole"] | None, tuple[Fraction, ...] | None]:
    if sight is None or sight.lost:
        return None, None
    if sight.whole:
        return "whole", None
    return (tuple(r.size for r in sight.places), tuple(r.stride for r in sight.places)) if sight.places else (None, None)
