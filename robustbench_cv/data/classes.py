"""classes.txt: one class name a line; the line's position, from 0, is the class index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from robustbench_cv.errors import UserError
from robustbench_cv.types import Labels


def read_classes(path: Path) -> Labels:
    """The names of a classes.txt. UserError where it is missing, empty, not UTF-8, has a gap or a name twice."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; it lists the class names, one a line, in index order") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    names = [line.strip() for line in text.rstrip().splitlines()]
    if not names or names == [""]:
        raise UserError(f"{path} is empty; write the class names, one a line, in index order")
    if "" in names:
        # Passing over the gap would shift every class after it.
        raise UserError(f"{path}, line {names.index('') + 1} is empty; each line is one class index, so name it or remove it")
    return unique_labels(names, str(path))


def unique_labels(names: Sequence[str], source: str) -> Labels:
    """Labels of these names; UserError where one comes twice."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise UserError(f"{source} names {', '.join(map(repr, twice))} more than once; class names must differ")
    return Labels(tuple(names))
