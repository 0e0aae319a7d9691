"""Bytes for Arrow's readers, in memory that is Arrow's own.

Arrow's threads let go of what they read whenever they come to it. Where that was a Python object they have to ask Python for it, and while
Python ends that aborts the whole process, now and then ("terminate called without an active exception", exit code 134).
"""

from __future__ import annotations

import pyarrow


def readable(data: bytes) -> pyarrow.BufferReader:
    """A file in memory that holds a copy of the bytes.

    >>> readable(b"a,b").read()
    b'a,b'
    """
    sink = pyarrow.BufferOutputStream()
    sink.write(data)
    return pyarrow.BufferReader(sink.getvalue())
