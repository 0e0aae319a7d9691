"""JSON files that a run keeps for itself: each says which form it has and the sha256 of what it holds, so that none is misread.

A file that is cut short, or of which a single digit is another one, is damaged; one of a form that only a later version knows is refused.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import msgspec

from robustbench_cv.errors import Damaged, WrittenByNewer
from robustbench_cv.files import write_bytes

FORM = 1
"""Of what surrounds the value: rises when an earlier version would misread it."""

logger = logging.getLogger(__name__)


class _Kept(msgspec.Struct, forbid_unknown_fields=True):
    """What such a file holds. sha256: of the value's JSON without white space."""

    schema_version: int
    sha256: str
    value: msgspec.Raw


class _Head(msgspec.Struct):
    schema_version: int


def write_kept(path: Path, value: object, *, indent: int = 1) -> None:
    """Write a value that msgspec encodes. indent: spaces a level; 0: one line. A file that already holds it is left alone."""
    text = msgspec.json.encode(value)
    whole = msgspec.json.encode(_Kept(FORM, hashlib.sha256(text).hexdigest(), msgspec.Raw(text)))
    write_bytes(path, msgspec.json.format(whole, indent=indent or -1) + b"\n")


def load_kept(path: Path, kind: Any, *, remedy: str) -> Any:
    """The value of a type that msgspec reads. FileNotFoundError; Damaged, which ends with the remedy; WrittenByNewer."""
    data = path.read_bytes()
    try:
        form = msgspec.json.decode(data, type=_Head).schema_version
        require_known(path, form, FORM)
        kept = msgspec.json.decode(data, type=_Kept)
        value = msgspec.json.decode(kept.value, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Damaged(f"{path} is damaged ({error}); {remedy}") from error
    if hashlib.sha256(msgspec.json.format(bytes(kept.value), indent=-1)).hexdigest() != kept.sha256:
        raise Damaged(f"{path} is damaged (its content is not that of its sha256); {remedy}")
    return value


def read_kept(path: Path, kind: Any) -> Any:
    """The same; None where there is no such file, or where it is damaged, with a warning. WrittenByNewer."""
    try:
        return load_kept(path, kind, remedy="taken as missing")
    except FileNotFoundError:
        return None
    except Damaged as error:
        logger.warning("%s", error)
        return None


def require_known(path: Path, form: int, newest: int) -> None:
    """WrittenByNewer for a file of a form that this version does not know."""
    if form > newest:
        raise WrittenByNewer(
            f"{path} was written by a newer robustbench-cv (schema {form}; this version reads up to {newest}): upgrade robustbench-cv, "
            "or give the run another folder with --out"
        )
