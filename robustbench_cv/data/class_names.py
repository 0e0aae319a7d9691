"""Matching two lists of class names, and reading what the user says about it."""

from __future__ import annotations

import difflib
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robustbench_cv.errors import UserError

DROP = "-"
"""What a user writes for the partner of a class that is not to be evaluated."""


@dataclass(frozen=True)
class Match:
    """For each class of the data: the model's index (-1: dropped) and how it was found; and what the user should know."""

    index: tuple[int, ...]
    how: tuple[str, ...]
    notes: tuple[str, ...]


def parse_overrides(text: str) -> dict[str, str]:
    """'auto=car,sign=-' as a mapping; names with commas or '=' go in double quotes. UserError for anything else.

    >>> parse_overrides('auto=car, "tench, Tinca tinca"=fish,sign=-')
    {'auto': 'car', 'tench, Tinca tinca': 'fish', 'sign': '-'}
    """
    overrides: dict[str, str] = {}
    if text.count('"') % 2:
        raise UserError(f"the class map {_shorten(text)!r} has a quote that is not closed")
    for piece in _split(text, ","):
        if not piece.strip():
            continue
        sides = [_unquote(side) for side in _split(piece, "=")]
        if len(sides) != 2 or not all(sides):
            where = f"{_shorten(piece.strip())!r} in the class map {_shorten(text)!r}"
            raise UserError(f"{where} is not data=model; write auto=car, or sign=- to leave sign out")
        if sides[0] in overrides:
            raise UserError(f"the class map {_shorten(text)!r} names {_shorten(sides[0])!r} twice; give each class of the data one partner")
        overrides[sides[0]] = sides[1]
    return overrides


def match_names(data: Sequence[str], model: Sequence[str], overrides: Mapping[str, str], numbered: tuple[bool, bool]) -> Match:
    """See ClassMap.match. numbered: whether the names of data and model are stand-ins that name nothing."""
    given = _resolve(data, model, overrides)
    open_ = [i for i in range(len(data)) if i not in given]
    notes: list[str] = []
    if any(numbered) and open_:
        partners = _by_position(data, model, open_, numbered)
        which = "data and model name no classes" if all(numbered) else f"the {'data' if numbered[0] else 'model'} names no classes"
        notes.append(f"{which}: matched by position, which no name confirms")
    else:
        partners = _by_name(data, model, open_)
    index = tuple(given[i] if i in given else partners[i][0] for i in range(len(data)))
    how = tuple(("left out" if given[i] < 0 else "given") if i in given else partners[i][1] for i in range(len(data)))
    if all(i < 0 for i in index):
        raise UserError("the class map leaves out every class of the data; nothing would be evaluated")
    return Match(index, how, (*notes, *_notes(data, model, index)))


def _split(text: str, at: str) -> list[str]:
    """Pieces between the separators that no quotes protect, quotes kept."""
    pieces, start, quoted = [], 0, False
    for place, character in enumerate(text):
        quoted ^= character == '"'
        if character == at and not quoted:
            pieces.append(text[start:place])
            start = place + 1
    return [*pieces, text[start:]]


def _shorten(text: str) -> str:
    """A text as far as one line of an error holds it."""
    return text if len(text) <= 60 else f"{text[:50]}..."


def _unquote(text: str) -> str:
    return text.replace('"', "").strip()


def _plain(name: str) -> str:
    """A name without what writers differ in: case, '_', '-', spaces, and whether an accent is a character of its own."""
    return " ".join(re.split(r"[\s_\-]+", unicodedata.normalize("NFC", name).casefold())).strip()


def _candidates(name: str, names: Sequence[str]) -> list[int]:
    """Positions of the exact name, else of its like."""
    exact = [i for i, other in enumerate(names) if other == name]
    return exact or [i for i, other in enumerate(names) if _plain(other) == _plain(name)]


def _positions(names: Sequence[str]) -> dict[str, list[int]]:
    """Where each name stands."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        places.setdefault(name, []).append(i)
    return places


def _close(name: str, names: Sequence[str]) -> list[str]:
    plain = {_plain(other): other for other in names}
    return [plain[match] for match in difflib.get_close_matches(_plain(name), plain, n=3)]


def unknown_name(name: str, names: Sequence[str]) -> str:
    """What to say of a name that is none of these.

    >>> unknown_name("Car", ["car", "boat"])
    "no class is called 'Car'; did you mean 'car'?"
    """
    close = _close(name, names)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {_some(names)}"
    return f"no class is called {_shorten(name)!r}; {hint}"


def _resolve(data: Sequence[str], model: Sequence[str], overrides: Mapping[str, str]) -> dict[int, int]:
    given: dict[int, int] = {}
    for name, partner in overrides.items():
        source = _only(name, data, "data")
        if source in given:
            raise UserError(f"the class map gives {data[source]!r} two partners; give each class of the data one")
        given[source] = -1 if partner == DROP else _only(partner, model, "model")
    return given


def _only(name: str, names: Sequence[str], side: str) -> int:
    candidates = _candidates(name, names)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        several = ", ".join(repr(names[i]) for i in candidates)
        raise UserError(f"{_shorten(name)!r} in the class map means several classes of the {side}: {several}; write one exactly")
    close = _close(name, names)
    hint = f"did you mean {' or '.join(map(repr, close))}?" if close else f"it has {_some(names)}"
    raise UserError(f"the class map names {_shorten(name)!r}, but the {side} has no such class; {hint}")


def _by_position(
    data: Sequence[str], model: Sequence[str], open_: Sequence[int], numbered: tuple[bool, bool]
) -> dict[int, tuple[int, str]]:
    if len(data) != len(model):
        ours, theirs = (" (numbered)" if side else "" for side in numbered)
        raise UserError(
            f"{len(data)} classes of the data{ours} and {len(model)} of the model{theirs} cannot be matched: without names only equally "
            "many match, by position; name the classes, or give each one a partner with --class-map"
        )
    return {i: (i, "position") for i in open_}


def _by_name(data: Sequence[str], model: Sequence[str], open_: Sequence[int]) -> dict[int, tuple[int, str]]:
    exact, like = _positions(model), _positions(list(map(_plain, model)))
    candidates = {i: exact.get(data[i]) or like.get(_plain(data[i]), []) for i in open_}
    missing = [data[i] for i in open_ if not candidates[i]]
    if missing:
        raise UserError(_missing(missing, model))
    for i in open_:
        if len(candidates[i]) > 1:
            several = ", ".join(f"{model[j]!r} ({j})" for j in candidates[i])
            flag = _flag(data[i], model[candidates[i][0]])
            raise UserError(f"class {data[i]!r} of the data matches several of the model: {several}; say which: {flag}")
    partners = {i: candidates[i][0] for i in open_}
    shared = [j for j, count in Counter(partners.values()).items() if count > 1]
    if shared:
        rivals = [data[i] for i in open_ if partners[i] == shared[0]]
        raise UserError(
            f"classes {' and '.join(map(repr, rivals))} of the data match one class of the model, {model[shared[0]]!r}; "
            f"if that is meant, say {_flag(rivals[0], model[shared[0]])}"
        )
    return {i: (j, "same name" if data[i] == model[j] else "like name") for i, j in partners.items()}


def _missing(missing: Sequence[str], model: Sequence[str]) -> str:
    lines = []
    for name in missing[:20]:
        close = _close(name, model)
        lines.append(f"  {name!r}" + (f": close to {', '.join(map(repr, close))}" if close else ""))
    more = [f"  and {len(missing) - 20} more"] if len(missing) > 20 else []
    guess = next((c[0] for c in (_close(name, model) for name in missing) if c), model[0])
    head = f"{len(missing)} class{'es' if len(missing) > 1 else ''} of the data are not among the model's {len(model)} ({_some(model)}):"
    tail = f"name a partner, {_flag(missing[0], guess)}, or leave the class out, {_flag(missing[0], DROP)}"
    return "\n".join([head, *lines, *more, tail])


def _flag(data: str, model: str) -> str:
    sides = (f'"{name}"' if re.search("[,=]", name) else name for name in (data, model))
    return f"--class-map {shlex.quote('='.join(sides))}"


def _some(names: Sequence[str], limit: int = 10) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _notes(data: Sequence[str], model: Sequence[str], index: Sequence[int]) -> list[str]:
    partners = Counter(j for j in index if j >= 0)
    unused = [name for j, name in enumerate(model) if j not in partners]
    notes = []
    if unused:
        notes.append(
            f"{len(unused)} of the model's {len(model)} classes are not in the data ({_some(unused, 5)}): their boxes are passed over, "
            "pixels and images given to them count as wrong"
        )
    for j in sorted(j for j, count in partners.items() if count > 1):
        merged = [data[i] for i, k in enumerate(index) if k == j]
        notes.append(f"{', '.join(merged)} are one class of the model, {model[j]!r}")
    return notes
