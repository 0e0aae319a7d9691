"""COCO's JSON file: read once, checked for what concerns the whole file, segmentations left as text until their sample is read."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from robustbench_cv.arguments import shorten
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.data.json_files import read_json
from robustbench_cv.errors import UserError
from robustbench_cv.msgspec_messages import in_words, place
from robustbench_cv.types import Labels


class CocoImage(msgspec.Struct, frozen=True):
    """One entry of "images"."""

    id: int | str
    file_name: str
    height: int | None = None
    width: int | None = None

    @property
    def path(self) -> PurePosixPath:
        """The file name with "/" between folders and composed characters, whatever system wrote it."""
        return PurePosixPath(unicodedata.normalize("NFC", self.file_name.replace("\\", "/")))


class Annotation(msgspec.Struct, frozen=True):
    """One entry of "annotations". What is typed Any is checked when its image is read, so that a fault costs one sample."""

    image_id: int | str
    category_id: int
    id: int | str | None = None
    bbox: Any = None
    area: Any = None
    iscrowd: Any = 0
    segmentation: msgspec.Raw = msgspec.Raw()

    @property
    def shape(self) -> Any:
        """The segmentation, parsed; None where there is none."""
        return msgspec.json.decode(self.segmentation) if len(bytes(self.segmentation)) else None

    def canonical(self) -> bytes:
        """The entry as text that does not depend on how the file was laid out, for hashing."""
        try:
            outline = msgspec.json.encode(self.shape)
        except (ValueError, msgspec.DecodeError):  # not readable as a mask either, which is reported when the sample is read
            outline = bytes(self.segmentation)
        return msgspec.json.encode(msgspec.structs.replace(self, segmentation=msgspec.Raw(b"null"))) + outline


class Category(msgspec.Struct, frozen=True):
    """One entry of "categories"."""

    id: int
    name: str


class _File(msgspec.Struct, frozen=True):
    images: list[CocoImage]
    annotations: list[Annotation]
    categories: list[Category]


@dataclass(frozen=True, eq=False)
class CocoFile:
    """A checked file. indices: class index by category id (ids may have gaps); annotations: by image id, in the order of the file."""

    images: tuple[CocoImage, ...]
    labels: Labels
    indices: Mapping[int, int]
    annotations: Mapping[int | str, tuple[Annotation, ...]]


def read_coco(path: Path) -> CocoFile:
    """Parse and check. UserError, with line and column, for broken JSON, and for ids that are missing, double or point nowhere.

    NaN and infinity, which are no JSON but which many programs write, stand as text where they were: harmless in what nobody reads, and
    refused with their object where a number is needed.
    """
    file = _parse(path)
    if not file.images:
        raise UserError(f"{path} lists no images; a data set needs at least one")
    if not file.categories:
        raise UserError(f"{path} lists no categories; annotations need class names")
    _refuse_doubles(path, "image id", (image.id for image in file.images))
    _refuse_doubles(path, "file_name", (image.path for image in file.images))
    _refuse_doubles(path, "annotation id", (a.id for a in file.annotations if a.id is not None))
    _refuse_doubles(path, "category id", (c.id for c in file.categories))
    categories = sorted(file.categories, key=lambda c: c.id)
    labels = unique_labels([c.name for c in categories], f"{path}: categories")
    return CocoFile(tuple(file.images), labels, {c.id: i for i, c in enumerate(categories)}, _by_image(path, file))


def _parse(path: Path) -> _File:
    text = read_json(path, "a COCO instances JSON")
    try:
        return msgspec.json.decode(text.content, type=_File)
    except msgspec.ValidationError as error:
        odd = f" ({text.first_odd_number})" if text.first_odd_number else ""
        raise UserError(_misfit(path, text.content, error, odd)) from error
    except msgspec.DecodeError as error:
        # Its own words for a lone surrogate are that the text is cut off.
        halves = "; does a text in it hold half of a character, such as \\ud800 without its other half?" if b"\\ud" in text.content else ""
        raise UserError(f"{path} cannot be read: {error}{halves}") from error


_WANTED = {
    "images": {"id": "a whole number or text", "file_name": "the path of the image in the folder, as text",
               "height": "a whole number of pixels", "width": "a whole number of pixels"},
    "annotations": {"image_id": "the id of one of the images", "category_id": "the whole number of one of the categories",
                    "id": "a whole number or text"},
    "categories": {"id": "a whole number", "name": "the name of a class, as text"},
}  # fmt: skip
"""What the keys of each list hold."""


def _misfit(path: Path, content: bytes, error: msgspec.ValidationError, odd: str) -> str:
    """Which entry and key does not fit, what stands there, and what should."""
    at = place(error)
    if len(at) < 2 or at[0] not in _WANTED or not isinstance(at[1], int):
        where = f"{at[0]!r}: " if at else ""
        return f"{path} is not a COCO instances file: {where}{in_words(error)}{odd}; it has lists of images, annotations and categories"
    kind, k = str(at[0]), at[1]
    wanted = _WANTED[kind]
    entry = msgspec.json.decode(msgspec.json.decode(content, type=dict[str, msgspec.Raw])[kind], type=list[msgspec.Raw])[k]
    where = f"{path}, entry {k} of {kind!r} (counted from 0)"
    if not bytes(entry).lstrip().startswith(b"{"):
        return f"{where} is {_shown(entry)}{odd}, and must be an object with {', '.join(map(repr, wanted))}"
    values = msgspec.json.decode(entry, type=dict[str, msgspec.Raw])
    where += f", with the id {_shown(values['id'])}" if "id" in values and at[2:3] != ["id"] else ""
    if len(at) == 2:
        key = next((key for key in wanted if f"`{key}`" in str(error)), "")
        return f"{where}, has no {key!r}, which is {wanted.get(key, 'needed')}; add it, or remove the entry"
    key = str(at[2])
    should = f", and must be {wanted[key]}" if key in wanted else f"; {in_words(error)}"
    return f"{where}: {key} is {_shown(values[key])}{odd}{should}"


def _shown(raw: msgspec.Raw) -> str:
    return shorten(bytes(raw).decode())


def _refuse_doubles(path: Path, what: str, values: Iterable[Hashable]) -> None:
    double = [value for value, count in Counter(values).items() if count > 1]
    if double:
        raise UserError(f"{path}: {what} {str(double[0])[:200]!r} comes more than once ({len(double)} such); each must be unique")


def _by_image(path: Path, file: _File) -> dict[int | str, tuple[Annotation, ...]]:
    grouped: dict[int | str, list[Annotation]] = {image.id: [] for image in file.images}
    strays = [a for a in file.annotations if a.image_id not in grouped]
    if strays:
        raise UserError(
            f"{path}: annotation {strays[0].id!r} is of image id {strays[0].image_id!r}, which the file does not list "
            f"({len(strays)} such); list the images or remove the annotations"
        )
    for annotation in file.annotations:
        grouped[annotation.image_id].append(annotation)
    return {image: tuple(annotations) for image, annotations in grouped.items()}
