"""Class names as a user gives them: a comma list or a text file with one a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from robustbench_cv.errors import UserError
from robustbench_cv.files import decode_text, is_file, read_regular
from robustbench_cv.recorded_reads import record_read

_LARGEST_BYTES = 2**24
"""Of a file of class names, as for data (project choice)."""


def class_names(text: str) -> tuple[str, ...]:
    """Names from "a,b,c" or from a text file, one a line. UserError where one is empty or comes twice, for classes are matched by name.

    >>> class_names("car, boat")
    ('car', 'boat')
    """
    path = Path(text)
    if "," not in text and path.suffix == ".txt":
        if not is_file(path):
            raise UserError(f"no file {path} with class names (looked from {Path.cwd()}); or write classes='a,b,c'")
        record_read(path)
        names = tuple(line.strip() for line in _text(path).splitlines() if line.strip())
    else:
        names = tuple(name.strip() for name in text.split(","))
    twice = [name for name, count in Counter(names).items() if count > 1]
    if not names or "" in names or twice:
        what = f"names {twice[0]!r} twice" if twice and twice[0] else "has an empty name"
        raise UserError(f"classes={text!r} {what}; every class needs a name of its own, since classes are matched by name")
    return names


def _text(path: Path) -> str:
    try:
        return decode_text(read_regular(path, _LARGEST_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"byte {error.start} is not UTF-8; save it as UTF-8"
        raise UserError(f"cannot read the class names in {path}: {reason}") from error


def require_classes(name: str, classes: Sequence[str]) -> None:
    """UserError for an embedder, which names no classes, so that there is nothing that an attack, a check or a suite could judge."""
    if not classes:
        raise UserError(
            f"{name} is an embedder: it names no classes, so that no attack, check or suite judges it. gallery:{name.split('.')[0]} makes "
            "a classifier of it, which all of them take (robustbench-cv show model gallery)"
        )


def class_index(names: Sequence[str], name: str) -> int:
    """The index of a class; UserError where the model has none of that name."""
    if name not in names:
        raise UserError(f"the model has no class {name!r}; it has {', '.join(names)}")
    return names.index(name)
