"""Weights from a file into a module: safetensors, or torch files read without running their code; strict, with a message that helps."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.quantized import dequantize

LOG = logging.getLogger("robustbench_cv")

NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
"""Keys under which training scripts keep the state dict, in the order in which they are tried."""

PREFIXES = ("_orig_mod.", "module.", "model.", "net.", "backbone.", "encoder.")
"""What wrappers put before every name: torch.compile, DataParallel, training frameworks."""

COUNTER = "num_batches_tracked"


class State(NamedTuple):
    """A flat state dict and what was done to get it."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def load_checkpoint(module: nn.Module, path: str | Path, where: str) -> tuple[str, ...]:
    """Read a file into a module, strictly; logs and returns the notes. `where` names the model in messages. UserError as below."""
    state = read_state(path)
    notes = state.notes + load_into(module, state.tensors, f"{where}, {path}")
    for note in notes:
        LOG.warning("%s: %s", path, note)
    return notes


def read_state(path: str | Path) -> State:
    """The state dict in a .safetensors file or a torch file (.pt, .pth, .bin, .ckpt, .tar).

    Torch files are read with weights_only=True: one that would run code is refused. UserError where there is no readable state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint file {path} (looked from {Path.cwd()})")
    if path.suffix == ".safetensors":
        return State(dequantize(_read_safetensors(path)))
    return _unwrap(_read_torch(path), path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path} is not a complete safetensors file: {error}") from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line or "nsupported" in line), "")
        raise UserError(
            f"{path} is refused: it holds more than tensors and could run code when opened. {reason} "
            "If you trust its origin, open it where that is safe and save `model.state_dict()` alone (best as .safetensors)"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} cannot be read as a torch file: {str(error).split(chr(10))[0] or type(error).__name__}") from error


def _unwrap(content: Any, path: Path) -> State:
    notes: list[str] = []
    while isinstance(content, Mapping) and not _is_flat(content):
        nest = next((key for key in NESTS if isinstance(content.get(key), Mapping)), None)
        if nest is None:
            break
        others = sorted(str(key) for key in content if key != nest)
        notes.append(f"took {nest!r} and left {_some(others)}" if others else f"took {nest!r}")
        content = content[nest]
    if not isinstance(content, Mapping) or not _is_flat(content):
        keys = _some(sorted(map(str, content))) if isinstance(content, Mapping) else ""
        found = f"a dict with {keys}" if keys else f"a {type(content).__name__}"
        raise UserError(f"{path} holds {found}, not a state dict; save `model.state_dict()`, alone or under 'state_dict'")
    return State(dict(content), tuple(notes))


def _is_flat(content: Mapping[Any, Any]) -> bool:
    return len(content) > 0 and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items())


def load_into(module: nn.Module, state: Mapping[str, Tensor], where: str) -> tuple[str, ...]:
    """Load every tensor into its namesake; notes on what was renamed or cast. UserError, and an untouched module, on any mismatch.

    A prefix that all names share and the module does not know is taken off. Half-precision values are cast to the module's type.
    Only BatchNorm's batch counters, which evaluation never reads, may be missing or spare.
    """
    wanted = module.state_dict()
    state, notes = _strip(dict(state), wanted)
    state = {k: v for k, v in state.items() if k in wanted or not k.endswith(COUNTER)}
    missing = [k for k in wanted if k not in state and not k.endswith(COUNTER)]
    unexpected = [k for k in state if k not in wanted]
    shared = {k: (tuple(state[k].shape), tuple(w.shape)) for k, w in wanted.items() if k in state}
    misshapen = [f"{k} {theirs} for {ours}" for k, (theirs, ours) in shared.items() if theirs != ours]
    if missing or unexpected or misshapen:
        raise UserError(_mismatch(where, len(wanted), missing, unexpected, misshapen))
    cast = sorted({str(v.dtype).removeprefix("torch.") for k, v in state.items() if v.dtype != wanted[k].dtype})
    if cast:
        notes.append(f"cast {' and '.join(cast)} values to the module's own type")
    module.load_state_dict({**wanted, **state})
    return tuple(notes)


def _strip(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    notes: list[str] = []
    while state and not any(key in wanted for key in state):
        prefix = next((p for p in PREFIXES if all(key.startswith(p) for key in state)), None)
        if prefix is None:
            break
        state = {key.removeprefix(prefix): value for key, value in state.items()}
        notes.append(f"took the prefix {prefix!r} off every name")
    return state, notes


def _mismatch(where: str, total: int, missing: list[str], unexpected: list[str], misshapen: list[str]) -> str:
    parts = [
        f"{len(names)} {what} ({_some(names)})"
        for names, what in ((missing, "missing"), (unexpected, "unexpected"), (misshapen, "of another shape"))
        if names
    ]
    text = f"{where}: the checkpoint does not fit the module's {total} tensors: {'; '.join(parts)}"
    prefix = _offset(missing, unexpected)
    if prefix:
        return f"{text}. {prefix}"
    if misshapen and not missing and not unexpected:
        return f"{text}. The same architecture with another number of classes? Give num_classes= or classes="
    return f"{text}. Is it a checkpoint of this architecture?"


def _offset(missing: list[str], unexpected: list[str]) -> str:
    for short, long, whose in ((missing, unexpected, "the file's"), (unexpected, missing, "the module's")):
        for name in long:
            base = next((key for key in short if name.endswith("." + key)), None)
            if base is not None:
                return f"Most likely {whose} names have {name.removesuffix(base)!r} in front: {name!r} against {base!r}"
    return ""


def _some(names: Iterable[str], count: int = 3) -> str:
    names = list(names)
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")
