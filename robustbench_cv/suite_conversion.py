"""A suite from plain data, and everything in the data that does not fit: what fits is kept, so that one mistake hides no other."""

from __future__ import annotations

import difflib
import math
import re
from typing import Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from robustbench_cv.arguments import shorten
from robustbench_cv.msgspec_messages import in_words
from robustbench_cv.suite import Condition, Fault, FieldPath, Suite

NUMBER_FIELDS = frozenset({"severity", "at_least", "at_most"})
"""They hold a number or a fraction."""
_NUMBER = r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
WRITTEN_NUMBER = f"{_NUMBER}(?:/{_NUMBER})?"
"""A number or a fraction as text; YAML takes "8/255" and "1e-3" for text."""


class Respelt(NamedTuple):
    """Data in which a misspelt field has the name that it is close to.

    faults: of each field that no record has. written: of a path in these data, the key that stands at its end in the data as given.
    """

    value: object
    faults: list[Fault]
    written: dict[FieldPath, str]


class Fitted(NamedTuple):
    """A suite in which what does not fit is left out or empty, and what that was."""

    suite: Suite
    faults: list[Fault]


def respelt(value: object) -> Respelt:
    """The data of a suite, its conditions in any form, with misspelt fields told and mended.

    >>> respelt({"name": "a", "versoin": 1}).value
    {'name': 'a', 'version': 1}
    """
    faults, written = list[Fault](), dict[FieldPath, str]()
    return Respelt(_respelt(value, Suite, (), faults, written), faults, written)


def _respelt(value: Any, hint: Any, path: FieldPath, faults: list[Fault], written: dict[FieldPath, str]) -> object:
    if get_origin(hint) is tuple and isinstance(value, list):
        return [_respelt(part, get_args(hint)[0], (*path, i), faults, written) for i, part in enumerate(value)]
    if not _is_record(hint) or not isinstance(value, dict) or (hint is Condition and "budgets" in value):
        return value
    fields = {field.name: field.type for field in msgspec.structs.fields(hint)} | ({"budgets": Any} if hint is Condition else {})
    mended: dict[object, object] = {}
    for key, part in value.items():
        name = key
        if key not in fields:
            close = difflib.get_close_matches(shorten(str(key)), fields, n=1)
            hinted = f"did you mean {close[0]!r}? " if close else ""
            faults.append(Fault((*path, str(key)), f"there is no such field; {hinted}there are {', '.join(fields)}"))
            if not close or close[0] in value or close[0] in mended:
                continue
            name, written[*path, close[0]] = close[0], str(key)
        mended[name] = _respelt(part, fields[name], (*path, name), faults, written)
    return mended


def with_numbers(value: Any) -> Any:
    """Fractions in `severity`, `at_least` and `at_most` fields, which YAML reads as text, as numbers; other text stays."""
    if isinstance(value, list):
        return [with_numbers(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {key: number_of(part) if key in NUMBER_FIELDS else with_numbers(part) for key, part in value.items()}


def number_of(value: object) -> object:
    """The number that text such as "8/255" means; anything else as it is."""
    match = re.fullmatch(WRITTEN_NUMBER, value) if isinstance(value, str) else None
    if match is None or (match[2] is not None and float(match[2]) == 0):
        return value
    return float(match[1]) / float(match[2] or 1)


def fitted(value: object) -> Fitted:
    """A suite from data with numbers for fractions and conditions written out. Unknown fields are passed over: see `respelt`."""
    faults = list[Fault]()
    suite: Suite = _fitted(value, Suite, (), faults)
    return Fitted(suite, faults)


def _fitted(value: Any, hint: Any, path: FieldPath, faults: list[Fault]) -> Any:
    if _is_record(hint) and isinstance(value, dict):
        made = {}
        for field in msgspec.structs.fields(hint):
            if field.name in value:
                made[field.name] = _fitted(value[field.name], field.type, (*path, field.name), faults)
            elif field.required:
                faults.append(Fault((*path, field.name), f"it is missing; a {hint.__name__.lower()} must have it"))
                made[field.name] = _empty(field.type)
        return hint(**made)
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_fitted(part, get_args(hint)[0], (*path, i), faults) for i, part in enumerate(value))
    if get_origin(hint) is Literal and isinstance(value, str) and value not in get_args(hint):
        choices = get_args(hint)
        close = difflib.get_close_matches(value[:100], choices, n=1)
        hinted = f"did you mean {close[0]!r}? " if close else ""
        faults.append(Fault(path, f"there is no {shorten(value)!r}; {hinted}there are {', '.join(choices)}"))
        return close[0] if close else ""
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        faults.append(Fault(path, _said(error, value, path)))
        return _empty(hint)


def _said(error: msgspec.ValidationError, value: object, path: FieldPath) -> str:
    """What a value is and should be, and the way out."""
    text = f"{in_words(error)}: {shorten(_shown(value))}"
    if path and path[-1] in NUMBER_FIELDS:
        return f"{text}; write a number such as 0.5 or a fraction such as 8/255"
    if "Expected `str" in str(error):
        return f"{text}; put quotes around text that YAML takes for something else"
    if "Expected `array`" in str(error) and isinstance(value, str | int | float):
        return f"{text}; write [{shorten(str(value))}]"
    return text


def _shown(value: object) -> str:
    """As YAML has it, more or less."""
    words = {True: "true", False: "false", None: "null"}
    return words[value] if value is None or isinstance(value, bool) else str(value)


def _is_record(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _empty(hint: Any) -> Any:
    """What stands where nothing that fits does; whatever else is said of it would be said of this."""
    if _is_record(hint):
        return hint(**{field.name: _empty(field.type) for field in msgspec.structs.fields(hint) if field.required})
    if get_origin(hint) is tuple:
        return ()
    if type(None) in get_args(hint):
        return math.nan if float in get_args(hint) else None  # a bound that cannot be read is one all the same
    return hint() if hint in (int, float, bool) else ""
