"""A torch module becomes a model: frozen, preprocessing inside, class names known, weights hashed.

`Classifier` and `Segmenter` are data; `classifier` and `segmenter` build them. The module that each exposes is everything between
pixels and raw output, preprocessing included, so moving or hashing it misses nothing. It is in eval mode when built; no method
touches a mode.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.models.preprocessing import Interpolation, Preprocessing
from robustbench_cv.models.state_dict_loading import lazy_layers
from robustbench_cv.tasks import Task
from robustbench_cv.types import (
    ClassPrediction,
    HasModule,
    Labels,
    Logits,
    MaskPrediction,
    ModelInfo,
    PixelLogits,
    PixelProbabilities,
    Prediction,
)

M = TypeVar("M")


class Prepared(nn.Module):
    """A network with its preprocessing: images in [0, 1] -> whatever `net` returns."""

    def __init__(self, net: nn.Module, prepare: Preprocessing) -> None:
        super().__init__()
        self.prepare, self.net = prepare, net

    def forward(self, images: Tensor) -> Any:
        """Differentiable where `net` is."""
        return self.net(self.prepare(images))


@dataclass(frozen=True, eq=False)
class Classifier:
    """A Model of Logits around a module (N, 3, H, W) -> (N, C)."""

    module: Prepared
    info: ModelInfo

    def raw(self, images: Tensor, /) -> Logits:
        """Differentiable. UserError where the module's output is not (N, classes)."""
        values = _tensor(self.module(images), self.info)
        _expect(values, (len(images), len(self.info.classes)), self.info)
        return Logits(values)

    def decode(self, raw: Logits, /) -> list[Prediction]:
        """Softmax of each row, on the CPU."""
        return [ClassPrediction(p) for p in raw.values.detach().float().softmax(dim=1).cpu()]


def identity(output: Any) -> Any:
    """The output as it is."""
    return output


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A Model of PixelLogits around a module (N, 3, H, W) -> (N, C, h, w), scaled to the image's own resolution.

    output: picks that tensor from what the module returns, for modules that return a dict or a tuple.
    """

    module: Prepared
    info: ModelInfo
    output: Callable[[Any], Tensor] = identity

    def raw(self, images: Tensor, /) -> PixelLogits:
        """Differentiable. Bilinear, align_corners=False. UserError where the module's output is not (N, classes, h, w)."""
        values = _tensor(self.output(self.module(images)), self.info)
        _expect(values, (len(images), len(self.info.classes), None, None), self.info)
        if values.shape[-2:] != images.shape[-2:]:
            values = F.interpolate(values, images.shape[-2:], mode="bilinear", align_corners=False)
        return PixelLogits(values)

    def decode(self, raw: PixelLogits, /) -> list[Prediction]:
        """The class of the highest score at each pixel, and how sure the model is of some of them, on the CPU."""
        values = raw.values.detach()
        positions = sampled_pixels(*values.shape[-2:])
        sampled = values.flatten(2)[:, :, positions.to(values.device)].float().softmax(dim=1).transpose(1, 2).cpu()
        labels = values.argmax(dim=1).cpu()
        return [MaskPrediction(*one) for one in zip(labels, (PixelProbabilities(positions, probs) for probs in sampled), strict=True)]


SAMPLED_PIXELS = 256
"""Of an image, at which a segmenter's probabilities are kept: neighbours say nearly the same (project choice)."""


@functools.lru_cache(maxsize=8)
def sampled_pixels(height: int, width: int) -> Tensor:
    """Positions (P,) in a flattened image, rising: the same for every image of this size, on every machine."""
    drawn = numpy.random.Generator(numpy.random.PCG64(0)).permutation(height * width)[:SAMPLED_PIXELS]
    return torch.from_numpy(numpy.sort(drawn))


def classifier(
    module: nn.Module,
    *,
    name: str,
    classes: Labels,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_size: tuple[int, int] | None = None,
    resize: Literal["stretch", "crop"] = "stretch",
    short: int | None = None,
    interpolation: Interpolation = "bilinear",
    channels: str = "RGB",
    weights: str = "",
) -> Classifier:
    """Freeze a module and give it its preprocessing; the module itself is kept, not copied.

    mean, std: of [0, 1] pixels. input_size (h, w): what the network takes; None leaves the size alone. "crop" scales the short
    side to `short` (default: the longer of input_size) and cuts the centre. channels: "BGR" for a network that takes what OpenCV reads;
    mean and std are in that order. weights: where they came from, part of the identity.
    """
    if resize == "crop" and input_size is not None:
        short = short or max(input_size)
    prepared = freeze(Prepared(module, Preprocessing(mean, std, input_size, short, interpolation, channels)))
    return Classifier(prepared, describe_module(prepared, name, "classification", classes, repr(prepared.prepare), weights))


def segmenter(
    module: nn.Module,
    *,
    name: str,
    classes: Labels,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    input_size: tuple[int, int] | None = None,
    short: int | None = None,
    interpolation: Interpolation = "bilinear",
    channels: str = "RGB",
    output: Callable[[Any], Tensor] = identity,
    weights: str = "",
) -> Segmenter:
    """Freeze a module and give it its preprocessing, as `classifier` does. short: scale the short side to it, keeping the aspect."""
    if input_size is not None and short is not None:
        raise UserError("a segmenter sees the whole image: give input_size (stretch) or short (keep the aspect), not both")
    prepared = freeze(Prepared(module, Preprocessing(mean, std, input_size, short, interpolation, channels)))
    return Segmenter(prepared, describe_module(prepared, name, "segmentation", classes, repr(prepared.prepare), weights), output)


N = TypeVar("N", bound=nn.Module)


def freeze(module: N) -> N:
    """eval() and requires_grad_(False), once and for all; the same module. Gradients still reach the input.

    A graph of torch.export has no modes: it computes what it computed when it was exported, so that only the modules around it change
    theirs. UserError for lazy layers that no image has given a shape yet.
    """
    lazy = [name for name, tensor in module.named_parameters() if nn.parameter.is_lazy(tensor)]
    if lazy:
        raise UserError(lazy_layers(lazy))
    try:
        module.eval()
    except NotImplementedError:
        for part in module.modules():
            part.training = False
    return module.requires_grad_(False)


def describe_module(module: nn.Module, name: str, task: Task, classes: Labels, *facts: str, operating_score: float = 0.25) -> ModelInfo:
    """What is known of a frozen module. Its hash covers weights, class names and `facts`: preprocessing, thresholds, origin."""
    digest = weights_sha256(module, *classes.names, *facts)
    count = sum(p.numel() for p in module.parameters())
    return ModelInfo(name=name, task=task, classes=classes, weights_sha256=digest, parameters=count, operating_score=operating_score)


def weights_sha256(module: nn.Module, *facts: str) -> str:
    """Hash of every parameter and buffer (name, dtype, shape, bytes; in the order of names) and of `facts`, such as class names.

    The same on every device but `meta`, whose tensors have no bytes. It changes when anything that the outputs depend on changes.
    """
    digest = hashlib.sha256()
    named = dict(module.named_parameters(remove_duplicate=False)) | dict(module.named_buffers(remove_duplicate=False))
    for name, tensor in sorted(named.items()):
        digest.update(f"{name}\x00{tensor.dtype}\x00{tuple(tensor.shape)}\x00".encode())
        if tensor.is_meta:
            continue
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    for fact in facts:
        digest.update(f"\x00{fact}".encode())
    return digest.hexdigest()


def with_new_hash(model: M, name: str) -> M:
    """The model under another name, its hash taken anew: for a module whose weights were changed in place."""
    known: Any = model
    digest = weights_sha256(known.module, *known.info.classes.names, repr(known.module))
    made: M = replace(known, info=replace(known.info, name=name, weights_sha256=digest))
    return made


def to(model: M, device: str | torch.device) -> M:
    """The model, its module moved to a device. UserError where there is no such device or the model shows no module to move."""
    if not isinstance(model, HasModule):
        if torch.device(device).type == "cpu":
            return model
        raise UserError(f"{type(model).__name__} has no `module`, so it cannot be moved to {device}; give it one, or use --device cpu")
    try:
        model.module.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"no device {str(device)!r} here ({reason}); use --device cpu") from error
    return model


def _tensor(output: Any, info: ModelInfo) -> Tensor:
    if not isinstance(output, Tensor):
        what = f"a dict of {sorted(output)}" if isinstance(output, dict) else f"a {type(output).__name__}"
        raise UserError(f"{info.name}: the module returns {what}, not a tensor; wrap it in a module that returns the scores")
    return output


def _expect(values: Tensor, shape: tuple[int | None, ...], info: ModelInfo) -> None:
    actual_shape = tuple(values.shape)
    if len(actual_shape) != len(shape) or any(want is not None and want != got for got, want in zip(actual_shape, shape, strict=True)):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise UserError(f"{info.name}: the module returns scores {actual_shape}, but {len(info.classes)} class names need ({wanted})")
