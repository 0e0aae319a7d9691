"""Fields of a suite changed on the command line: seed=2, tracks[0].samples=50, gates[0].at_least=0.4."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from robustbench_cv.arguments import shorten
from robustbench_cv.errors import UserError
from robustbench_cv.msgspec_messages import in_words
from robustbench_cv.suite import Suite, validate
from robustbench_cv.suite_conversion import number_of

KEY = re.compile(r"[A-Za-z_]\w*(?:\[\d{1,4}\]|\.[A-Za-z_]\w*)*")


def split_override(text: str) -> tuple[str, str]:
    """Key and value of key=value; UserError for what is none."""
    key, equals, value = text.partition("=")
    if not equals or KEY.fullmatch(key) is None:
        raise UserError(f"{shorten(text)!r} is no key=value; write limit=50, seed=2 or tracks[0].samples=50")
    return key, value


def override(suite: Suite, pairs: Sequence[tuple[str, str]]) -> Suite:
    """The suite with fields changed, validated. Lists are written with commas. UserError for a field that is not there.

    >>> from robustbench_cv.suite import CLEAN, Track
    >>> suite = Suite("s", 1, (Track("classification", (), (), (CLEAN,), ("top-1",)),))
    >>> override(suite, [("seed", "2"), ("tracks[0].samples", "50"), ("tracks[0].metrics", "top-1,top-5")]).tracks[0].samples
    50
    """
    plain: Any = msgspec.to_builtins(suite)
    for key, value in pairs:
        _set(plain, key, value)
    try:
        changed = msgspec.convert(plain, Suite, strict=False)
    except msgspec.ValidationError as error:
        raise UserError(f"{' '.join(f'{key}={value}' for key, value in pairs)}: {in_words(error)}") from error
    return validate(changed)


def _set(plain: Any, key: str, value: str) -> None:
    *path, last = [int(index) if index else name for name, index in re.findall(r"([A-Za-z_]\w*)|\[(\d+)\]", key)]
    holder = plain
    for step in path:
        holder = _step(holder, step, key)
    old = _step(holder, last, key)
    if isinstance(old, list | tuple):
        if any(isinstance(part, dict) for part in old) or "{" in value:
            raise UserError(f"{key} holds records: name one of their fields, as in {key}[0].{'name' if 'conditions' in key else 'metric'}")
        holder[last] = [part.strip() for part in value.split(",") if part.strip()]
        return
    if isinstance(old, dict):
        raise UserError(f"{key} is a record: name one of its fields: {', '.join(old)}")
    number = number_of(value)
    holder[last] = None if value == "null" else number if last in ("severity", "at_least", "at_most") else value


def _step(holder: Any, step: str | int, key: str) -> Any:
    if isinstance(holder, list | tuple) and isinstance(step, int):
        if step < len(holder):
            return holder[step]
        raise UserError(f"{key}: there is no number {step}; the list has {len(holder)}, and counting begins at 0")
    if isinstance(holder, dict) and step in holder:
        return holder[step]
    names = list(holder) if isinstance(holder, dict) else []
    close = difflib.get_close_matches(str(step), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    known = f"there are {', '.join(names)}" if names else "it holds no fields"
    raise UserError(f"{key}: there is no field {step!r}{hint} ({known})")
