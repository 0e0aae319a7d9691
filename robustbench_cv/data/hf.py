"""Data sets in the Hugging Face format, from a folder: parquet files, an image folder with metadata, or what save_to_disk() writes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import read_classes, unique_labels
from robustbench_cv.data.coco_json import Annotation
from robustbench_cv.data.coco_objects import read_object
from robustbench_cv.data.images import Picture, exif_fact, read_mask, read_picture
from robustbench_cv.data.lazy_masks import LazyMasks
from robustbench_cv.data.masks import count_labels
from robustbench_cv.data.objects import AnnotatedObject, AnnotatedObjects
from robustbench_cv.data.source import dataset_name, digest, existing_folder, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.models.optional_import import need
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE, ClassTarget, Labels, MaskTarget, Sample

Boxes = Literal["xywh", "xyxy"]

_SPLITS = ("test", "validation", "val", "dev")
"""In which order a split is chosen where several are there and none is asked for (project choice: never the one to train on)."""


@dataset(tasks="classification, segmentation, detection")
def hf(
    path: str,
    *,
    task: Task = "classification",
    split: str | None = None,
    image: str | None = None,
    label: str | None = None,
    classes: str | None = None,
    boxes: Boxes = "xywh",
    name: str | None = None,
) -> HfData:
    """A Hugging Face data set in a folder of this machine: a clone of a repository of the hub, or what save_to_disk() writes.

    split: None is test, validation, val or dev, the first that is there, or the only one. image: its column of images, label: the one of
    class labels (classification), of masks of class indices with 255 to ignore (segmentation), or of objects, each with "bbox" and
    "category" (detection); None is the only one of that kind. boxes: "xywh" (COCO's, as most are) or "xyxy", in pixels. classes: a text
    file with a class name a line, where the columns name none. Nothing is downloaded, and no code of the folder runs; the library
    keeps what it converts in its own cache (HF_DATASETS_CACHE).
    """
    library = need("datasets", "hf: data")
    root = existing_folder(path, "a data set in the Hugging Face format")
    table = _split(_load(library, root), root, split)
    columns = _columns(library, table.features, root, task, image, label)
    labels = read_classes(Path(classes).expanduser()) if classes else _labels(columns.names, root, columns.label)
    table = table.select_columns([columns.image, columns.label])
    for column in (columns.image, *([columns.label] if task == "segmentation" else [])):
        table = table.cast_column(column, library.Image(decode=False))
    own = str(table.split) if table.split is not None else None
    return HfData(
        name=name or dataset_name(root, f"{root.name}-{own}" if own else None),
        labels=labels,
        root=root,
        table=table,
        columns=columns,
        boxes=boxes,
        task=task,
    )


@dataclass(frozen=True)
class Columns:
    """Which column holds what. names: of the classes, where the data say so. category: of an object, the field with its class."""

    image: str
    label: str
    names: tuple[str, ...] = ()
    category: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class HfData:
    """Rows of a split, decoded when they are read. Regions: of detection "objects", "class:<name>", "instance:<k>", of segmentation
    "class:<name>"."""

    name: str
    labels: Labels
    root: Path
    table: Any = field(repr=False)
    columns: Columns
    boxes: Boxes = "xywh"
    task: Task = "classification"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, f"{i:06d}") for i in range(len(self)))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Sample:
        row = self.table[index]
        picture = self._picture(row, index)
        if self.task == "classification":
            return Sample(self.ids[index], picture.pixels, ClassTarget(self._label(row, index)), attributes=exif_fact(picture))
        if self.task == "segmentation":
            return self._segmented(row, index, picture)
        height, width = picture.pixels.shape[1:]
        objects = AnnotatedObjects(self._objects(row, index, height, width), self.labels, height, width)
        return Sample(self.ids[index], picture.pixels, objects.target(), objects.regions(), {"masks": "boxes"} | exif_fact(picture))

    def fingerprint(self, index: int) -> str:
        """Hash of the bytes of the image, of its annotation, of the class names and of how boxes are read."""
        row = self.table[index]
        image, mark = self._stored(row[self.columns.image], index), row[self.columns.label]
        marked = self._stored(mark, index) if self.task == "segmentation" else repr(mark)
        return digest(image, marked, repr((self.labels.names, self.boxes)))

    def _stored(self, cell: Mapping[str, Any] | None, index: int) -> bytes | Path | None:
        """An image as it is kept: its bytes, or its file inside the folder. BadSample for a file outside."""
        if cell is None or cell.get("bytes") is not None:
            return None if cell is None else bytes(cell["bytes"])
        path = Path(os.path.normpath(self.root / (cell.get("path") or "")))
        if not path.is_relative_to(self.root):
            raise BadSample(f"{self.root}, row {index}: the image {str(path)!r} lies outside this folder")
        return path

    def _picture(self, row: Mapping[str, Any], index: int) -> Picture:
        stored = self._stored(row[self.columns.image], index)
        if stored is None:
            raise BadSample(f"{self.root}, row {index}: column {self.columns.image!r} has no image")
        if isinstance(stored, Path):
            return read_picture(stored)
        return read_picture(self.root, f"row {index}", data=stored)

    def _label(self, row: Mapping[str, Any], index: int) -> int:
        value = row[self.columns.label]
        if not isinstance(value, int) or not 0 <= value < len(self.labels):
            raise BadSample(f"{self.root}, row {index}: {self.columns.label} is {value!r}; labels run from 0 to {len(self.labels) - 1}")
        return value

    def _segmented(self, row: Mapping[str, Any], index: int, picture: Picture) -> Sample:
        stored = self._stored(row[self.columns.label], index)
        if stored is None:
            raise BadSample(f"{self.root}, row {index}: column {self.columns.label!r} has no mask")
        mask = read_mask(stored) if isinstance(stored, Path) else read_mask(self.root, f"row {index}, mask", data=stored)
        if mask.shape != picture.pixels.shape[1:]:
            sizes = [" x ".join(map(str, reversed(size))) for size in (mask.shape, picture.pixels.shape[1:])]
            raise BadSample(f"{self.root}, row {index}: the mask is {sizes[0]} pixels, but its image is {sizes[1]}")
        present = [value for value in count_labels(mask) if value != IGNORE]
        unknown = [value for value in present if not 0 <= value < len(self.labels)]
        if unknown:
            raise BadSample(
                f"{self.root}, row {index}: the mask has class index {unknown[:5]}, but classes run from 0 to {len(self.labels) - 1}"
            )
        names = tuple(f"class:{self.labels.names[value]}" for value in present)
        regions = LazyMasks(names, partial(_region, mask, self.labels))
        return Sample(self.ids[index], picture.pixels, MaskTarget(mask), regions, exif_fact(picture))

    def _objects(self, row: Mapping[str, Any], index: int, height: int, width: int) -> list[AnnotatedObject]:
        found = _each(row[self.columns.label])
        indices = {k: k for k in range(len(self.labels))}
        annotations = [
            Annotation(
                id=k,
                image_id=index,
                category_id=one[self.columns.category],
                bbox=_xywh(one.get("bbox"), self.boxes),
                iscrowd=int(one.get("iscrowd") or 0),
            )
            for k, one in enumerate(found)
        ]
        return [read_object(a, indices, height, width, f"{self.root}, row {index}", outlines=False) for a in annotations]


def _region(mask: torch.Tensor, classes: Labels, name: str) -> torch.Tensor:
    return torch.eq(mask, classes.index(name.removeprefix("class:")))


def _each(objects: Any) -> list[Mapping[str, Any]]:
    """Objects one by one, from a list of them or from a list for each of their fields."""
    if isinstance(objects, Mapping):
        return [dict(zip(objects, values, strict=True)) for values in zip(*objects.values(), strict=True)]
    return list(objects or [])


def _xywh(box: Any, boxes: Boxes) -> Any:
    if boxes == "xywh" or not isinstance(box, Sequence) or len(box) != 4:
        return list(box) if isinstance(box, Sequence) else box
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]


def _load(library: Any, root: Path) -> Mapping[str | None, Any]:
    """Splits by name; one without a name under None."""
    library.disable_progress_bars()
    try:
        if (root / "dataset_dict.json").is_file() or (root / "state.json").is_file():
            made = library.load_from_disk(str(root))
        else:
            made = library.load_dataset(str(root))
    except Exception as error:  # whatever the library and the readers below it raise for a damaged or foreign folder
        raise UserError(
            f"{root} cannot be read as a Hugging Face data set: {str(error).splitlines()[0] if str(error) else error!r}"
        ) from error
    return made if isinstance(made, Mapping) else {None: made}


def _split(splits: Mapping[str | None, Any], root: Path, wanted: str | None) -> Any:
    names = ", ".join(map(str, splits))
    if wanted is not None and wanted not in splits and not (None in splits and str(splits[None].split) == wanted):
        raise UserError(f"{root} has no split {wanted!r}; it has {names}")
    chosen = wanted if wanted in splits else next((s for s in _SPLITS if s in splits), None)
    if chosen is None and len(splits) > 1:
        raise UserError(f"{root} has the splits {names}; say which: hf:{root}(split={str(next(iter(splits)))!r})")
    table = splits[chosen] if chosen in splits else next(iter(splits.values()))
    if not len(table):
        raise UserError(f"{root}: its split has no rows")
    return table


def _columns(library: Any, features: Mapping[str, Any], root: Path, task: Task, image: str | None, label: str | None) -> Columns:
    pictures = [c for c, kind in features.items() if isinstance(kind, library.Image)]
    marks = {
        "classification": [c for c, kind in features.items() if isinstance(kind, library.ClassLabel)],
        "segmentation": [c for c in pictures if c not in (image, "image", "img", "pixel_values")],
        "detection": [c for c, kind in features.items() if "bbox" in (_fields(kind) or {})],
    }[task]
    mark = _chosen(root, features, label, marks, "label", _NEEDED[task])
    seen = _chosen(root, features, image, [c for c in pictures if task != "segmentation" or c != mark], "image", "images")
    if task == "classification":
        names = getattr(features[mark], "names", None) or ()
        return Columns(seen, mark, tuple(names))
    if task == "segmentation":
        return Columns(seen, mark)
    fields = _fields(features[mark]) or {}
    category = next((c for c in ("category", "category_id", "label", "labels") if c in fields), None)
    if category is None or "bbox" not in fields:
        raise UserError(f"{root}: the objects of {mark!r} have {', '.join(fields) or 'no fields'}; they need bbox and category")
    return Columns(seen, mark, tuple(getattr(_element(fields[category]), "names", None) or ()), category)


_NEEDED = {
    "classification": "class labels",
    "segmentation": "masks of class indices beside the images",
    "detection": 'objects with "bbox" and "category"',
}


def _chosen(root: Path, features: Mapping[str, Any], asked: str | None, fitting: Sequence[str], argument: str, what: str) -> str:
    if asked is not None:
        if asked not in features:
            raise UserError(f"{root} has no column {asked!r}; it has {', '.join(features)}")
        return asked
    if len(fitting) != 1:
        there = f"several columns of {what}: {', '.join(fitting)}" if fitting else f"no column of {what} (it has {', '.join(features)})"
        raise UserError(f"{root} has {there}; say which: {argument}='...'")
    return fitting[0]


def _fields(kind: Any) -> Mapping[str, Any] | None:
    """The fields of an object, of a feature that lists objects in either way."""
    element = _element(kind)
    return element if isinstance(element, Mapping) else None


def _element(kind: Any) -> Any:
    return getattr(kind, "feature", kind)


def _labels(names: Sequence[str], root: Path, column: str) -> Labels:
    if not names:
        raise UserError(f"{root}: column {column!r} names no classes; give them one a line: classes='classes.txt'")
    return unique_labels(names, f"{root}, column {column!r}")
