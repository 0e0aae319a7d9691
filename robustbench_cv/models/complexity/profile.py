"""A model's complexity by the field's conventions: 1 MAC = 2 FLOP; batch 1, eval mode, `raw` without `decode` (no suppression)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robustbench_cv.models.complexity.count import Kind
from robustbench_cv.models.complexity.latency import Latency, measure
from robustbench_cv.models.complexity.op_trace import Layer, OpTrace, trace_ops
from robustbench_cv.tasks import Task
from robustbench_cv.types import AnyModel, HasModule

MAC_CONVENTION = "1 MAC = one multiply-add = 2 FLOP; papers before 2017 often print MACs as FLOPs, Darknet prints BFLOPs = 2 MAC"


@dataclass(frozen=True)
class Memory:
    """Bytes of activations of one image. Made: of all distinct floating-point outputs of operations, counted (a ReLU in place makes none).

    alive: the most at one time between two operations, counted; without autograd a forward pass frees what it no longer needs.
    device: the peak above the model itself that the GPU's allocator measured, workspaces included; None elsewhere.
    """

    made_bytes: int
    alive_bytes: int
    device_bytes: int | None


@dataclass(frozen=True)
class ModuleShare:
    """What one module and all inside it cost. depth: 1 for a child of the model."""

    name: str
    type: str
    depth: int
    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a model costs on one image of height x width px.

    network_input: (h, w) that the first convolution or pooling got, after the model's own resizing. buffers: entries that are not learned
    (statistics of batch norms, normalisation). learned_values: entries of the outputs of convolutions and linear layers, fvcore's
    "activations". backward: forward and the gradient to the image, None where no gradient reaches it; gradients of parameters, which a
    frozen model has none of, would add as many bytes again as the parameters take. hidden: operations that may multiply and are not
    counted, with their calls: with any, macs are a lower bound. latency: None on the meta device.
    """

    model: str
    task: Task
    device: str
    image: tuple[int, int]
    network_input: tuple[int, ...] | None
    parameters: int
    buffers: int
    macs: int
    macs_by_kind: Mapping[Kind, int]
    learned_values: int
    forward: Memory
    backward: Memory | None
    layers: tuple[Layer, ...]
    modules: tuple[ModuleShare, ...]
    hidden: Mapping[str, int]
    latency: Latency | None

    @property
    def flops(self) -> int:
        return 2 * self.macs


def profile(model: AnyModel, image: tuple[int, int] = (224, 224), *, batch: int = 1, runs: int = 20) -> Profile:
    """Watch one pass on seeded noise, one with the gradient to the image, and time `runs` passes of a batch. Nothing of the model changes.

    The number of proposals that a two-stage detector finds depends on the image, and with it what its second stage costs.
    """
    module = model.module if isinstance(model, HasModule) else None
    device = _device(module)
    x = _noise(1, image, device)
    seen, forward = _pass(model, x, module)
    return Profile(
        model=model.info.name,
        task=model.info.task,
        device=str(device),
        image=image,
        network_input=next((layer.inputs[2:] for layer in seen.layers if layer.kind in ("convolution", "pooling")), None),
        parameters=model.info.parameters,
        buffers=0 if module is None else sum(b.numel() for b in module.buffers()),
        macs=seen.macs,
        macs_by_kind=seen.macs_by_kind(),
        learned_values=seen.learned_values,
        forward=forward,
        backward=_backward(model, x),
        layers=tuple(seen.layers),
        modules=() if module is None else _shares(module, seen),
        hidden=dict(seen.hidden),
        latency=None if device.type == "meta" else _latency(model, _noise(batch, image, device), runs),
    )


def count(model: AnyModel, image: Tensor) -> OpTrace:
    """What one pass on one image (3, H, W) does, without gradients: enough for multiply-adds, the cheapest part of a profile."""
    module = model.module if isinstance(model, HasModule) else None
    with torch.no_grad():
        return trace_ops(lambda: model.raw(image[None].to(_device(module))), module)


def _device(module: nn.Module | None) -> torch.device:
    tensor = None if module is None else next(module.parameters(), next(module.buffers(), None))
    return torch.device("cpu") if tensor is None else tensor.device


def _noise(batch: int, image: tuple[int, int], device: torch.device) -> Tensor:
    return torch.rand((batch, 3, *image), generator=torch.Generator().manual_seed(0)).to(device)


def _pass(model: AnyModel, x: Tensor, module: nn.Module | None) -> tuple[OpTrace, Memory]:
    def run() -> object:
        with torch.no_grad():
            return model.raw(x)

    return _measure(lambda: trace_ops(run, module), x.device)


def _backward(model: AnyModel, x: Tensor) -> Memory | None:
    reached = False

    def run() -> None:
        nonlocal reached
        image = x.clone().requires_grad_()
        outputs = [t for t in vars(model.raw(image)).values() if isinstance(t, Tensor) and t.requires_grad]
        if outputs:
            (gradient,) = torch.autograd.grad([t.sum() for t in outputs], image, allow_unused=True)
            reached = gradient is not None

    _, memory = _measure(lambda: trace_ops(run, memory_only=True), x.device)
    return memory if reached else None


def _measure(run: Any, device: torch.device) -> tuple[OpTrace, Memory]:
    """Run under the GPU's own count of memory, where there is one."""
    before = 0
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    seen: OpTrace = run()
    peak = torch.cuda.max_memory_allocated(device) - before if device.type == "cuda" else None
    return seen, Memory(seen.bytes_made, seen.bytes_peak, peak)


def _shares(module: nn.Module, seen: OpTrace) -> tuple[ModuleShare, ...]:
    """Every named module that holds parameters or did work, in the order of the network."""
    spent: dict[str, int] = {}
    for layer in seen.layers:
        parts = layer.module.split(".")
        for name in {".".join(parts[:depth]) for depth in range(len(parts) + 1)}:
            spent[name] = spent.get(name, 0) + layer.macs
    shares = []
    for name, part in module.named_modules():
        parameters = sum(p.numel() for p in part.parameters())
        if parameters or spent.get(name):
            depth = name.count(".") + 1 if name else 0
            shares.append(ModuleShare(name, type(part).__name__, depth, parameters, spent.get(name, 0)))
    return tuple(shares)


def _latency(model: AnyModel, x: Tensor, runs: int) -> Latency:
    with torch.no_grad():
        return measure(lambda: model.raw(x), len(x), x.device, runs=runs)
