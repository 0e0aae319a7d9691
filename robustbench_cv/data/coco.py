"""COCO instances: boxes, polygon and run-length masks, crowds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from robustbench_cv.catalogue import dataset
from robustbench_cv.data.coco_json import CocoFile, CocoImage, read_coco
from robustbench_cv.data.coco_objects import read_object
from robustbench_cv.data.file_names import find_file, other_spellings, shorten
from robustbench_cv.data.images import Picture, exif_fact, read_picture
from robustbench_cv.data.objects import AnnotatedObjects
from robustbench_cv.data.source import check_task, dataset_name, digest, existing_folder, sample_id
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.files import resolved
from robustbench_cv.tasks import Task
from robustbench_cv.types import Contents, Labels, Sample


@dataset(tasks="detection", paper="arXiv:1405.0312")
def coco(
    path: str,
    *,
    images: str | None = None,
    task: Task = "detection",
    name: str | None = None,
    upright: bool = False,
    masks: bool = False,
    outlines: bool = True,
) -> CocoInstances:
    """Detection from a COCO instances JSON.

    path: the JSON file; or a folder with instances.json and images/; or an image folder as COCO lays them out (/data/coco/val2017, beside
    annotations/instances_val2017.json). images: the folder that file names are relative to, where it is none of these.
    upright: turn photos as their EXIF orientation says, for annotations that were drawn on what a viewer shows; without it pixels stay as
    they are stored. masks: let the targets carry every object's mask, which mask AP and the training of Mask R-CNN need and reading then
    draws. outlines: whether segmentations are read; without them boxes stand for the objects, and a fault in one costs nothing.
    """
    check_task("coco", task, ("detection",))
    if masks and not outlines:
        raise UserError("masks=True needs the outlines that outlines=False leaves out; drop one of them")
    annotations, folders = _locate(resolved(path))
    file = read_coco(annotations)
    root = existing_folder(images, "the images") if images else _image_root(annotations, folders, file)
    ordered = tuple(sorted(file.images, key=lambda image: image.file_name))
    return CocoInstances(
        name=name or _name(annotations),
        root=root,
        annotations=annotations,
        images=ordered,
        file=file,
        upright=upright,
        masks=masks,
        outlines=outlines,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class CocoInstances:
    """Images with annotated objects. Regions: "objects", "class:<name>", "instance:<k>"; a box stands for an object without an outline."""

    name: str
    root: Path
    annotations: Path
    images: tuple[CocoImage, ...] = field(repr=False)
    file: CocoFile = field(repr=False)
    upright: bool = False
    masks: bool = False
    outlines: bool = True
    task: Task = "detection"

    @property
    def labels(self) -> Labels:
        return self.file.labels

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(sample_id(self.name, stem) for stem in _stems(self.images))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        entry = self.images[index]
        where = f"{self.annotations}, image {entry.id!r} ({shorten(entry.file_name)!r})"
        path = find_file(self.root, entry.file_name, where)
        picture = read_picture(path, f"image {entry.id!r} of {self.annotations}{_tried_spellings(path, entry)}", upright=self.upright)
        _check_size(entry, picture, path, where)
        height, width = picture.pixels.shape[1:]
        annotations = self.file.annotations[entry.id]
        each = [read_object(a, self.file.indices, height, width, where, outlines=self.outlines) for a in annotations]
        objects = AnnotatedObjects(each, self.labels, height, width)
        facts = {"masks": "boxes"} if any(o.shape is None for o in each) else {}
        facts |= exif_fact(picture)
        return Sample(self.ids[index], picture.pixels, objects.target(masks=self.masks), objects.regions(), facts)

    def contents(self, index: int) -> Contents:
        """The classes that the file says of an image, crowds aside."""
        annotated = [a for a in self.file.annotations[self.images[index].id] if not a.iscrowd]
        return Contents.of(self.labels.names[self.file.indices[a.category_id]] for a in annotated if a.category_id in self.file.indices)

    @property
    def category_indices(self) -> Mapping[int, int]:
        """Class index by category id."""
        return self.file.indices

    def image_id(self, index: int, /) -> int | str:
        """As the JSON numbers it."""
        return self.images[index].id

    @property
    def others(self) -> None:
        """The JSON says which files belong to the data."""

    def file_of(self, index: int, /) -> Path | None:
        """The image's path; None where its name leads out of the folder."""
        try:
            return find_file(self.root, self.images[index].file_name, "")
        except BadSample:
            return None

    def fingerprint(self, index: int) -> str:
        """Hash of the image's bytes, its entry, its annotations and the categories. A file outside the root is not opened."""
        entry = self.images[index]
        how = "masks" * self.masks + "boxes alone" * (not self.outlines)
        classes = repr((self.labels.names, sorted(self.file.indices.items()), self.upright)) + how
        objects = [a.canonical() for a in self.file.annotations[entry.id]]
        return digest(self.file_of(index), msgspec.json.encode(entry), classes, *objects)


def _tried_spellings(path: Path, entry: CocoImage) -> str:
    """What else was looked for, where there is nothing."""
    others = [] if os.path.lexists(path) else other_spellings(entry.file_name)
    return f", also looked for as {' and '.join(map(repr, others))}" if others else ""


def _check_size(entry: CocoImage, picture: Picture, path: Path, where: str) -> None:
    height, width = picture.pixels.shape[1:]
    if (entry.height or height, entry.width or width) == (height, width):
        return
    hint = ""
    if (entry.width, entry.height) == (height, width):
        hint = "; EXIF turns it: read it with upright=True" if picture.orientation > 4 else ""
        hint = "; it was annotated as it is stored: leave upright out" if picture.turned else hint
    raise BadSample(f"{where} is annotated as {entry.width} x {entry.height} pixels, but {path} has {width} x {height}{hint}")


def _stems(images: tuple[CocoImage, ...]) -> Iterator[str]:
    """File names without suffix; with it where two differ in nothing else."""
    stems = [(image.path.parent / image.path.stem).as_posix() if image.path.name else f"image {image.id}" for image in images]
    count = Counter(stems)
    for stem, image in zip(stems, images, strict=True):
        yield stem if count[stem] == 1 else image.path.as_posix()


def _locate(path: Path) -> tuple[Path, list[Path]]:
    """The JSON file, and the folders that may be the image root."""
    if path.exists() and not path.is_dir():
        split = path.stem.removeprefix("instances_")
        beside = path.parent
        return path, [beside / "images", beside.parent / split, beside.parent / "images" / split, beside.parent / "images", beside]
    existing_folder(path, "instances.json and images/, or give the JSON file")
    if (path / "instances.json").exists():
        return path / "instances.json", [path / "images", path]
    for parent in path.parents[:2]:
        beside = parent / "annotations" / f"instances_{path.name}.json"
        if beside.is_file():
            return beside, [path]
    choices = sorted(p.name for p in (*path.glob("*.json"), *path.glob("annotations/*.json")))
    hint = f"; it holds {', '.join(choices[:5])}: give one of these files" if choices else ""
    raise UserError(f"{path} has neither instances.json nor ../annotations/instances_{path.name}.json{hint}")


def _image_root(annotations: Path, folders: list[Path], file: CocoFile) -> Path:
    """The first candidate in which one of the first images lies; else the first that exists and is meant for images."""
    names = [image.file_name for image in file.images[:20]]
    for folder in folders:
        if any(_lies_in(folder, name) for name in names):
            return folder
    standing = [folder for folder in folders if folder.is_dir() and folder != annotations.parent]
    if standing:
        return standing[0]
    tried = ", ".join(map(str, folders))
    raise UserError(
        f"{annotations}: no folder holds its images, such as {shorten(names[0])!r} (tried {tried}); say coco:PATH(images='...')"
    )


def _lies_in(folder: Path, name: str) -> bool:
    try:
        return os.path.lexists(find_file(folder, name, ""))
    except BadSample:
        return False


def _name(annotations: Path) -> str:
    """ "coco-val2017" of coco/annotations/instances_val2017.json, "camvid-test" of camvid/test/instances.json."""
    folder = annotations.parent.parent if annotations.parent.name == "annotations" else annotations.parent
    stem = annotations.stem.removeprefix("instances").lstrip("_")
    return dataset_name(folder, stem or None)
