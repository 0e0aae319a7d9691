"""Ways in which a file comes out wrong, as a hypothesis strategy: bytes, numbers, nesting, encodings."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]

NUMBERS = (
    b"0", b"-1", b"1e999", b"-1e999", b"NaN", b"Infinity", b"1e-400", b"99999999999", b"9" * 400, b"-" + b"9" * 5000,
    b"2.5", b"true", b"null",
    b'"7"', b"2147483648", b"9223372036854775808", b"18446744073709551616", b"1.2.3", b"0x10", b"1_000", b"[]", b"{}",
)  # fmt: skip
"""What takes the place of a number in a text."""

TEXTS = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", "é".encode("latin-1"), "\u202e".encode(), b"../../etc/passwd", b"/etc/passwd",
    b"C:\\x", b"\x1b[2J",
    b"<script>", b"&lt;", b"{{", b"=1+1", b"\r", b"\n", b"\t", b"'", b'"', b"\\", b"\\u0000", b"\\ud800",
    b"a" * 300, b"%00", b"", b"~", b"*a",
    b"&a ", b"<<: ", b"!!python/object:os.system ", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"]]>",
    b"#", b";", b",", b"[", b"]", b"{", b"}", b"file.py:f",
)  # fmt: skip
"""What is put into a text."""

NESTS = ((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"), (b"(", b")"), (b"- ", b""), (b"{a: ", b"}"))
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "utf-7", "cp037")
EDGES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0" * 8)
"""Of lengths and counts in binary files."""


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file that had these bytes, after one to four damages."""
    data = whole
    for _ in range(draw(st.integers(1, 4))):
        data = draw(st.sampled_from(_WAYS))(draw, data)
    return data


def _place(draw: st.DrawFn, data: bytes) -> int:
    return draw(st.integers(0, max(0, len(data) - 1)))


def _flip(draw: st.DrawFn, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        if changed:
            changed[_place(draw, changed)] ^= draw(st.integers(1, 255))
    return bytes(changed)


def _cut(draw: st.DrawFn, data: bytes) -> bytes:
    return data[: _place(draw, data)]


def _take_out(draw: st.DrawFn, data: bytes) -> bytes:
    start = _place(draw, data)
    return data[:start] + data[start + draw(st.integers(1, 60)) :]


def _insert(draw: st.DrawFn, data: bytes) -> bytes:
    place = _place(draw, data)
    return data[:place] + draw(st.sampled_from(TEXTS) | st.binary(max_size=20)) + data[place:]


def _repeat(draw: st.DrawFn, data: bytes) -> bytes:
    start = _place(draw, data)
    end = start + draw(st.integers(1, 200))
    return data[:end] + data[start:end] * draw(st.sampled_from((1, 2, 50))) + data[end:]


def _edge(draw: st.DrawFn, data: bytes) -> bytes:
    place, edge = _place(draw, data), draw(st.sampled_from(EDGES))
    return data[:place] + edge + data[place + len(edge) :]


def _swap_number(draw: st.DrawFn, data: bytes) -> bytes:
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", data))
    if not numbers:
        return _edge(draw, data)
    one = draw(st.sampled_from(numbers))
    return data[: one.start()] + draw(st.sampled_from(NUMBERS)) + data[one.end() :]


def _swap_word(draw: st.DrawFn, data: bytes) -> bytes:
    words = list(re.finditer(rb"[A-Za-z_./-]{2,}", data))
    if not words:
        return _insert(draw, data)
    one = draw(st.sampled_from(words))
    return data[: one.start()] + draw(st.sampled_from(TEXTS + NUMBERS)) + data[one.end() :]


def _exchange(draw: st.DrawFn, data: bytes) -> bytes:
    """Two lines change places."""
    lines = data.splitlines(keepends=True)
    if len(lines) < 2:
        return _flip(draw, data)
    i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
    lines[i], lines[j] = lines[j], lines[i]
    return b"".join(lines)


def _nest(draw: st.DrawFn, data: bytes) -> bytes:
    opening, closing = draw(st.sampled_from(NESTS))
    depth = draw(st.sampled_from((3, 900, 1100, 5000, 100_000)))
    numbers = list(re.finditer(rb"-?\d+(?:\.\d+)?", data))
    one = draw(st.sampled_from(numbers)).span() if numbers and draw(st.booleans()) else (0, len(data))
    return data[: one[0]] + opening * depth + data[one[0] : one[1]] + closing * depth + data[one[1] :]


def _recode(draw: st.DrawFn, data: bytes) -> bytes:
    encoding = draw(st.sampled_from(ENCODINGS))
    return data.decode("utf-8", "replace").encode(encoding, "replace")


def _other_file(draw: st.DrawFn, data: bytes) -> bytes:
    """Another kind of file in its place."""
    starts = (
        b"",
        b"\0" * 64,
        b"{}",
        b"[]",
        b"null",
        b"1",
        b"<a/>",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"\x80\x02",
        b"\x1f\x8b\x08",
        b"PAR1PAR1",
        b"---\n",
    )
    return draw(st.sampled_from(starts)) + (data if draw(st.booleans()) else b"")


_WAYS = (
    _flip, _flip, _cut, _take_out, _insert, _repeat, _edge, _swap_number, _swap_number, _swap_word, _swap_word, _exchange, _nest, _recode,
    _other_file,
)  # fmt: skip
