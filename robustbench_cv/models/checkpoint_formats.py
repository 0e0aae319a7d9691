"""What a weights file holds, read without running its code; a file that is none is named as what it is."""

from __future__ import annotations

import argparse
import io
import pathlib
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy
import torch

from robustbench_cv.arguments import shorten
from robustbench_cv.errors import UserError
from robustbench_cv.models.quantized import dequantize
from robustbench_cv.recorded_reads import record_read

HARMLESS: tuple[Any, ...] = (
    argparse.Namespace,
    pathlib.PosixPath,
    pathlib.PurePosixPath,
    pathlib.WindowsPath,
    pathlib.PureWindowsPath,
    numpy.dtype,
    numpy._core.multiarray.scalar,  # type: ignore[attr-defined]  # what a pickled numpy number is rebuilt with
    (numpy._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]  # its name before numpy 2
    *(type(numpy.dtype(kind)) for kind in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?")),
)
"""What training scripts keep beside the tensors (options, paths, numpy numbers): rebuilt from plain values, so that no code can run."""

FIRST_BYTES = 512
"""Enough of a file to know it by."""


class RefusedPickle(UserError):
    """A torch file that could run code when opened."""


def read_weights(path: Path) -> Any:
    """The content of a safetensors file (tensors by name) or of a torch file (anything, mostly nested dictionaries), on the CPU.

    The bytes decide which it is, not the suffix. UserError, saying what the file is instead, for one that is cut off, would run code, or
    holds no weights at all.
    """
    record_read(path)
    other = impostor(_start(path))
    if other:
        raise UserError(f"{path} is {other}")
    return dequantize(_read_safetensors(path)) if is_safetensors(path) else _read_torch(path)


def is_safetensors(path: Path) -> bool:
    """Whether a file has to be read as safetensors: by its bytes, and by its suffix where those say nothing."""
    start = _start(path)
    # Eight bytes of header length that fit into the file, then a JSON object.
    headed = start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= path.stat().st_size - 8
    return headed or (path.suffix == ".safetensors" and not _is_torch(start))


def impostor(start: bytes) -> str:
    """What a file is that is often saved in place of weights, and the way out, from its first bytes; empty where it is none.

    >>> impostor(b"version https://git-lfs.github.com/spec/v1").partition(",")[0]
    'a Git LFS pointer'
    >>> impostor(bytes(16))
    ''
    """
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, a few lines that stand for the weights: get them with `git lfs pull`"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")):
        return "a web page, not weights: the download was answered by a page (a login, a warning, an error); open the link in a browser"
    if text.startswith((b"{", b"[")) and _is_text(start):
        return "JSON text, not weights: an index, a configuration or a server's answer; get the weights that it speaks of"
    if start.startswith(b"\x1f\x8b"):
        return "a gzip archive: unpack it (tar xzf, gunzip) and give the file inside"
    if start.startswith((b"7z\xbc\xaf\x27\x1c", b"Rar!")):
        return "an archive: unpack it and give the file inside"
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return "an HDF5 file, as Keras writes them; convert the weights to safetensors or to a torch state dict"
    if start.startswith((b"\x93NUMPY", b"GGUF")):
        return "a file of another format (numpy or GGUF); save a torch state dict or safetensors"
    return ""


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FIRST_BYTES)


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in start)


def _is_torch(start: bytes) -> bool:
    """Whether it begins as torch.save writes: a zip archive, or a bare pickle."""
    return start.startswith((b"PK\x03\x04", b"\x80"))


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, RecursionError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a complete safetensors file: {_first_line(error)}") from error


def _read_torch(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        _require_torch_archive(path)
    try:
        # An open file, since of a path torch reads the suffix. What torch warns of, sparse and quantised tensors, has errors here.
        with path.open("rb") as file, torch.serialization.safe_globals(list(HARMLESS)), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error) from error
    except Exception as error:  # of a damaged file each step of torch's reader fails in its own way
        raise UserError(f"{path} cannot be read as a torch file: {_first_line(error)}") from error


def _require_torch_archive(path: Path) -> None:
    """UserError for a zip archive of something else, and for TorchScript, which is a program and not a state dict."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            damaged = _damaged_part(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, OverflowError) as error:  # what damaged directories raise
        raise UserError(f"{path} cannot be read as a torch file: {_first_line(error)}; was it downloaded whole?") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise UserError(
            f"{path} is a TorchScript program, not a state dict: give a factory of your own that returns torch.jit.load(...) "
            "(file.py:factory), or save `model.state_dict()` alone"
        )
    if not any(name.endswith("data.pkl") for name in names):
        listed = ", ".join(names[:3]) or "nothing"
        raise UserError(f"{path} is a zip archive of {listed}, not a torch file: unpack it and give the weights inside")
    if damaged:
        raise UserError(f"{path} is damaged: the checksum of {damaged!r} in it is another; get the file again")


def _damaged_part(archive: zipfile.ZipFile) -> str:
    """The first part whose bytes are not those that were written, which torch's own reader does not ask; empty where there is none.

    torch.save stores parts as they are; of others only the packed size is known, and what they claim may be without end. Where no part
    has its checksum the file was written without (torch.serialization.set_crc32_options).
    """
    stored = [part for part in archive.infolist() if part.compress_type == zipfile.ZIP_STORED and part.file_size]
    damaged = [part.filename for part in stored if not _is_whole(archive, part)]
    return damaged[0] if damaged and len(damaged) < len(stored) else ""


def _is_whole(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    try:
        with archive.open(part) as file:
            while file.read(2**22):
                pass
    except (zipfile.BadZipFile, EOFError):
        return False
    return True


def _refusal(path: Path, error: pickle.UnpicklingError) -> UserError:
    lines = [line.strip() for line in str(error).splitlines()]
    reason = shorten(next((line for line in lines if "GLOBAL" in line or "nsupported" in line), ""), 400)
    if not _is_torch(_start(path)):
        return UserError(f"{path} is no weights file: neither safetensors nor what torch.save writes; was it downloaded whole?")
    return RefusedPickle(
        f"{path} is refused: it holds more than tensors and could run code when opened. {reason} "
        "If you trust its origin, open it where that is safe and save `model.state_dict()` alone (best as .safetensors)"
    )


def _first_line(error: BaseException) -> str:
    return next(iter(io.StringIO(str(error))), "").strip() or type(error).__name__
