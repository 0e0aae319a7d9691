"""Weights from a file into a module: safetensors, or torch files read without running their code; strict, with a message that helps."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.files import is_file
from robustbench_cv.models.checkpoint_formats import read_weights
from robustbench_cv.models.state_dict_loading import AVERAGED, COUNTER, load_into, some, words

__all__ = ["COUNTER", "LOG", "State", "has_auxiliary_heads", "load_checkpoint", "load_into", "read_state", "split_key", "with_key"]

LOG = logging.getLogger("robustbench_cv")

NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
"""Keys under which training scripts keep the state dict, in the order in which they are tried."""

KEY = "#"
"""Between a file's path and the key of the state dict that is wanted of it."""

DEEPEST = 8
"""Dictionaries within dictionaries in which a state dict is looked for (project choice)."""


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


def with_key(path: str, key: str) -> str:
    """The path of a checkpoint with the key of the state dict that is wanted of it: what `key=` beside `checkpoint=` means."""
    return f"{path}{KEY}{key}"


def read_state(path: str | Path) -> State:
    """The state dict in a .safetensors file or a torch file (.pt, .pth, .bin, .ckpt, .tar); of several the plain one, with a note.

    "FILE#KEY" takes the one under that key, or the tensors whose names begin with it. Torch files are read with weights_only=True: one
    that would run code is refused. UserError where there is no readable state dict, and where nothing says which of several is meant.
    """
    path, key = split_key(Path(path))
    if not is_file(path):
        raise UserError(f"no checkpoint file {path} (looked from {Path.cwd()})")
    content = read_weights(path)
    state_dicts = dict(_state_dicts(content))
    if not state_dicts:
        keys = some(sorted(map(str, content))) if isinstance(content, Mapping) else ""
        what = f"a dict with {keys}" if keys else "an empty dict" if content == {} else f"a {type(content).__name__}"
        raise UserError(f"{path} holds {what}, not a state dict; save `model.state_dict()`, alone or under 'state_dict'")
    name = _choose_state_dict(list(state_dicts), path) if key is None else _state_dict_of_key(state_dicts, key, path)
    if name not in state_dicts:
        return State(_tensors_behind(state_dicts, name))
    return State(state_dicts[name], tuple(_notes_of_rest(content, state_dicts, name)))


def has_auxiliary_heads(path: str | Path) -> bool:
    """Whether a checkpoint brings classifiers half way through the network, which only training asks."""
    return any(part.lower().startswith("aux") for name in read_state(path).tensors for part in name.split("."))


def split_key(path: Path) -> tuple[Path, str | None]:
    """A file and the key that is wanted of it; a file whose own name has the sign in it is taken as it is."""
    file, sign, key = str(path).rpartition(KEY)
    return (Path(file), key) if sign and not is_file(path) else (path, None)


def _state_dicts(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every dictionary of tensors, by the keys that lead to it. One with a few tensors beside a larger one holds results, not weights."""
    if not isinstance(content, Mapping) or len(path) > DEEPEST:
        return
    tensors = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)}
    inner = [
        named_state
        for key, value in content.items()
        if isinstance(key, str) and "optim" not in key.lower()
        for named_state in _state_dicts(value, (*path, key))
    ]
    if tensors and len(tensors) > max((len(state) for _, state in inner), default=0):
        yield ".".join(path), tensors
    else:
        yield from inner


def _choose_state_dict(names: list[str], path: Path) -> str:
    """The plain one of several state dicts, under a key that training scripts use. UserError where nothing says which that is."""
    plain = [name for name in names if not words(name) & AVERAGED] or names
    known = sorted((name for name in plain if set(name.split(".")) <= set(NESTS)), key=lambda name: [*map(NESTS.index, name.split("."))])
    if known or len(plain) == 1:
        return (known or plain)[0]
    keys = " or ".join(f"key={name!r}" for name in plain)
    raise UserError(f"{path} holds {len(plain)} state dicts; choose one with {keys} beside checkpoint=")


def _state_dict_of_key(state_dicts: Mapping[str, dict[str, Tensor]], key: str, path: Path) -> str:
    """The state dict that a key means: its own name, the only one below it, or the beginning of tensors' names."""
    below = [name for name in state_dicts if name == key or name.startswith(f"{key}.")]
    if len(below) == 1 or key in below:
        return key if key in below else below[0]
    if not below and _tensors_behind(state_dicts, key):
        return key
    keys = some([name for name in below or state_dicts if name], 10) or "a single state dict, without a key"
    raise UserError(f"{path} has no state dict under key={key!r}; it has {keys}")


def _tensors_behind(state_dicts: Mapping[str, dict[str, Tensor]], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names have the prefix before a dot, without it; of the first state dict that has such."""
    dotted = f"{prefix}."
    parts = (
        {name.removeprefix(dotted): tensor for name, tensor in state.items() if name.startswith(dotted)} for state in state_dicts.values()
    )
    return next((part for part in parts if part), {})


def _notes_of_rest(content: Any, state_dicts: Mapping[str, object], name: str) -> Iterator[str]:
    """Notes on what was taken and what was left: other state dicts first, with the key that takes them."""
    rivals = [other for other in state_dicts if other != name]
    siblings: list[str] = []
    for key in name.split(".") if name else ():
        siblings += [str(other) for other in content if other != key and not any(r == other or r.startswith(f"{other}.") for r in rivals)]
        content = content.get(key, {})
    spare = sorted(str(key) for key, value in content.items() if not isinstance(value, Tensor))
    left = [*(f"{rival} (key={rival!r} takes it)" for rival in rivals), *sorted(siblings)]
    if name:
        yield f"took {name!r}" + (f" and left {some(left)}" if left else "")
    if spare:
        yield f"left {some(spare)}, which are no tensors"
