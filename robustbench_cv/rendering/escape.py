"""Text made safe for its target. Names of models, data sets and classes come from users; nothing in them is markup."""

from __future__ import annotations

import hashlib
import html as _html
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

LONGEST_SLUG = 150
"""Characters: with its suffix, a file name of every file system."""

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "%": r"\%",
    "_": r"\_",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    '"': "''",
    "`": "'",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\u00a0": "~",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "↳": r"$\hookrightarrow$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
    "§": r"\S{}",
    "¶": r"\P{}",
    "’": "'",
    "‘": "`",
    "“": "``",
    "”": "''",
    "ε": r"$\varepsilon$",
    "∞": r"$\infty$",
    "°": r"$^{\circ}$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
}
_ACCENTS = set("\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327")
"""Combining marks that LaTeX's oldest font encoding can set."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""What no reader sees and some readers obey: terminal escapes, overrides of the writing direction, halves of characters."""

_FORMULA = re.compile(r"[\s\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")
"""What a spreadsheet may take for a formula at the start of a cell (OWASP, "CSV Injection"), full-width signs too."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]|~$#])")


def latex(text: str) -> str:
    r"""Text for pdflatex with booktabs alone: one line, quotes that need no font encoding, accents kept, other scripts as "?".

    >>> print(latex("50% of a_b & c#1"))
    50\% of a\_b \& c\#1
    """
    return "".join(_latex_character(c) for c in " ".join(text.split()))


def _latex_character(c: str) -> str:
    if c in _LATEX:
        return _LATEX[c]
    if c.isascii():
        return c if c.isprintable() else ""
    if unicodedata.decomposition(c).startswith("<super>"):
        return rf"\textsuperscript{{{latex(unicodedata.normalize('NFKD', c))}}}"
    plain = "".join(p for p in unicodedata.normalize("NFKD", c) if p.isascii() and p.isprintable())
    if "\u00c0" <= c <= "\u017f" and set(unicodedata.normalize("NFD", c)[1:]) & _ACCENTS:
        return c
    return "".join(_LATEX.get(p, p) for p in plain) or "?"


def html(text: str) -> str:
    """Text for an HTML element or a quoted attribute.

    >>> html('<script>"')
    '&lt;script&gt;&quot;'
    """
    return _html.escape(_CONTROL.sub("\ufffd", text), quote=True)


def markdown(text: str) -> str:
    r"""Text for one cell or line of GitHub-flavoured Markdown.

    >>> print(markdown("a|b_c <i>"))
    a\|b\_c &lt;i&gt;
    """
    line = " ".join(_CONTROL.sub("\ufffd", text).split())
    safe = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", safe)


def plain(text: str) -> str:
    """Text for a figure or a terminal: what would be obeyed instead of shown becomes U+FFFD.

    >>> plain("a\\x1b[31mb") == "a\\ufffd[31mb"
    True
    """
    return _CONTROL.sub("\ufffd", text)


def csv_cell(text: str) -> str:
    """Text for a cell of a csv: a spreadsheet shows it and computes nothing. Numbers stay numbers, negative ones too.

    >>> csv_cell("=1+1"), csv_cell("-0.5"), csv_cell("-x")
    ("'=1+1", '-0.5', "'-x")
    """
    # A carriage return alone would end the row: Python's writer quotes only what its own line ends hold.
    safe = plain(text).replace("\r\n", "\n").replace("\r", "\n")
    return f"'{safe}" if _FORMULA.match(safe) and not _NUMBER.fullmatch(safe) else safe


def xml(text: str) -> str:
    """Text for XML 1.0: characters that it forbids become U+FFFD; the writer escapes the rest."""
    return _CONTROL.sub("\ufffd", text)


def slug(text: str) -> str:
    """A file name, anchor or LaTeX label of letters, digits and single dashes.

    >>> slug("Budget curve: ResNet-20 (L∞)")
    'budget-curve-resnet-20-l'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "x"


def slugs(texts: Sequence[str]) -> list[str]:
    """A file name for each text, of at most 150 characters and a hash, and no two alike.

    Names that look the same as slugs, such as all those in another script, end with a hash of the whole.

    >>> slugs(["ResNet 50", "vgg"]), slugs(["ResNet 50", "resnet-50"])
    (['resnet-50', 'vgg'], ['resnet-50-639981b0', 'resnet-50-9b4214cd'])
    >>> len(set(slugs(["ResNet 50", "resnet-50", "resnet-50-639981b0"])))
    3
    """
    plain = [slug(text)[:LONGEST_SLUG] for text in texts]
    alike = Counter(plain)
    hashes = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8] for text in texts]
    hashed = [f"{name}-{end}" for name, end in zip(plain, hashes, strict=True)]
    return [
        name if alike[name] == 1 and name not in hashed and len(slug(text)) <= LONGEST_SLUG else full
        for name, full, text in zip(plain, hashed, texts, strict=True)
    ]
