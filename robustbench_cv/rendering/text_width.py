"""How wide a text is in TeX's own letters, so that a table is fitted to its column before TeX sees it.

Widths are those of Computer Modern Roman at 10 points, in thousandths of an em; smaller sizes are cut wider. Other roman faces in use
(Times, Palatino) are narrower.
"""

from __future__ import annotations

import re

_WIDE = {
    "#%{}<>@&+=~": 833,
    "mW|": 1028,
    "M": 917,
    "ABCDEGHKNOPQRTUVXYw": 785,
    "FLSZ": 653,
    "bdhknpquvxy": 556,
    '"$*/0123456789\\^aegoz_J': 500,
    "cI?rs": 472,
    "()ft": 389,
    "j- ": 333,
    "!',.:;[]`il": 278,
}
"""Letters by the width of the widest of them."""

_WIDTHS = {letter: width for letters, width in _WIDE.items() for letter in letters}

_CUT = {5: 1.37, 6: 1.23, 7: 1.14, 8: 1.07, 9: 1.03}
"""How much wider than scaled ten-point letters those of a smaller size are."""

BREAKABLE = 16
"""Letters of a word that is never broken."""


def width(text: str, points: float) -> float:
    """An upper bound of a text's width, in points, at a size of letters. What is no ASCII counts as a wide letter.

    >>> round(width("0.5", 10), 1)
    12.8
    """
    return sum(_WIDTHS.get(c, 833) for c in text) / 1000 * points * _CUT.get(int(points), 1.0)


def pieces(text: str) -> list[str]:
    """A text in parts between which a line may end: words, and long words after punctuation and every sixteen letters.

    >>> pieces("pgd(eps=1/255, norm='linf')")
    ['pgd(eps=1/255, ', "norm='linf')"]
    """
    found: list[str] = []
    for word in re.findall(r"\S+\s*|\s+", text):
        found += [word] if len(word.rstrip()) <= BREAKABLE else _pieces_of(word)
    return found


def _pieces_of(word: str) -> list[str]:
    """Of a long word, as few as may be."""
    parts = re.findall(r"[^,/()=_.:;\-]*[,/()=_.:;\-]+\s*|[^,/()=_.:;\-]+", word)
    fine = [part[i : i + BREAKABLE] for part in parts for i in range(0, len(part), BREAKABLE)]
    made = fine[:1]
    for part in fine[1:]:
        if len(made[-1]) + len(part.rstrip()) <= BREAKABLE:
            made[-1] += part
        else:
            made.append(part)
    return made
