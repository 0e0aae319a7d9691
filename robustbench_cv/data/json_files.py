"""JSON as people's programs write it: other Unicode encodings, NaN and infinity; a key that comes twice is an error."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from robustbench_cv.errors import UserError
from robustbench_cv.files import read_regular

_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*+"?|-?(?:NaN|Infinity)|(?<![\d.])-?\d(?:[\d.]*+[eE]\+?\d{3,}|[\d.]{308,}+(?:[eE][+-]?\d+)?)', re.DOTALL
)
"""A text, a word that is no JSON but read as a number by many programs, or a number that may be beyond the largest float."""


LARGEST_BYTES = 2**32
"""Of a JSON file (project choice): the largest published annotations, of Objects365 and LVIS, have about 2 billion."""


@dataclass(frozen=True)
class JsonText:
    """content: JSON in UTF-8, where texts such as "NaN" stand for numbers that are not finite.

    first_odd_number: the first of these, with its line and column; empty where there is none.
    """

    content: bytes
    first_odd_number: str = ""


def read_json(path: Path, what: str) -> JsonText:
    """The text of a JSON file that a strict parser takes.

    UserError, with line and column, for what is no JSON, and for an object that holds a key twice: readers differ in which they take.
    """
    try:
        data = read_regular(path, LARGEST_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}; give {what}") from error
    text = _decode(path, data)
    if _holds_odd_numbers(path, text):
        return _quote_non_finite(text)
    return JsonText(text.encode())


def _decode(path: Path, data: bytes) -> str:
    """The text, without a byte order mark. A file without one is in UTF-8, 16 or 32 (RFC 4627, section 3)."""
    encoding = json.detect_encoding(data)
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        where = f"byte 0x{data[error.start]:02x} at line {line}, column {column}"
        raise UserError(f"{path} is not valid JSON: not {encoding.upper()} ({where}); save it as UTF-8") from error


def _holds_odd_numbers(path: Path, text: str) -> bool:
    """Whether some number is not finite; UserError for what is no JSON. Nothing is kept of what is read: the file may be large."""
    odd: list[str] = []

    def number(digits: str) -> None:
        if not math.isfinite(float(digits)):
            odd.append(digits)

    try:
        json.loads(text, object_pairs_hook=_refuse_double_keys, parse_constant=odd.append, parse_float=number, parse_int=len)
    except RecursionError as error:
        raise UserError(f"{path} is not valid JSON: it is nested too deeply") from error
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise UserError(f"{path} is not valid JSON: {where}; is the file complete?") from error
    except _DoubleKey as error:
        raise UserError(f"{path}: {error}; only one of them can be meant") from error
    return bool(odd)


class _DoubleKey(Exception):
    """An object with one key twice."""


def _refuse_double_keys(pairs: list[tuple[str, Any]]) -> None:
    count = Counter(name for name, _ in pairs)
    if len(count) == len(pairs):
        return
    double = next(name for name, times in count.items() if times > 1)
    others = ", ".join(repr(name[:60]) for name in islice((name for name in count if name != double), 20))
    raise _DoubleKey(f"an object holds the key {double[:60]!r} twice" + (f" (beside {others[:200]})" if others else ""))


def _quote_non_finite(text: str) -> JsonText:
    """With quotes around numbers that are not finite."""
    first: list[str] = []

    def quote(match: re.Match[bytes]) -> bytes:
        token = match.group()
        if token.startswith(b'"') or math.isfinite(float(token)):
            return token
        if not first:
            start = match.start()
            line, column = content.count(b"\n", 0, start) + 1, start - content.rfind(b"\n", 0, start)
            first.append(f"{token.decode()} at line {line}, column {column} is no JSON number")
        return b'"' + token + b'"'

    content = text.encode()
    return JsonText(_TOKEN.sub(quote, content), first[0] if first else "")
