"""Text on its way to a terminal: names come from files and models of others, and must not move the cursor, turn the line or end the run."""

from __future__ import annotations

import logging
import sys
import unicodedata

_JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiners: format characters that Persian words and emoji need, and that hide nothing."""


def plain(text: str) -> str:
    r"""The text with everything escaped that a terminal would obey instead of show; line breaks and tabs stay.

    Escaped are control characters (escape sequences begin with one), format characters (right-to-left overrides), separators of lines
    and paragraphs, and lone surrogates, which no encoding can write.

    >>> plain("car\x1b[2J")
    'car\\x1b[2J'
    """
    return "".join(c if c in "\n\t" else _escape(c) for c in text)


def one_line(text: str) -> str:
    r"""The text as `plain` shows it, on one line: line breaks and tabs are escaped too.

    >>> one_line("two\nlines")
    'two\\nlines'
    """
    return "".join(map(_escape, text))


def encodable(text: str) -> str:
    r"""The text with its lone surrogates escaped: what no encoding can write, such as bytes of a file name that are not UTF-8.

    >>> encodable("caf\udce9")
    'caf\\udce9'
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def elide(text: str, width: int) -> str:
    """At most `width` characters: the beginning and the end, since names of one kind often begin alike.

    >>> elide("resnet50 trained on everything", 13)
    'resnet…ything'
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def say(text: str, *, err: bool = False) -> None:
    """Print a line for people, on stdout or stderr, made `plain`."""
    print(plain(text), file=sys.stderr if err else sys.stdout, flush=True)


def prepare() -> None:
    """Once for each command: what the terminal's encoding lacks is shown escaped; what is logged is made `plain`, and told once."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())
        logging.lastResort.filters = [_NewToTheReader()]
    # Pillow logs what is odd in a damaged image, without its name, and then raises: whoever reads it says so.
    logging.getLogger("PIL").addHandler(logging.NullHandler())


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


class _NewToTheReader(logging.Filter):
    """Lets a message through once: a damaged file is met by all who read it, and the reader knows after the first."""

    def __init__(self) -> None:
        super().__init__()
        self.told: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        is_new = text not in self.told
        self.told.add(text)
        return is_new


def _escape(character: str) -> str:
    unseen = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") and character not in _JOINERS
    return character.encode("unicode_escape").decode("ascii") if unseen else character
