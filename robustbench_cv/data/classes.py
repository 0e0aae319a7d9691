"""classes.txt: one class name a line; the line's position, from 0, is the class index."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from robustbench_cv.arguments import shorten
from robustbench_cv.errors import UserError
from robustbench_cv.files import decode_text, read_regular
from robustbench_cv.types import Labels

_LARGEST_BYTES = 2**24

LONGEST_NAME = 500
"""Characters of a class name (project choice): ImageNet's longest, with all its synonyms, has 131."""


def read_classes(path: Path) -> Labels:
    """The names of a classes.txt. UserError where it is missing, empty, not Unicode, has a gap, a name twice or one that is none."""
    try:
        text = decode_text(read_regular(path, _LARGEST_BYTES))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; it lists the class names, one a line, in index order") from error
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
    """Labels of these names, in composed characters (NFC), so that they do not depend on the system that wrote them.

    UserError where one comes twice, is blank, or holds what no text has (control characters, halves of surrogate pairs).
    """
    composed = [unicodedata.normalize("NFC", name) for name in names]
    for index, name in enumerate(composed):
        if not name.strip():
            raise UserError(f"{source}: class {index} has an empty name; every class needs one")
        if len(name) > LONGEST_NAME:
            raise UserError(f"{source}: class {index} is called {shorten(name)!r}; a class name has up to {LONGEST_NAME} characters")
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in name):
            raise UserError(
                f"{source}: class {index} is called {shorten(ascii(name))}, which holds characters that are no text; write it without"
            )
    twice = sorted(name for name, count in Counter(composed).items() if count > 1)
    if twice:
        raise UserError(f"{source} names {', '.join(repr(shorten(name)) for name in twice[:5])} more than once; class names must differ")
    return Labels(tuple(composed))
