"""From the file name that an annotation gives to the file: never out of its folder, and found though another system wrote the name."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from robustbench_cv.errors import BadSample


def inside(root: Path, name: str, entry: str) -> Path:
    """Where `name` lies under `root`, whether or not there is a file. BadSample, naming `entry`, where it is absolute or climbs out.

    A name comes with the data and may not lead elsewhere, not by ".." nor by a backslash. A link on the way is followed wherever it
    leads: who keeps images in a store and links to them does so on purpose.
    """
    plain = _normalise(name)
    if posixpath.normpath(name) == ".":
        raise BadSample(f"{entry}: the file name {name!r} names no file in {root}; write the image's path in that folder")
    if plain is None:
        raise BadSample(f"{entry}: the file name {shorten(name)!r} leads out of {root}; {_way_back(root, name)}")
    return root / plain


def find_file(root: Path, name: str, entry: str) -> Path:
    """The file `name` under `root`: as written, else with "/" for backslashes, without URL escapes, with (de)composed characters.

    The name as written where none of these is there. BadSample as `inside` says.
    """
    first = inside(root, name, entry)
    for spelling in _spellings(name):
        plain = _normalise(spelling)
        if plain is not None and os.path.lexists(root / plain):
            return root / plain
    return first


def other_spellings(name: str) -> list[str]:
    """What else `find_file` looks for, to be told where it found nothing; not the composed and decomposed forms, which look alike."""
    return [s for s in dict.fromkeys(_escapes(name)) if s != name and _normalise(s) is not None]


def _normalise(name: str) -> str | None:
    """The relative path with "/" alone, or None where it leads out of any folder, or to the folder itself."""
    slashed = name.replace("\\", "/")
    leaves = any(part.startswith("/") or posixpath.normpath(part).split("/")[0] == ".." for part in (name, slashed))
    plain = posixpath.normpath(name)
    return None if leaves or PureWindowsPath(name).drive or "\0" in name or plain == "." else plain


def _spellings(name: str) -> Iterator[str]:
    for spelling in _escapes(name):
        yield from (spelling, unicodedata.normalize("NFC", spelling), unicodedata.normalize("NFD", spelling))


def _escapes(name: str) -> Iterator[str]:
    slashed = name.replace("\\", "/")
    yield from (name, slashed, unquote(name), unquote(slashed))


def _way_back(root: Path, name: str) -> str:
    last = PureWindowsPath(name).name
    if last and _normalise(last) and os.path.lexists(root / last):
        return f"{last} itself lies there: take the folders out of the name"
    return "only files inside it are read, so correct the name or give the folder that holds the files themselves"


def shorten(name: str) -> str:
    """A file name as far as one line of an error holds it."""
    return name if len(name) <= 200 else f"{name[:100]}...{name[-60:]}"
