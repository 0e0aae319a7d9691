"""Pascal VOC's layout: Annotations/*.xml, JPEGImages, ImageSets; boxes, and label maps with objects where they are drawn."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from robustbench_cv import boxes
from robustbench_cv.arguments import shorten
from robustbench_cv.catalogue import dataset
from robustbench_cv.data.classes import read_classes
from robustbench_cv.data.images import exif_fact, read_mask, read_picture
from robustbench_cv.data.lazy_masks import LazyMasks
from robustbench_cv.data.masks import count_labels
from robustbench_cv.data.objects import AnnotatedObject, AnnotatedObjects, Pixels
from robustbench_cv.data.source import check_task, dataset_name, digest, existing_folder, sample_id
from robustbench_cv.data.voc_xml import read_annotation
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.files import decode_text, read_regular
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE, Labels, MaskTarget, Sample

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog", "horse", "motorbike"),
    *("person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
"""Of the challenges, in the devkit's order. A label map has "background" before them."""

_LARGEST_LIST = 2**26
"""Bytes of a split (project choice): a million images and more."""

_SETS: dict[Task, str] = {"detection": "Main", "segmentation": "Segmentation"}


@dataset(tasks="detection, segmentation", paper="doi:10.1007/s11263-014-0733-5")
def voc(path: str, *, split: str = "val", task: Task = "detection", classes: str | None = None, name: str | None = None) -> VocData:
    """Detection or segmentation from a Pascal VOC folder, such as VOCdevkit/VOC2012.

    split: a file of ImageSets/Main (detection) or ImageSets/Segmentation. classes: path of a list of class names, for data of your own in
    VOC's layout; otherwise the challenges' 20. Boxes of 1-based whole pixels, both ends inside, become edges: x1 - 1, y1 - 1, x2, y2.
    Objects marked difficult are crowds: what matches them counts neither way. Masks of objects are those of SegmentationObject where the
    image has them and they agree with the XML: as many objects, each at least by half inside its box. UserError for what is wrong with
    the whole, BadSample for one image.
    """
    check_task("voc", task, ("detection", "segmentation"))
    root = existing_folder(path, "Annotations, JPEGImages and ImageSets")
    listed = root / "ImageSets" / _SETS[task] / f"{split}.txt"
    names = read_classes(Path(classes).expanduser()).names if classes else CLASSES
    ids = _listed(listed)
    labels = Labels(("background", *names) if task == "segmentation" else names)
    return VocData(name=name or dataset_name(root, split), labels=labels, root=root, images=ids, task=task)


@dataclass(frozen=True, eq=False, kw_only=True)
class VocData:
    """Detection: regions "objects", "class:<name>", "instance:<k>". Segmentation: "objects" (all but the background) and "class:<name>"."""

    name: str
    labels: Labels
    root: Path
    images: tuple[str, ...] = field(repr=False)
    task: Task

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, image) for image in self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        picture = read_picture(self.file_of(index))
        if self.task == "segmentation":
            labels = self._label_map(index, picture.pixels)
            regions = LazyMasks(self._names(labels), partial(_region, labels, self.labels))
            return Sample(self.ids[index], picture.pixels, MaskTarget(labels), regions, exif_fact(picture))
        height, width = picture.pixels.shape[1:]
        each = read_annotation(self._xml(index), self.labels, height, width)
        each, facts = self._with_masks(index, each, height, width)
        objects = AnnotatedObjects(each, self.labels, height, width)
        return Sample(self.ids[index], picture.pixels, objects.target(), objects.regions(), facts | exif_fact(picture))

    @property
    def others(self) -> None:
        """ImageSets says which files belong to the data."""

    def file_of(self, index: int, /) -> Path:
        """The image's path."""
        folder, stem = self.root / "JPEGImages", self.images[index]
        return next((p for s in (".jpg", ".png", ".jpeg", ".JPG") if os.path.exists(p := folder / f"{stem}{s}")), folder / f"{stem}.jpg")

    def fingerprint(self, index: int) -> str:
        """Hash of the bytes of the image and of all that is annotated of it, and of the class names."""
        parts = [self._map(index, "SegmentationObject"), self._map(index, "SegmentationClass")]
        files = [self._xml(index), *parts] if self.task == "detection" else [parts[1]]
        return digest(self.file_of(index), *files, repr(self.labels.names))

    def _xml(self, index: int) -> Path:
        return self.root / "Annotations" / f"{self.images[index]}.xml"

    def _map(self, index: int, kind: str) -> Path:
        return self.root / kind / f"{self.images[index]}.png"

    def _label_map(self, index: int, image: Tensor) -> Tensor:
        path = self._map(index, "SegmentationClass")
        labels = read_mask(path)
        if labels.shape != image.shape[1:]:
            raise BadSample(f"{path} is {labels.shape[1]} x {labels.shape[0]} pixels, its image {image.shape[2]} x {image.shape[1]}")
        unknown = [value for value in count_labels(labels) if value != IGNORE and value >= len(self.labels)]
        if unknown:
            raise BadSample(f"{path} has class index {unknown[:5]}; there are {len(self.labels)}, and {IGNORE} means ignore")
        return labels

    def _names(self, labels: Tensor) -> tuple[str, ...]:
        present = [value for value in count_labels(labels) if value != IGNORE]
        return ("objects", *(f"class:{self.labels.names[c]}" for c in present))

    def _with_masks(self, index: int, each: list[AnnotatedObject], height: int, width: int) -> tuple[list[AnnotatedObject], dict[str, str]]:
        """The objects with the pixels of SegmentationObject, which numbers them in the order of the XML; as they are where it does not."""
        path = self._map(index, "SegmentationObject")
        if not os.path.exists(path):
            return each, {"masks": "boxes"} if each else {}
        numbers = read_mask(path)
        if numbers.shape != (height, width):
            raise BadSample(f"{path} is {numbers.shape[1]} x {numbers.shape[0]} pixels, its image {width} x {height}")
        drawn = [numbers == k + 1 for k in range(len(each))]
        strangers = [n for n in count_labels(numbers) if len(each) < n < IGNORE]
        if strangers or not all(_fits(mask, one.box) for mask, one in zip(drawn, each, strict=True)):
            return each, {"masks": "boxes"} if each else {}
        return [AnnotatedObject(one.box, one.label, one.crowd, one.area, Pixels(mask)) for one, mask in zip(each, drawn, strict=True)], {}


def _fits(mask: Tensor, box: tuple[float, float, float, float]) -> bool:
    """Whether a mask has pixels, at least half of them in the box; another's has fewer."""
    inside = mask & boxes.to_mask(torch.tensor(box), *mask.shape)
    return bool(mask.any()) and 2 * int(inside.sum()) >= int(mask.sum())


def _region(labels: Tensor, classes: Labels, name: str) -> Tensor:
    if name == "objects":
        objects: Tensor = (labels > 0) & (labels != IGNORE)
        return objects
    return torch.eq(labels, classes.index(name.removeprefix("class:")))


def _listed(path: Path) -> tuple[str, ...]:
    """The images of a split, one a line; what stands behind a name on its line (1, 0 or -1 of a class's own list) is not asked."""
    try:
        lines = decode_text(read_regular(path, _LARGEST_LIST)).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        known = sorted(p.stem for p in path.parent.glob("*.txt"))[:12] if path.parent.is_dir() else []
        raise UserError(f"cannot read {path}; choose split= among {', '.join(known) or 'the files of ImageSets'}") from error
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        raise UserError(f"{path} lists no image")
    odd = next((name for name in names if "/" in name or "\\" in name or name.startswith(".")), None)
    if odd is not None:
        raise UserError(f"{path} lists {shorten(odd)!r}, which is no name of an image in JPEGImages")
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise UserError(f"{path} lists {shorten(twice)!r} twice")
    return tuple(sorted(names))
