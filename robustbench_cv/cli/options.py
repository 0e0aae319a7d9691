"""What options take (devices, numbers, places to write to), and the options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from robustbench_cv.catalogue import add_plugin
from robustbench_cv.cli.help_groups import HOW, OTHER, WHAT, option
from robustbench_cv.errors import UserError
from robustbench_cv.terminal import encodable

F = TypeVar("F", bound=Callable[..., Any])


def device_name(*, meta: bool = False) -> Callable[[str], str]:
    """A device by the form of its name; whether this machine has it is asked when torch is there. meta: nothing is to be computed."""

    def read(text: str) -> str:
        if re.fullmatch(r"[a-z]+(:\d{1,4})?", text, re.ASCII) is None:
            raise click.BadParameter(f"{text!r} is no device; write cpu, cuda, cuda:1 or auto")
        if text.startswith("meta") and not meta:
            raise click.BadParameter(f"{text!r} holds no numbers, so nothing can be computed on it; use cpu, cuda or auto")
        return text

    return read


def whole(least: int, most: int = 2**31 - 1, *, auto: bool = False) -> Callable[[Any], int | None]:
    """A whole number in a range; with `auto`, also that word, which is None."""

    def read(text: Any) -> int | None:
        if auto and text == "auto":
            return None
        if re.fullmatch(r"\d{1,19}", str(text), re.ASCII) is None or not least <= int(text) <= most:
            raise click.BadParameter(f"{text!r} is no whole number from {least} to {most}{', nor auto' if auto else ''}")
        return int(text)

    return read


def usable_folder(path: Path) -> Path:
    """The path itself. UserError where no folder can stand there: a file does, or is one of its parents, or no system takes the name."""
    _require_writable_name(path)
    return _below_folders(path, path)


def _usable_file(path: Path) -> Path:
    """The path itself. UserError where no file can stand there: a folder does, or a parent is a file, or no system takes the name."""
    _require_writable_name(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file in it")
    return _below_folders(path.parent, path)


def weights_path(path: Path) -> Path:
    """As _usable_file, for weights. UserError for a file name of another kind."""
    if path.suffix != ".safetensors":
        raise UserError(f"{path}: weights are written as safetensors; name the file {path.stem}.safetensors")
    return _usable_file(path)


def _require_writable_name(path: Path) -> None:
    if "\0" in str(path):
        raise UserError(f"{str(path)!r} holds a NUL character, which no file name can; leave it out")
    if encodable(str(path)) != str(path):
        raise UserError(f"{str(path)!r} is no text (bytes that are not UTF-8?); name another place")


def _below_folders(folder: Path, path: Path) -> Path:
    for part in (folder, *folder.parents):
        if part.is_dir():
            break
        if part.exists():
            below = "" if part == path else f", so {path} cannot stand below it"
            raise UserError(f"{part} is a file{below}; name another place")
    return path


def _place(usable: Callable[[Path], Path]) -> Callable[[str], Path]:
    def read(text: str) -> Path:
        try:
            return usable(Path(text))
        except UserError as error:
            raise click.BadParameter(str(error)) from error

    return read


FOLDER, FILE = _place(usable_folder), _place(_usable_file)
"""Paths to write to, as far as names tell whether that can be."""

COUNT = whole(1)
"""Of samples, epochs, images."""

SEED = whole(0, 2**63 - 1)
"""What the generators and the columns of records hold."""


def _register(_: click.Context, __: click.Parameter, files: tuple[str, ...]) -> tuple[str, ...]:
    for file in files:
        add_plugin(file)
    return files


plugin = option(
    "--plugin",
    title=OTHER,
    multiple=True,
    metavar="FILE.py",
    callback=_register,
    expose_value=False,
    is_eager=True,
    help="Python file whose marked factories are registered.",
)


def device_for(title: str) -> Callable[[F], F]:
    """The device of what is computed, under a title."""
    return option(
        "--device",
        title=title,
        type=device_name(),
        metavar="NAME",
        default="auto",
        show_default=True,
        help="cpu, cuda, cuda:1, or auto: the GPU where there is one.",
    )


device = device_for(HOW)
class_map = option(
    "--class-map",
    title=WHAT,
    default="",
    metavar="MAP",
    help='Data class = model class where names differ: "auto=car,sign=-" (- drops one).',
)
allow = option(
    "--allow",
    title=WHAT,
    multiple=True,
    metavar="ID",
    help="A check, such as S07, whose stop marks numbers instead of blocking them; the report says so. May be repeated.",
)
image_size = option(
    "--input",
    "size",
    title=WHAT,
    metavar="SIZE",
    default="224",
    show_default=True,
    help='Image side in pixels, or "640x480" (width x height).',
)


def calls(command: F) -> F:
    """How many calls are timed, and of how many images."""
    batch = option(
        "--batch-size",
        title=HOW,
        type=COUNT,
        metavar="N",
        default=1,
        show_default=True,
        help="Images in a call whose latency is taken.",
    )
    runs = option(
        "--runs",
        title=HOW,
        type=whole(3),
        metavar="N",
        default=20,
        show_default=True,
        help="Calls whose latency is taken.",
    )
    return batch(runs(command))
