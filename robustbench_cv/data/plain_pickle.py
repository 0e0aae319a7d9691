"""Pickles of plain values and arrays of whole numbers, as CIFAR was published, read without calling anything that they name.

Of numpy's constructors only stand-ins are called, which keep what they are given: a pickle that hands numpy itself a damaged state, or the
shape of an array of terabytes, could crash it or worse.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
from pathlib import Path
from typing import Any

import numpy

from robustbench_cv.errors import UserError
from robustbench_cv.files import read_regular

_LARGEST_BYTES = 2**30
"""Of a batch (project choice); CIFAR's largest have 155 million."""


def read_pickle(path: Path) -> dict[str, Any]:
    """The dictionary in a pickle, its values plain or arrays, its keys as texts. UserError for any other content."""
    try:
        content = _Unpickler(io.BytesIO(read_regular(path, _LARGEST_BYTES)), encoding="bytes").load()
        if not isinstance(content, dict):
            what = "an array" if isinstance(content, _Array) else f"a {type(content).__name__}"
            raise UserError(f"{path} holds {what}; a CIFAR batch is a dictionary")
        return {k.decode() if isinstance(k, bytes) else str(k): v.array() if isinstance(v, _Array) else v for k, v in content.items()}
    except (OSError, ValueError, LookupError, OverflowError, MemoryError, *_DAMAGED) as error:
        raise UserError(f"{path} cannot be read as a CIFAR batch: {error or type(error).__name__}") from error


_DAMAGED = (pickle.UnpicklingError, EOFError, AttributeError, ImportError, TypeError, RecursionError, struct.error)
"""What the unpickler raises beside where bytes are damaged."""


class _Type:
    """For numpy.dtype: code such as "u1", and the byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else code
        self.order = "<"

    def __setstate__(self, state: Any) -> None:
        order = state[1].decode("latin-1") if isinstance(state[1], bytes) else state[1]
        self.order = ">" if order == ">" else "<"

    def dtype(self) -> numpy.dtype[Any]:
        if not isinstance(self.code, str) or not re.fullmatch("[iu][1248]", self.code):
            raise pickle.UnpicklingError(f"it has an array of type {str(self.code)[:20]!r}, not of whole numbers")
        return numpy.dtype(self.order + self.code)


class _Array:
    """For numpy.ndarray: its shape, type, and bytes."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> numpy.ndarray:
        _, shape, kind, fortran, data = self.state
        if not isinstance(kind, _Type) or not all(type(n) is int and n >= 0 for n in shape):
            raise pickle.UnpicklingError("it has an array without shape or type")
        dtype = kind.dtype()
        if not isinstance(data, bytes | bytearray) or math.prod(shape) * dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"it has an array whose bytes do not fill its shape {str(shape)[:60]}")
        array: numpy.ndarray = numpy.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
        return array


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """As numpy's of that name, by which protocol 5 makes arrays."""
    array = _Array()
    array.state = (1, shape, kind, order in ("F", b"F"), data)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """As protocol 2 writes bytes; and no bytes as a call of `bytes`."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it has bytes written as {encoding[:20]!r}")
    return text.encode("latin-1")


def _nothing() -> bytes:
    return b""


_STAND_INS = {
    "__builtin__.bytes": _nothing,
    "_codecs.encode": _encode,
    "numpy.dtype": _Type,
    "numpy.ndarray": _Array,
    "numpy.core.multiarray._reconstruct": _Array,
    "numpy._core.multiarray._reconstruct": _Array,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}


class _Unpickler(pickle._Unpickler):
    """Makes plain values and stand-ins, and nothing else.

    Python's own, not the one in C, which takes gigabytes for the memo that one damaged byte may number.
    """

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _STAND_INS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs")
        return _STAND_INS[f"{module}.{name}"]
