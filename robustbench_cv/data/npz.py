"""Arrays in one .npz file: images, labels and, optionally, class names."""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy
import torch

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.data.source import check_task, dataset_name, digest, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.files import open_regular, resolved
from robustbench_cv.tasks import Task
from robustbench_cv.types import ClassTarget, Labels, Sample

_LAYOUT = "images (uint8 (N, H, W, 3), or float (N, 3, H, W) in 0..1), labels (integers (N,)) and optionally classes (strings (C,))"

PLACE = "place"
"""The attribute with the place of a sample in the published order of its split, counted from 0."""

_MOST_NUMBERED = 100_000
"""Classes that may go without names (project choice: five times the largest public list of classes, ImageNet-21k's)."""

_PACKED_BYTES, _PACKED_RATIO = 2**30, 100
"""An array beyond this size that was packed by more than this ratio is taken for a bomb (project choice: photos do not shrink tenfold)."""


@dataset(tasks="classification")
def npz(path: str, *, task: Task = "classification", name: str | None = None) -> ArrayData:
    """Classification from a .npz with images, labels and, optionally, classes.

    images: uint8 (N, H, W, 3), or float (N, 3, H, W) in 0..1; RGB. labels: integers (N,). Without classes they are numbered, as many as the
    highest label says, and matched with a model's by position. The file is read into memory as a whole; pickled objects are refused.
    """
    check_task("npz", task, ("classification",))
    file = resolved(path)
    arrays = _read(file)
    images, labels = _images(file, arrays), _labels(file, arrays)
    if len(images) != len(labels) or not len(images):
        raise UserError(f"{file} has {len(images)} images and {len(labels)} labels; it needs one label for each, and at least one image")
    names = _classes(file, arrays) if "classes" in arrays else _numbered_labels(file, labels)
    wrong = numpy.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        raise UserError(
            f"{file}: labels[{wrong[0]}] is {labels[wrong[0]]}, but labels run from 0 to {len(names) - 1} ({len(wrong)} do not)"
        )
    return ArrayData(
        name=name or dataset_name(file.parent, file.stem), labels=names, file=file, images=images, classes=labels.astype(numpy.int64)
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class ArrayData:
    """Images and labels held in memory, in the order of the file. published_order: whether it is that of a published split, which
    arrays of its corrupted images follow: samples then carry their place."""

    name: str
    labels: Labels
    file: Path
    images: numpy.ndarray = field(repr=False)
    classes: numpy.ndarray = field(repr=False)
    published_order: bool = False
    task: Task = "classification"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, f"{i:06d}") for i in range(len(self.images)))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        pixels = torch.from_numpy(self.images[index].astype(numpy.float32))
        image = pixels.permute(2, 0, 1).contiguous().div_(255) if self.images.dtype == numpy.uint8 else pixels
        if not bool(image.isfinite().all()):
            raise BadSample(f"{self.file}: images[{index}] has values that are not finite; pixels are 0 to 1")
        place = {PLACE: str(index)} if self.published_order else {}
        return Sample(self.ids[index], image, ClassTarget(int(self.classes[index])), attributes=place)

    def fingerprint(self, index: int) -> str:
        """Hash of the image's values and type, its label and the class names."""
        image = self.images[index]
        return digest(image.tobytes(), str(image.dtype), str(image.shape), str(int(self.classes[index])), repr(self.labels.names))


def _read(file: Path) -> Mapping[str, numpy.ndarray]:
    try:
        with open_regular(file) as stream:
            if stream.read(6) == b"\x93NUMPY":
                raise UserError(f"{file} is one array, not an .npz of several; it needs {_LAYOUT}")
            with zipfile.ZipFile(stream) as archive:
                return _select(file, archive)
    except FileNotFoundError as error:
        raise UserError(f"{file} does not exist; give an .npz with {_LAYOUT}") from error
    except MemoryError as error:
        raise UserError(
            f"{file} needs more memory than there is; give fewer images, or an image folder, which is read one by one"
        ) from error
    except _UNREADABLE as error:
        raise UserError(f"{file} cannot be read as .npz: {error}; save it with numpy.savez from plain arrays: {_LAYOUT}") from error


# What zip files and headers of arrays raise where they are damaged, encrypted (RuntimeError) or packed in an unknown way.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, OverflowError, SyntaxError, TypeError, struct.error),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)


def _select(file: Path, archive: zipfile.ZipFile) -> Mapping[str, numpy.ndarray]:
    there = [name.removesuffix(".npy") for name in archive.namelist()]
    absent = {"images", "labels"} - set(there)
    if absent:
        raise UserError(f"{file} has no array {' and no array '.join(sorted(absent))}, only {sorted(there)[:10]}; it needs {_LAYOUT}")
    double = next((key for key in ("images", "labels", "classes") if there.count(key) > 1), None)
    if double:
        raise UserError(f"{file} holds {double} twice; only one of them can be meant")
    entries = {name.removesuffix(".npy"): name for name in archive.namelist()}
    return {key: _array(file, key, archive, entries[key]) for key in ("images", "labels", "classes") if key in entries}


def _array(file: Path, key: str, archive: zipfile.ZipFile, entry: str) -> numpy.ndarray:
    """One array, after a look at its header: what it claims to hold must be there before memory is taken for it."""
    held = archive.getinfo(entry)
    with archive.open(entry) as stream:
        claimed = _claimed_bytes(file, key, stream)
        if claimed != held.file_size - stream.tell():
            raise UserError(f"{file}: {key} claims {claimed} bytes and holds {held.file_size - stream.tell()}; save it again")
    if claimed > _PACKED_BYTES and claimed > _PACKED_RATIO * held.compress_size:
        raise UserError(
            f"{file}: {key} unpacks {held.compress_size} bytes into {claimed}; no images shrink so, and it is not read (a zip bomb?)"
        )
    with archive.open(entry) as stream:
        array: numpy.ndarray = numpy.lib.format.read_array(stream, allow_pickle=False)
    return array


def read_array(path: Path) -> numpy.ndarray:
    """One array of plain values in a .npy, read from the disk where it is asked for. UserError where it cannot be read."""
    try:
        with open_regular(path):  # numpy maps the file itself: what its header claims must be there
            array: numpy.ndarray = numpy.load(path, mmap_mode="r", allow_pickle=False)
    except (*_UNREADABLE, MemoryError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(array, numpy.ndarray):
        raise UserError(f"{path} is an .npz of several arrays, not one .npy")
    return array


def _claimed_bytes(file: Path, key: str, stream: IO[bytes]) -> int:
    """The size that an array's header gives, exactly, however large; the stream stands behind the header then."""
    if stream.read(6) != b"\x93NUMPY":
        raise UserError(f"{file}: {key} is no array of numpy's; save the file with numpy.savez: {_LAYOUT}")
    version = stream.read(2)
    readers = {b"\x01\x00": numpy.lib.format.read_array_header_1_0, b"\x02\x00": numpy.lib.format.read_array_header_2_0}
    if version not in readers:
        raise UserError(f"{file}: {key} is an array in version {tuple(version)} of numpy's format; plain arrays are in (1, 0) or (2, 0)")
    shape, _, dtype = readers[version](stream)
    if dtype.hasobject:
        raise ValueError(f"{key} holds Python objects, which allow_pickle=False refuses")
    return math.prod(shape) * int(dtype.itemsize)


def _images(file: Path, arrays: Mapping[str, numpy.ndarray]) -> numpy.ndarray:
    images = arrays["images"]
    bytes_last = images.dtype == numpy.uint8 and images.ndim == 4 and images.shape[3] == 3
    floats_first = images.dtype.kind == "f" and images.ndim == 4 and images.shape[1] == 3
    if not (bytes_last or floats_first) or 0 in images.shape[1:]:
        raise UserError(f"{file}: images is {_kind(images)}; it must be uint8 (N, H, W, 3), or float (N, 3, H, W) in 0..1")
    finite = images[numpy.isfinite(images)] if floats_first else images[:0]
    if finite.size and (finite.min() < 0 or finite.max() > 1):
        raise UserError(f"{file}: images runs from {finite.min():.4g} to {finite.max():.4g}; float pixels are 0 to 1 and not normalised")
    return images


def _labels(file: Path, arrays: Mapping[str, numpy.ndarray]) -> numpy.ndarray:
    labels = arrays["labels"]
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise UserError(f"{file}: labels is {_kind(labels)}; it must be integers (N,), one class index for each image")
    return labels


def _numbered_labels(file: Path, labels: numpy.ndarray) -> Labels:
    count = int(labels.max()) + 1
    if count > _MOST_NUMBERED:
        raise UserError(
            f"{file}: labels[{int(labels.argmax())}] is {count - 1}; without an array classes, which names them, labels are numbers "
            f"below {_MOST_NUMBERED}: number the classes from 0, or store their names"
        )
    return Labels.numbered(max(0, count))


def _classes(file: Path, arrays: Mapping[str, numpy.ndarray]) -> Labels:
    classes = arrays["classes"]
    if classes.dtype.kind not in "US" or classes.ndim != 1 or not len(classes):
        raise UserError(f"{file}: classes is {_kind(classes)}; it must be strings (C,), the class names in index order")
    return unique_labels([_name(file, i, name) for i, name in enumerate(classes.tolist())], f"{file}: classes")


def _name(file: Path, index: int, name: Any) -> str:
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: classes[{index}] is {name!r}, which is not UTF-8; store the names as text") from error


def _kind(array: numpy.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
