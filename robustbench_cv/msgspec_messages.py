"""What msgspec says of data that do not fit, "Expected `int | null`, got `str`", in the words of whoever wrote the data."""

from __future__ import annotations

import re

import msgspec

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "null": "nothing",
    "array": "a list",
    "object": "names with values",
    "bytes": "binary data",
}
_FOUND = _WORDS | {"float": "a number with a point", "null": "null", "bool": "yes or no (true or false)"}


def in_words(error: msgspec.ValidationError) -> str:
    """The misfit without the place where it is.

    >>> in_words(msgspec.ValidationError("Expected `int | null`, got `str` - at `$.samples`"))
    'it is text, and must be a whole number or left out'
    >>> in_words(msgspec.ValidationError("Object missing required field `name` - at `$.categories[0]`"))
    "it has no 'name'"
    """
    text = str(error).partition(" - at `")[0]
    if lacks := re.search("missing required field `(.+)`", text):
        return f"it has no {lacks[1]!r}"
    if misfit := re.search("Expected `(.+?)`(?:, got `(.+?)`)?$", text):
        kinds = [kind for kind in misfit[1].split(" | ") if kind != "null"]
        wanted = [_WORDS.get(kind, kind) for kind in kinds] + (["left out"] if "null" in misfit[1].split(" | ") else [])
        found = f"it is {_FOUND.get(misfit[2], misfit[2])}, and " if misfit[2] else "it "
        return f"{found}must be {' or '.join(wanted)}"
    return "it holds a whole number that is too large" if "out of range" in text else text[:1].lower() + text[1:]


def place(error: msgspec.ValidationError) -> list[str | int]:
    """The keys and positions that lead to what does not fit.

    >>> place(msgspec.ValidationError("Expected `int`, got `str` - at `$.annotations[7].category_id`"))
    ['annotations', 7, 'category_id']
    """
    path = str(error).partition(" - at `$")[2].removesuffix("`")
    return [int(index) if index else name for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path)]
