"""Arrays in one .npz file: images, labels and, optionally, class names."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy
import torch

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.data.source import check_task, dataset_name, digest, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.tasks import Task
from robustbench_cv.types import ClassTarget, Labels, Sample

_LAYOUT = "images (uint8 (N, H, W, 3), or float (N, 3, H, W) in 0..1), labels (integers (N,)) and optionally classes (strings (C,))"


@dataset(tasks="classification")
def npz(path: str, *, task: Task = "classification", name: str | None = None) -> ArrayData:
    """Classification from a .npz with images, labels and, optionally, classes.

    images: uint8 (N, H, W, 3), or float (N, 3, H, W) in 0..1; RGB. labels: integers (N,). Without classes they are numbered, as many as the
    highest label says, and matched with a model's by position. The file is read into memory as a whole; pickled objects are refused.
    """
    check_task("npz", task, ("classification",))
    file = Path(path).expanduser().resolve()
    arrays = _read(file)
    images, labels = _images(file, arrays), _labels(file, arrays)
    if len(images) != len(labels) or not len(images):
        raise UserError(f"{file} has {len(images)} images and {len(labels)} labels; it needs one label for each, and at least one image")
    names = _classes(file, arrays) if "classes" in arrays else Labels.numbered(int(labels.max()) + 1)
    wrong = numpy.flatnonzero((labels < 0) | (labels >= len(names)))
    if len(wrong):
        raise UserError(
            f"{file}: labels[{wrong[0]}] is {labels[wrong[0]]}, but labels run from 0 to {len(names) - 1} ({len(wrong)} do not)"
        )
    return ArrayData(name or dataset_name(file.parent, file.stem), names, file, images, labels)


@dataclass(frozen=True, eq=False)
class ArrayData:
    """Images and labels held in memory, in the order of the file."""

    name: str
    labels: Labels
    file: Path
    images: numpy.ndarray = field(repr=False)
    classes: numpy.ndarray = field(repr=False)
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
        return Sample(self.ids[index], image, ClassTarget(int(self.classes[index])))

    def fingerprint(self, index: int) -> str:
        """Hash of the image's values and type, its label and the class names."""
        image = self.images[index]
        return digest(image.tobytes(), str(image.dtype), str(image.shape), str(int(self.classes[index])), repr(self.labels.names))


def _read(file: Path) -> Mapping[str, numpy.ndarray]:
    try:
        with file.open("rb") as stream:  # numpy, given a path, leaves a broken file open
            return _select(file, numpy.load(stream, allow_pickle=False))
    except FileNotFoundError as error:
        raise UserError(f"{file} does not exist; give an .npz with {_LAYOUT}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{file} cannot be read as .npz: {error}; save it with numpy.savez from plain arrays: {_LAYOUT}") from error


def _select(file: Path, loaded: Any) -> Mapping[str, numpy.ndarray]:
    if not isinstance(loaded, numpy.lib.npyio.NpzFile):
        raise UserError(f"{file} is one array, not an .npz of several; it needs {_LAYOUT}")
    absent = {"images", "labels"} - set(loaded.files)
    if absent:
        raise UserError(f"{file} has no array {' and no array '.join(sorted(absent))}, only {sorted(loaded.files)}; it needs {_LAYOUT}")
    return {key: loaded[key] for key in ("images", "labels", "classes") if key in loaded.files}


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
    return labels.astype(numpy.int64)


def _classes(file: Path, arrays: Mapping[str, numpy.ndarray]) -> Labels:
    classes = arrays["classes"]
    if classes.dtype.kind not in "US" or classes.ndim != 1 or not len(classes):
        raise UserError(f"{file}: classes is {_kind(classes)}; it must be strings (C,), the class names in index order")
    names: list[Any] = classes.tolist()
    return unique_labels([n.decode() if isinstance(n, bytes) else n for n in names], f"{file}: classes")


def _kind(array: numpy.ndarray) -> str:
    return f"{array.dtype} {array.shape}"
