"""Weights files that say what they are: a safetensors file whose metadata names the architecture, classes, normalisation and input size."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.checkpoint_formats import is_safetensors
from robustbench_cv.models.quantized import quantize
from robustbench_cv.recorded_reads import record_read

KEY = "robustbench_cv"

LARGEST_SIDE = 16_384
"""px that a file may say its network takes (project choice)."""


@dataclass(frozen=True, kw_only=True)
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
    state = {name: _to_stored_type(tensor, bits) if name in state else tensor for name, tensor in scales.items()}
    part = path.with_name(path.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(save(state, metadata={KEY: json.dumps(asdict(description), sort_keys=True)}))
    part.replace(path)


def _to_stored_type(tensor: Tensor, bits: Bits) -> Tensor:
    return tensor.half() if bits < 32 and tensor.is_floating_point() else tensor


def read_description(path: Path) -> Description | None:
    """What a file says about itself; None for a weights file from elsewhere. UserError where our entry is damaged."""
    if not path.is_file() or not is_safetensors(path):
        return None
    record_read(path)
    try:
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(KEY)
    except SafetensorError as error:
        raise UserError(f"{path} is not a whole safetensors file ({error}); was the download or the training cut off?") from error
    return None if text is None else _parse(text, path)


def _parse(text: str, path: Path) -> Description:
    try:
        said: dict[str, Any] = json.loads(text)
        return Description(
            architecture=_text(said["architecture"], "architecture"),
            classes=_names(said["classes"]),
            input_size=_size(said.get("input_size")),
            mean=_channels(said.get("mean"), "mean"),
            std=_channels(said.get("std"), "std"),
            arguments={_text(name, "argument"): _whole(value, name) for name, value in said["arguments"].items()},
        )
    except RecursionError as error:
        raise UserError(f"{path}: its {KEY!r} metadata is nested too deeply; write the file with robustbench-cv train") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"has no {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{path}: its {KEY!r} metadata cannot be read ({reason}); write the file with robustbench-cv train") from error


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"{what}={value!r} is no text")
    return value


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(name, str) and name for name in values):
        raise ValueError("classes are no list of names")
    twice = sorted(name for name, count in Counter(values).items() if count > 1)
    if twice:
        raise ValueError(f"classes name {twice[0]!r} twice")
    return tuple(values)


def _whole(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}={value!r} is no whole number")
    return value


def _size(values: Any) -> tuple[int, int] | None:
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != 2 or not all(0 < _whole(side, "input_size") <= LARGEST_SIDE for side in values):
        raise ValueError(f"input_size={values!r} is not a height and a width from 1 to {LARGEST_SIDE} px")
    return values[0], values[1]


def _channels(values: Any, what: str) -> tuple[float, ...] | None:
    if values is None:
        return None
    numbers = isinstance(values, list) and all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values)
    if not numbers or len(values) != 3 or (what == "std" and min(values) <= 0):
        raise ValueError(f"{what}={values!r} is not three numbers, one a channel of RGB{', above 0' * (what == 'std')}")
    return tuple(values)
