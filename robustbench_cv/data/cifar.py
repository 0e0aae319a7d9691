"""CIFAR-10 and CIFAR-100 as Krizhevsky published them: batches of Python pickles, or of plain bytes."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.data.npz import ArrayData
from robustbench_cv.data.source import check_task, existing_folder
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task

PIXELS = 3 * 32 * 32

_ALLOWED = {
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
"""All that an array in a pickle is made with; a pickle that asks for more is refused, since it could run anything."""


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


@dataset(tasks="classification")
def cifar(path: str, *, split: str = "test", coarse: bool = False, task: Task = "classification", name: str | None = None) -> ArrayData:
    """Classification from the published folder of CIFAR-10 or CIFAR-100: cifar-10-batches-py, cifar-100-python, or the binary versions.

    split: "test" or "train". coarse: CIFAR-100's 20 superclasses instead of its 100 classes. Ids count the images from 0 in the published
    order, which CIFAR-10-C's arrays follow too. Pickles are read without running what they hold. UserError for any other content.
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
    names = unique_labels(_names(root, layout, coarse=coarse), str(root))
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(names):
        raise UserError(f"{root}: labels run from {labels.min()} to {labels.max()}, and there are {len(names)} classes")
    return ArrayData(
        name=name or f"{layout.title}-{split}", labels=names, file=root / layout.splits[split][0], images=images, classes=labels
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
        content = _unpickle(path)
        key = "labels" if layout is _TEN else "coarse_labels" if coarse else "fine_labels"
        data, labels = content.get("data"), numpy.asarray(content.get(key, ()), dtype=numpy.int64)
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
        names = _unpickle(pickled).get(key)
    elif text.is_file():
        names = [line.strip() for line in text.read_text(encoding="utf-8").splitlines() if line.strip()]
    else:
        raise UserError(f"{root} has neither {layout.names} nor {text.name}, which name the classes")
    if not isinstance(names, list) or not all(isinstance(n, str | bytes) for n in names):
        raise UserError(f"{pickled} has no list {key!r} of class names")
    return [n.decode() if isinstance(n, bytes) else n for n in names]


class _Unpickler(pickle.Unpickler):
    """Makes plain values and arrays, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no CIFAR batch needs")
        return super().find_class(module, name)


def _unpickle(path: Path) -> dict[str, Any]:
    try:
        content = _Unpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except (OSError, pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError, ImportError, IndexError, TypeError) as error:
        raise UserError(f"{path} cannot be read as a CIFAR batch: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}; a CIFAR batch is a dictionary")
    return {k.decode() if isinstance(k, bytes) else str(k): v for k, v in content.items()}
