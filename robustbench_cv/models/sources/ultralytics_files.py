"""ultralytics' own .pt files: a pickled module, read by its library's list of known classes, so that no other code of a file runs."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.checkpoint import split_key
from robustbench_cv.models.checkpoint_formats import RefusedPickle, read_weights
from robustbench_cv.recorded_reads import record_read

LOG = logging.getLogger("robustbench_cv")

COPIES = ("ema", "model")
"""Keys of a module in a file, in ultralytics' own order: the average over the training comes first, where it was not put into the other."""


class SavedModel(NamedTuple):
    """The module in a file, what it calls its classes, as written, and the side in px at which it was trained (0: not said)."""

    network: nn.Module
    names: Any
    side: int


def find_file(weights: str) -> Path:
    """The path, without a key. UserError where there is no such file."""
    path, _ = split_key(Path(weights).expanduser())
    if not path.is_file():
        raise UserError(
            f"no file {path} (looked from {Path.cwd()}); nothing is downloaded here. Where there is a network, get it from "
            f"https://github.com/ultralytics/assets/releases and give its path"
        )
    return path


def read_saved_model(tasks: Any, weights: str, *, trust: bool) -> SavedModel | None:
    """The module in a file; None where it holds bare tensors. tasks: ultralytics.nn.tasks.

    Only classes of torch and ultralytics are rebuilt; with trust=True whatever the file names, which runs its code. "FILE#KEY" takes the
    module under that key. UserError for a file that cannot be read so.
    """
    path, key = split_key(Path(weights).expanduser())
    if path.suffix == ".safetensors":
        return None
    try:
        content = read_weights(path)
    except RefusedPickle:
        content = _load_anything(path) if trust else _load_known_classes(tasks, path)
    if isinstance(content, nn.Module):
        return SavedModel(content.float(), getattr(content, "names", None), 0)
    modules = {str(name): value for name, value in content.items() if isinstance(value, nn.Module)} if isinstance(content, Mapping) else {}
    if not modules:
        return None
    if key is not None and key not in modules:
        raise UserError(f"{path} holds no module under key={key!r}; it has {', '.join(modules)}")
    chosen = key or next((name for name in COPIES if name in modules), next(iter(modules)))
    for other in set(modules) - {chosen}:
        LOG.warning("%s: took %r and left %r (key=%r takes it)", path, chosen, other, other)
    network = modules[chosen]
    return SavedModel(network.float(), getattr(network, "names", None), _trained_side(content.get("train_args")))


def _load_known_classes(tasks: Any, path: Path) -> Any:
    advice = (
        f"{path} is a pickle that names more than ultralytics' own classes: opening it runs whatever code is in it. If you trust where it "
        "came from, say trust=True; if not, ask for a .safetensors file of the state dict"
    )
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):
        # The library would read it without its list.
        raise UserError(advice)
    known = torch.serialization.get_safe_globals()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            content, _ = tasks.torch_safe_load(str(path), safe_only=True)
    except Exception as error:
        # Whatever a file makes the library raise, it could not be read; an older library has no safe_only.
        raise UserError(advice) from error
    finally:
        # The library leaves its list with torch for the rest of the process, where it would change how other files are read.
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(known)
    if isinstance(content, Mapping) and type(content.get("model")) is nn.Sequential:
        # A bare module, of which the library hands over the layers alone.
        raise UserError(advice)
    return content


def _load_anything(path: Path) -> Any:
    """Runs the file's code."""
    record_read(None)  # which may read whatever it likes
    try:
        return torch.load(path, map_location="cpu", weights_only=False)  # nosec B614 - the user typed trust=True
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path} was written with a package that is not here ({error.name}); it may be of the old yolov5 repository"
        ) from error
    except Exception as error:
        raise UserError(
            f"{path} cannot be read as a torch file: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        ) from error


def _trained_side(arguments: Any) -> int:
    side = arguments.get("imgsz") if isinstance(arguments, Mapping) else None
    sides = side if isinstance(side, Sequence) and not isinstance(side, str) else [side]
    return max((s for s in sides if isinstance(s, int) and not isinstance(s, bool)), default=0)


def classes_in_file(names: Any, count: int, where: str) -> tuple[str, ...] | None:
    """The class of each output from a list, from numbers from 0 or 1 on (also as text), or from names with numbers; None where none are.

    UserError, asking for classes=, where two are called the same or their numbers have gaps.

    >>> classes_in_file({"1": "car", "2": "dog"}, 2, "best.pt"), classes_in_file({"dog": 1, "car": 0}, 2, "best.pt")
    (('car', 'dog'), ('car', 'dog'))
    """
    by_number = _by_number(names)
    if by_number is None or len(by_number) != count:
        return None
    numbers = sorted(by_number)
    if numbers[0] not in (0, 1) or numbers[-1] - numbers[0] != count - 1:
        raise UserError(f"{where}: its classes are numbered {numbers[0]} to {numbers[-1]}, for {count} outputs; say classes='a,b,c'")
    called = tuple(str(by_number[number]).strip() for number in numbers)
    twice = [name for name, times in Counter(called).items() if times > 1 or not name]
    if twice:
        raise UserError(f"{where}: {twice[0]!r} stands for several of its classes; say what they are with classes='a,b,c'")
    return called


def _by_number(names: Any) -> dict[int, Any] | None:
    if isinstance(names, list | tuple):
        return dict(enumerate(names))
    if not isinstance(names, Mapping) or not names:
        return None
    if all(_number(key) is not None for key in names):
        return {int(key): name for key, name in names.items()}
    if all(_number(value) is not None for value in names.values()):
        return {int(value): name for name, value in names.items()}
    return dict(enumerate(names.values())) if all(isinstance(name, str) for name in names.values()) else None


def _number(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip()
    return int(text) if text.isascii() and text.isdecimal() else None


def rounded_side(side: int, stride: int) -> int:
    """The least multiple of the stride that is not below `side`, as ultralytics makes it of a trained size."""
    return max(1, math.ceil(side / stride)) * stride
