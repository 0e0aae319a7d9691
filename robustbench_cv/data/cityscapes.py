"""Cityscapes: leftImg8bit and gtFine, its 19 evaluated classes, and the instances of the eight that are countable."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import Tensor

from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import dataset
from robustbench_cv.data.images import read_mask, read_picture
from robustbench_cv.data.lazy_masks import LazyMasks
from robustbench_cv.data.masks import count_labels
from robustbench_cv.data.objects import AnnotatedObject, AnnotatedObjects, Pixels
from robustbench_cv.data.source import check_task, dataset_name, digest, existing_folder, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.files import open_regular
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE, Labels, MaskTarget, Sample

TRAIN_IDS = {
    7: "road",
    8: "sidewalk",
    11: "building",
    12: "wall",
    13: "fence",
    17: "pole",
    19: "traffic light",
    20: "traffic sign",
    21: "vegetation",
    22: "terrain",
    23: "sky",
    24: "person",
    25: "rider",
    26: "car",
    27: "truck",
    28: "bus",
    31: "train",
    32: "motorcycle",
    33: "bicycle",
}
"""Names of the evaluated classes by label id, in the order of their train ids 0 to 18 (cityscapesScripts, helpers/labels.py)."""

THINGS = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Classes with instances. An instance's pixels are label id x 1000 + number; a group that nobody took apart has the bare label id."""

_LARGEST_ID = 33

_NOTHING = 65_535
"""The label id -1 in 16 bits."""


@dataset(tasks="segmentation, detection", paper="arXiv:1604.01685")
def cityscapes(path: str, *, split: str = "val", task: Task = "segmentation", name: str | None = None) -> Cityscapes:
    """Segmentation or detection from Cityscapes: leftImg8bit/<split>/<city>/ and gtFine/<split>/<city>/.

    Segmentation: the 19 evaluated classes of *_gtFine_labelIds.png, all others ignored. Detection: boxes and masks of the eight classes
    with instances (*_gtFine_instanceIds.png); groups that nobody took apart are crowds. UserError where a folder is missing or holds no
    image.
    """
    check_task("cityscapes", task, ("segmentation", "detection"))
    root = existing_folder(path, "leftImg8bit and gtFine")
    images = root / "leftImg8bit" / split
    if not images.is_dir():
        there = [p.name for p in sorted((root / "leftImg8bit").glob("*")) if p.is_dir()]
        raise UserError(f"{images} does not exist; choose split= among {', '.join(there) or 'train, val and test'}")
    files = tuple(sorted(p.relative_to(images) for p in images.glob("*/*_leftImg8bit.png")))
    if not files:
        raise UserError(f"{images} holds no <city>/*_leftImg8bit.png")
    labels = Labels(tuple(TRAIN_IDS.values()) if task == "segmentation" else THINGS)
    return Cityscapes(name=name or dataset_name(root, split), labels=labels, root=root, split=split, files=files, task=task)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cityscapes:
    """Segmentation: regions "objects" and "class:<name>". Detection: "objects", "class:<name>", "instance:<k>"."""

    name: str
    labels: Labels
    root: Path
    split: str
    files: tuple[Path, ...] = field(repr=False)
    task: Task

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, file.parent / file.name.removesuffix("_leftImg8bit.png")) for file in self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        picture = read_picture(self.file_of(index))
        height, width = picture.pixels.shape[1:]
        path = self._annotation(index)
        if self.task == "detection":
            objects = AnnotatedObjects(_instances(_read_ids(path, height, width), self.labels), self.labels, height, width)
            return Sample(self.ids[index], picture.pixels, objects.target(), objects.regions())
        ids = read_mask(path)
        _same_size(path, tuple(ids.shape), height, width)
        labels = _train_ids(path, ids)
        present = [value for value in count_labels(labels) if value != IGNORE]
        regions = LazyMasks(("objects", *(f"class:{self.labels.names[c]}" for c in present)), partial(_region, labels, self.labels))
        return Sample(self.ids[index], picture.pixels, MaskTarget(labels), regions)

    @property
    def others(self) -> None:
        """The names say which files belong to the data."""

    def file_of(self, index: int, /) -> Path:
        """The image's path."""
        return self.root / "leftImg8bit" / self.split / self.files[index]

    def fingerprint(self, index: int) -> str:
        """Hash of the bytes of image and annotation, and of the class names."""
        return digest(self.file_of(index), self._annotation(index), repr(self.labels.names))

    def _annotation(self, index: int) -> Path:
        file = self.files[index]
        kind = "labelIds" if self.task == "segmentation" else "instanceIds"
        stem = file.name.removesuffix("_leftImg8bit.png")
        return self.root / "gtFine" / self.split / file.parent / f"{stem}_gtFine_{kind}.png"


def _train_ids(path: Path, ids: Tensor) -> Tensor:
    """Label ids to train ids, 255 for what is not evaluated. BadSample for an id beyond Cityscapes' own."""
    odd = [v for v in count_labels(ids) if v > _LARGEST_ID and v != IGNORE]
    if odd:
        raise BadSample(f"{path} has label id {odd[:5]}; Cityscapes' go to {_LARGEST_ID} (is it a map of train ids or of colours?)")
    table = torch.full((256,), IGNORE)
    for train_id, label_id in enumerate(TRAIN_IDS):
        table[label_id] = train_id
    return table[ids]


def _read_ids(path: Path, height: int, width: int) -> numpy.ndarray:
    """Instance ids, int64 (H, W), of a PNG of 16 or 32 bits."""
    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG",)) as image:
            _same_size(path, (image.height, image.width), height, width)
            ids = numpy.array(image).astype(numpy.int64)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadSample(f"cannot read {path}: {error}; every image has its *_gtFine_instanceIds.png") from error
    _same_size(path, ids.shape, height, width)
    odd = [v for v in numpy.unique(ids).tolist() if (v if v < 1000 else v // 1000) > _LARGEST_ID and v != _NOTHING]
    if odd:
        raise BadSample(f"{path} has instance id {odd[:5]}; it is a label id up to {_LARGEST_ID}, or one x 1000 + number")
    return ids


def _same_size(path: Path, shape: tuple[int, ...], height: int, width: int) -> None:
    if shape != (height, width):
        raise BadSample(f"{path} has {' x '.join(map(str, reversed(shape)))} pixels, its image {width} x {height}")


def _instances(ids: numpy.ndarray, labels: Labels) -> list[AnnotatedObject]:
    """The objects in the rising order of their ids."""
    found = []
    for value in numpy.unique(ids).tolist():
        group = value < 1000
        name = TRAIN_IDS.get(value if group else value // 1000)
        if name in labels.names:
            mask = torch.from_numpy(ids == value)
            x1, y1, x2, y2 = (float(v) for v in from_mask(mask))
            found.append(AnnotatedObject((x1, y1, x2, y2), labels.index(name), group, float(mask.sum()), Pixels(mask)))
    return found


def _region(labels: Tensor, classes: Labels, name: str) -> Tensor:
    if name == "objects":
        return torch.isin(labels, torch.tensor([classes.index(thing) for thing in THINGS]))
    return torch.eq(labels, classes.index(name.removeprefix("class:")))
