"""Darknet's configuration text: sections in brackets, the network's and then one a layer; `key=value` lines; '#' and ';' comments."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from robustbench_cv.errors import UserError
from robustbench_cv.files import decode_text, is_file, read_regular
from robustbench_cv.recorded_reads import record_read

ALIASES = {"network": "net", "conv": "convolutional", "conn": "connected", "max": "maxpool"}
"""Shorter names that Darknet knows for the same layers."""

LARGEST_FILE = 10_000_000
"""Bytes of a cfg (project choice): the largest published ones have a few tens of thousands."""

T = TypeVar("T", int, float)


@dataclass(frozen=True)
class Section:
    """One bracketed section. line, source: where it starts, and in which file; 0 and empty where it came from none."""

    kind: str
    options: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    source: str = ""

    def text(self, key: str, default: str = "") -> str:
        """As written."""
        return self.options.get(key, default)

    def integer(self, key: str, default: int | None = None, *, least: int | None = None, most: int | None = None) -> int:
        """UserError where it is no integer, below `least` or above `most`, or missing without a default."""
        return self._within(self._number(key, default, int), key, least, most)

    def real(self, key: str, default: float | None = None, *, least: float | None = None, most: float | None = None) -> float:
        """UserError where it is no finite number, below `least` or above `most`, or missing without a default."""
        return self._within(self._number(key, default, float), key, least, most)

    def flag(self, key: str) -> bool:
        """0 or 1; 0 where it is missing."""
        return self.integer(key, 0, least=0, most=1) == 1

    def integers(self, key: str) -> tuple[int, ...]:
        """A comma list, empty where the key is missing."""
        return tuple(self._parsed(part, key, int) for part in self._parts(key))

    def reals(self, key: str) -> tuple[float, ...]:
        """A comma list, empty where the key is missing."""
        return tuple(self._parsed(part, key, float) for part in self._parts(key))

    def _parts(self, key: str) -> Iterator[str]:
        return (part.strip() for part in self.text(key).split(",") if part.strip())

    def _number(self, key: str, default: T | None, kind: type[T]) -> T:
        if key in self.options:
            return self._parsed(self.options[key], key, kind)
        if default is None:
            raise self.wrong(f"needs {key}=")
        return default

    def _parsed(self, text: str, key: str, kind: type[T]) -> T:
        try:
            value = kind(text)
        except (ValueError, OverflowError) as error:
            raise self.wrong(f"has {key}={_shorten(text)}, which is no {'integer' if kind is int else 'number'}") from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self.wrong(f"has {key}={_shorten(text)}, which is no finite number")
        return value

    def _within(self, value: T, key: str, least: T | None, most: T | None) -> T:
        if (least is None or value >= least) and (most is None or value <= most):
            return value
        allowed = (
            f"from {least} to {most}"
            if least is not None and most is not None
            else f"{least} or more"
            if most is None
            else f"{most} or less"
        )
        raise self.wrong(f"has {key}={_shorten(str(value))}; it must be {allowed}")

    def wrong(self, what: str) -> UserError:
        """An error that names this section, its line and its file."""
        place = f"{self.source}, line {self.line}: " if self.source else f"line {self.line}: " if self.line else ""
        return UserError(f"{place}the Darknet section [{_shorten(self.kind)}] {what}")


def _shorten(text: str, most: int = 40) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def parse(text: str, where: str = "cfg") -> tuple[Section, ...]:
    """Sections in order. A key given twice keeps its first value, as in Darknet. UserError, with the line, where the text is no cfg.

    >>> [s.kind for s in parse("[net]\\nwidth=32  # comment\\n[maxpool]\\nsize = 2\\n")]
    ['net', 'maxpool']
    """
    sections: list[tuple[str, dict[str, str], int]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].partition(";")[0].strip()
        if not line:
            continue
        if line.startswith("[") and line.endswith("]"):
            kind = line[1:-1].strip()
            sections.append((ALIASES.get(kind, kind), {}, number))
            continue
        key, equals, value = line.partition("=")
        if not equals or not sections:
            expected = "key=value" if sections else "a section such as [net] first"
            raise UserError(f"{where}, line {number}: {_shorten(raw.strip(), 80)!r} is not Darknet's cfg; expected {expected}")
        sections[-1][1].setdefault(key.strip(), value.strip())
    if not sections or sections[0][0] != "net":
        raise UserError(f"{where} is not a Darknet cfg: its first section must be [net]")
    return tuple(Section(*section, source=where) for section in sections)


def read(path: str | Path) -> tuple[Section, ...]:
    """The sections of a file. UserError where it cannot be read or is no cfg."""
    path = Path(path).expanduser()
    record_read(path)
    try:
        if is_file(path) and path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path} has {path.stat().st_size:,} bytes, far more than a Darknet cfg; the .weights file goes into weights=")
        return parse(decode_text(read_regular(path, LARGEST_FILE)), str(path))
    except OSError as error:
        raise UserError(f"no Darknet cfg {path}: {error.strerror} (looked from {Path.cwd()})") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text, so no Darknet cfg; the .weights file goes into weights=") from error


def write(sections: Sequence[Section]) -> str:
    """The text that `parse` reads back."""
    return "\n".join(f"[{s.kind}]\n" + "".join(f"{key}={value}\n" for key, value in s.options.items()) for s in sections)


def with_options(sections: Sequence[Section], **options: object) -> tuple[Section, ...]:
    """The same network with other options in [net], such as width and height."""
    net = replace(sections[0], options={**sections[0].options, **{k: str(v) for k, v in options.items()}})
    return (net, *sections[1:])
