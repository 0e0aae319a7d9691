"""CIFAR-10 and CIFAR-100 as Krizhevsky published them: batches of Python pickles, or of plain bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import read_classes, unique_labels
from robustbench_cv.data.npz import ArrayData
from robustbench_cv.data.plain_pickle import read_pickle
from robustbench_cv.data.source import check_task, existing_folder
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task

PIXELS = 3 * 32 * 32


class _Layout(NamedTuple):
    """names: of the file with the class names, and its keys, pickled and plain. splits: files by split, without suffix."""

    title: str
    names: str
    keys: tuple[str, ...]
    splits: Mapping[str, tuple[str, ...]]


_TEN = _Layout(
    "cifar-10",
    "batches.meta",
    ("label_names",),
    {"train": tuple(f"data_batch_{k}" for k in range(1, 6)), "test": ("test_batch",)},
)
_HUNDRED = _Layout("cifar-100", "meta", ("fine_label_names", "coarse_label_names"), {"train": ("train",), "test": ("test",)})


@dataset(tasks="classification", paper="https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf")
def cifar(path: str, *, split: str = "test", coarse: bool = False, task: Task = "classification", name: str | None = None) -> ArrayData:
    """Classification from the published folder of CIFAR-10 or CIFAR-100: cifar-10-batches-py, cifar-100-python, or the binary versions.

    split: "test" or "train". coarse: CIFAR-100's 20 superclasses instead of its 100 classes. Ids count the images from 0 in the published
    order, which CIFAR-10-C's arrays follow too. Nothing that a pickle asks for is called. UserError for any other content.
    """
    check_task("cifar", task, ("classification",))
    root = existing_folder(path, "CIFAR's batches (cifar-10-batches-py, cifar-100-python)")
    layout = _layout(root)
    if split not in layout.splits:
        raise UserError(f"{root} has the splits {' and '.join(layout.splits)}, not {split!r}")
    if coarse and layout is not _HUNDRED:
        raise UserError(f"{root} is CIFAR-10, which has no superclasses; leave coarse out")
    parts = [_batch(root, stem, layout, coarse=coarse) for stem in layout.splits[split]]
    images, labels = (numpy.concatenate(side) for side in zip(*parts, strict=True))
    if not len(labels):
        raise UserError(f"{root}: the split {split!r} holds no image")
    names = unique_labels(_names(root, layout, coarse=coarse), str(root))
    if not 0 <= labels.min() <= labels.max() < len(names):
        raise UserError(f"{root}: labels run from {labels.min()} to {labels.max()}, and there are {len(names)} classes")
    return ArrayData(
        name=name or f"{layout.title}-{split}",
        labels=names,
        file=root / layout.splits[split][0],
        images=images,
        classes=labels,
        published_order=True,
    )


def _layout(root: Path) -> _Layout:
    for layout in (_TEN, _HUNDRED):
        if any(_file(root, stem) for stem in layout.splits["test"]):
            return layout
    raise UserError(f"{root} holds neither test_batch (CIFAR-10) nor test (CIFAR-100); give the unpacked folder with the batches")


def _file(root: Path, stem: str) -> Path | None:
    return next((p for p in (root / stem, root / f"{stem}.bin") if p.is_file()), None)


def _batch(root: Path, stem: str, layout: _Layout, *, coarse: bool) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Images uint8 (N, 32, 32, 3) and labels int64 (N,) of one file."""
    path = _file(root, stem)
    if path is None:
        raise UserError(f"{root} has no {stem}; the split is not whole")
    if path.suffix == ".bin":
        width = 1 if layout is _TEN else 2
        rows = numpy.frombuffer(path.read_bytes(), dtype=numpy.uint8)
        if not len(rows) or len(rows) % (width + PIXELS):
            raise UserError(f"{path} has {len(rows)} bytes, no multiple of {width + PIXELS} (labels and 3 x 32 x 32 pixels)")
        rows = rows.reshape(-1, width + PIXELS)
        labels, flat = rows[:, 0 if coarse or width == 1 else 1].astype(numpy.int64), rows[:, width:]
    else:
        content = read_pickle(path)
        key = "labels" if layout is _TEN else "coarse_labels" if coarse else "fine_labels"
        data, labels = content.get("data"), _whole_numbers(path, key, content.get(key))
        if not isinstance(data, numpy.ndarray) or data.dtype != numpy.uint8 or data.shape != (len(labels), PIXELS):
            raise UserError(f"{path} holds no `data` of {len(labels)} x {PIXELS} bytes beside {key}; is it a CIFAR batch?")
        flat = data
    return numpy.ascontiguousarray(flat.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _names(root: Path, layout: _Layout, *, coarse: bool) -> list[str]:
    """Class names, of the pickle, or of the text files of the binary versions."""
    pickled = root / layout.names
    key = layout.keys[1 if coarse else 0]
    text = root / (f"{layout.names}.txt" if layout is _TEN else f"{key}s.txt")
    if pickled.is_file():
        names = read_pickle(pickled).get(key)
        if not isinstance(names, list) or not all(isinstance(n, str | bytes) for n in names):
            raise UserError(f"{pickled} has no list {key!r} of class names")
        return [n.decode("utf-8", "replace") if isinstance(n, bytes) else n for n in names]
    if text.is_file():
        return list(read_classes(text).names)
    raise UserError(f"{root} has neither {layout.names} nor {text.name}, which name the classes")


def _whole_numbers(path: Path, key: str, labels: object) -> numpy.ndarray:
    """Labels int64 (N,) of a list or an array; UserError for what would have to be rounded or read."""
    try:
        array = numpy.asarray(labels if isinstance(labels, list | numpy.ndarray) else None)
    except (ValueError, OverflowError):
        array = numpy.asarray(None)
    if array.ndim != 1 or array.dtype.kind not in ("iu" if array.size else "iuf"):  # an empty list is an array of floats
        raise UserError(f"{path} has no list {key!r} of whole numbers, one for each image; is it a CIFAR batch?")
    return array.astype(numpy.int64)
