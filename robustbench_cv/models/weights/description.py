"""Weights files that say what they are: a safetensors file whose metadata names the architecture, classes, normalisation and input size."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.quantized import quantize

KEY = "robustbench_cv"


@dataclass(frozen=True)
class Description:
    """What a weights file says about the network it belongs to.

    architecture: registered model name. input_size (h, w) px, or None where any size serves. mean, std: of [0, 1] RGB, or None.
    arguments: the architecture's own, such as a width.
    """

    architecture: str
    classes: tuple[str, ...]
    input_size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    arguments: Mapping[str, int] = field(default_factory=dict)


Bits = Literal[8, 16, 32]
"""Of a stored number; 8 for kernels alone (see packed.py), whose biases and statistics then take 16."""


def write(path: Path, network: nn.Module, description: Description, *, bits: Bits = 16) -> None:
    """Save a network's parameters and buffers, described, to a temporary name first."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_state(path, state, description, bits=bits)


def write_state(path: Path, state: Mapping[str, Tensor], description: Description, *, bits: Bits = 16) -> None:
    """As write, of tensors by name."""
    scales = quantize(state) if bits == 8 else dict(state)
    state = {name: _stored(tensor, bits) if name in state else tensor for name, tensor in scales.items()}
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(save(state, metadata={KEY: json.dumps(asdict(description), sort_keys=True)}))
    part.replace(path)


def _stored(tensor: Tensor, bits: Bits) -> Tensor:
    return tensor.half() if bits < 32 and tensor.is_floating_point() else tensor


def read_description(path: Path) -> Description | None:
    """What a file says about itself; None for a weights file from elsewhere. UserError where our entry is damaged."""
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); was the download or the training cut off?") from error
    return None if text is None else _parse(text, path)


def _parse(text: str, path: Path) -> Description:
    try:
        found: dict[str, Any] = json.loads(text)
        pairs = {name: _tuple(found.get(name)) for name in ("input_size", "mean", "std")}
        arguments = {str(k): int(v) for k, v in found["arguments"].items()}
        return Description(found["architecture"], tuple(found["classes"]), arguments=arguments, **pairs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its {KEY!r} metadata cannot be read ({error!r}); write the file with robustbench-cv train") from error


def _tuple(values: Any) -> Any:
    return None if values is None else tuple(values)
