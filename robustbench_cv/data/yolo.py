"""YOLO's layout, as Ultralytics reads it: data.yaml, images/ and labels/ beside each other, one text file of objects an image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.images import exif_fact, read_picture
from robustbench_cv.data.objects import AnnotatedObjects
from robustbench_cv.data.source import check_task, dataset_name, digest, sample_id
from robustbench_cv.data.yolo_files import images_of, label_path, labels_without_image
from robustbench_cv.data.yolo_labels import read_labels
from robustbench_cv.data.yolo_yaml import read_data_yaml
from robustbench_cv.errors import UserError
from robustbench_cv.files import resolved
from robustbench_cv.tasks import Task
from robustbench_cv.types import Labels, Sample


@dataset(tasks="detection")
def yolo(path: str, *, split: str = "val", task: Task = "detection", name: str | None = None, upright: bool = False) -> YoloData:
    """Detection from a YOLO data set: boxes or polygons in labels/*.txt, named by a data.yaml.

    path: the data.yaml, or the folder that holds one. split: which of its entries, "val", "train" or "test". An image without a label file
    holds no object, as Ultralytics has it. The labels of an image lie at its path with the last folder "images" replaced by "labels".
    A line of five numbers is a box wherever it stands (Ultralytics 8.4 refuses files that hold polygons too). Of pose labels, which the
    yaml announces with kpt_shape, the box is read.

    UserError for a yaml or a split that cannot be read, and where label files have no image: their objects would be missing without a word.
    upright: turn photos as their EXIF orientation says.
    """
    check_task("yolo", task, ("detection",))
    described = read_data_yaml(resolved(path))
    entries = described.entries(split)
    images = tuple(images_of(described, split, entries))
    others = tuple(labels_without_image(images, entries))
    if others:
        shown = ", ".join(str(p) for p in others[:3])
        raise UserError(f"{len(others)} label files of {described.path} have no image: {shown}; add the images or delete the labels")
    stem = None if split == "val" else split
    own = name or dataset_name(described.root, stem)
    data = YoloData(
        name=own,
        labels=described.labels,
        root=_base(described.root, images),
        images=images,
        upright=upright,
        keypoints=described.keypoints,
    )
    twice = [id_ for id_, count in Counter(data.ids).items() if count > 1]
    if twice:
        raise UserError(f"{described.path} has two images called {twice[0]!r}, with accents written in two ways; rename one")
    return data


@dataclass(frozen=True, eq=False, kw_only=True)
class YoloData:
    """Images with annotated objects. Regions: "objects", "class:<name>", "instance:<k>"; a box stands for an object without a polygon.

    root: what ids are relative to. images: absolute paths below it, sorted. keypoints: numbers that follow a box in pose labels.
    """

    name: str
    labels: Labels
    root: Path
    images: tuple[Path, ...] = field(repr=False)
    upright: bool = False
    keypoints: int = 0
    task: Task = "detection"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, stem) for stem in _stems(self.root, self.images))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        path = self.images[index]
        picture = read_picture(path, upright=self.upright)
        height, width = picture.pixels.shape[1:]
        each = read_labels(label_path(path), self.labels, height, width, keypoints=self.keypoints)
        objects = AnnotatedObjects(each, self.labels, height, width)
        facts = {"masks": "boxes"} if any(o.shape is None for o in each) else {}
        return Sample(self.ids[index], picture.pixels, objects.target(), objects.regions(), facts | exif_fact(picture))

    @property
    def others(self) -> None:
        """The yaml says which files belong to the data."""

    def file_of(self, index: int, /) -> Path:
        """The image's path."""
        return self.images[index]

    def fingerprint(self, index: int) -> str:
        """Hash of the bytes of the image and of its label file, of the class names, and of how lines are read."""
        path = self.images[index]
        pose = f"{self.keypoints} of keypoints" if self.keypoints else ""
        return digest(path, label_path(path), repr((self.labels.names, self.upright)) + pose)


def _base(root: Path, images: Sequence[Path]) -> Path:
    """The root of the yaml where all images lie below it, else the folder that they share: ids say nothing of this machine's folders."""
    below = all(path.is_relative_to(root) for path in images)
    return root if below else Path(os.path.commonpath([path.parent for path in images]))


def _stems(root: Path, images: Sequence[Path]) -> Iterator[Path]:
    """Paths from the root without suffix; with it where two differ in nothing else."""
    count = Counter(path.with_suffix("") for path in images)
    for path in images:
        stem = path.with_suffix("")
        yield (stem if count[stem] == 1 else path).relative_to(root)
