"""YOLO's layout, as Ultralytics reads it: data.yaml, images/ and labels/ beside each other, one text file of objects an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.images import exif_fact, read_picture
from robustbench_cv.data.objects import AnnotatedObjects
from robustbench_cv.data.source import IMAGE_SUFFIXES, check_task, dataset_name, digest, list_files, sample_id
from robustbench_cv.data.yolo_labels import read_labels
from robustbench_cv.data.yolo_yaml import DataYaml, read_data_yaml
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import Task
from robustbench_cv.types import Labels, Sample


@dataset(tasks="detection")
def yolo(path: str, *, split: str = "val", task: Task = "detection", name: str | None = None, upright: bool = False) -> YoloData:
    """Detection from a YOLO data set: boxes or polygons in labels/*.txt, named by a data.yaml.

    path: the data.yaml, or the folder that holds one. split: which of its entries, "val", "train" or "test". An image without a label file
    holds no object, as Ultralytics has it. The labels of an image lie at its path with the last folder "images" replaced by "labels".

    UserError for a yaml or a split that cannot be read, and where label files have no image: their objects would be missing without a word.
    upright: turn photos as their EXIF orientation says.
    """
    check_task("yolo", task, ("detection",))
    described = read_data_yaml(Path(path).expanduser().resolve())
    images = tuple(_images(described, split))
    others = tuple(_labels_without_image(images))
    if others:
        shown = ", ".join(str(p) for p in others[:3])
        raise UserError(f"{len(others)} label files of {described.path} have no image: {shown}; add the images or delete the labels")
    stem = None if split == "val" else split
    own = name or dataset_name(described.root, stem)
    return YoloData(name=own, labels=described.labels, root=described.root, images=images, upright=upright)


@dataclass(frozen=True, eq=False, kw_only=True)
class YoloData:
    """Images with annotated objects. Regions: "objects", "class:<name>", "instance:<k>"; a box stands for an object without a polygon."""

    name: str
    labels: Labels
    root: Path
    images: tuple[Path, ...] = field(repr=False)
    upright: bool = False
    task: Task = "detection"

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, _below(self.root, path)) for path in self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        path = self.images[index]
        picture = read_picture(path, upright=self.upright)
        height, width = picture.pixels.shape[1:]
        each = read_labels(label_path(path), self.labels, height, width)
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
        """Hash of the bytes of the image and of its label file, and of the class names."""
        path = self.images[index]
        return digest(path, label_path(path), repr((self.labels.names, self.upright)))


def label_path(image: Path) -> Path:
    """Where the labels of an image lie: the last folder "images" of its path becomes "labels", the suffix .txt.

    >>> label_path(Path("/data/images/val/a.jpg")).as_posix()
    '/data/labels/val/a.txt'
    """
    parts = list(image.parts)
    places = [k for k, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return Path(*parts).with_suffix(".txt")


def _images(described: DataYaml, split: str) -> Iterator[Path]:
    """The images of a split, in the order of their paths; folders are listed, text files name one image a line."""
    found: dict[Path, None] = {}
    for entry in described.entries(split):
        for path in _listed(entry):
            if path in found:
                raise UserError(f"{described.path}: {split} names {path} twice")
            found[path] = None
    if not found:
        raise UserError(f"{described.path}: {split} holds no image; name a folder with images, or a text file with their paths")
    yield from sorted(found)


def _listed(entry: Path) -> Iterator[Path]:
    if entry.is_dir():
        yield from (entry / file for file in list_files(entry, IMAGE_SUFFIXES).files)
        return
    try:
        lines = entry.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {entry}: {error}; it is a folder of images, or a text file with one image's path a line") from error
    for line in filter(None, map(str.strip, lines)):
        # Ultralytics: what starts with ./ is relative to the text file's folder
        yield (entry.parent / line).resolve() if line.startswith("./") or not Path(line).is_absolute() else Path(line)


def _labels_without_image(images: Sequence[Path]) -> Iterator[Path]:
    """Label files beside those of the images that no image belongs to; those of images that the split leaves out are others' business."""
    folders: dict[Path, set[Path]] = {}
    for image in images:
        folders.setdefault(label_path(image).parent, set()).add(image.parent)
    for folder, holding in sorted(folders.items()):
        if not folder.is_dir() or folder in holding:
            continue
        stems = {path.stem for parent in holding for path in parent.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
        yield from (path for path in sorted(folder.glob("*.txt")) if path.stem not in stems and path.name != "classes.txt")


def _below(root: Path, path: Path) -> Path:
    """The path from the root, without its suffix; from the file system's where it lies elsewhere."""
    stem = path.with_suffix("")
    return stem.relative_to(root) if stem.is_relative_to(root) else Path(*stem.parts[1:])
