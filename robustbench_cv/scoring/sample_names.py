"""Which sample of a data set a prediction is of, by what people call images: ids, numbers of a COCO file, file names, stems.

A name from a file of predictions is only ever looked up among the names that the data set's samples have: it opens no file.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from robustbench_cv.data.file_names import shorten
from robustbench_cv.data.source import FromFiles, NumbersImages
from robustbench_cv.errors import UserError
from robustbench_cv.types import Dataset

Name = str | int


@dataclass(frozen=True, eq=False)
class SampleNames:
    """Sample ids by name, the surest kind of name first. shared: names of a kind that several samples have."""

    levels: Sequence[Mapping[Name, str]]
    shared: frozenset[Name]

    def find(self, name: Name) -> str | None:
        """The sample that is called so; None where none is. UserError where several are."""
        key = _plain(name) if isinstance(name, str) else name
        for level in self.levels:
            if key in level:
                return level[key]
        if key in self.shared:
            raise UserError(f"{shorten(str(name))!r} is the name of several samples; name images by their paths in the data set, or by ids")
        return None


def names_of(dataset: Dataset, more: Sequence[Mapping[Name, str]] = ()) -> SampleNames:
    """Of every sample: its id; its number in the data's own file; its path below the data set, with and without suffix; its file's name
    and stem; and where stems are written as numbers, that number (as Ultralytics writes image_id).

    more: kinds of names that come before all but ids.
    """
    kinds: dict[str, list[tuple[Name, str]]] = {}
    numbered = isinstance(dataset, NumbersImages)
    for i, id_ in enumerate(dataset.ids):
        for kind, name in _names(dataset, i, id_):
            kinds.setdefault(kind, []).append((name, id_))
        stem = PurePosixPath(id_).stem
        if not numbered and stem.isascii() and stem.isdigit() and len(stem) < 19:
            kinds.setdefault("number", []).append((int(stem), id_))
    levels, shared = [], set[Name]()
    for pairs in kinds.values():
        count = Counter(name for name, _ in dict.fromkeys(pairs))
        levels.append({name: id_ for name, id_ in pairs if count[name] == 1})
        shared |= {name for name in count if count[name] > 1}
    return SampleNames([*levels[:1], *more, *levels[1:]], frozenset(shared))


def _names(dataset: Dataset, index: int, id_: str) -> Iterator[tuple[str, Name]]:
    """What a sample is called, by kind, the surest kind first."""
    yield "id", id_
    if isinstance(dataset, NumbersImages):
        yield "image id", dataset.image_id(index)
        yield "image id as text", str(dataset.image_id(index))
    below = id_.partition("/")[2] or id_
    yield "path", below
    yield "path without suffix", without_suffix(below)
    path = dataset.file_of(index) if isinstance(dataset, FromFiles) else None
    file = unicodedata.normalize("NFC", path.name) if path is not None else below
    yield "file name", PurePosixPath(file).name
    yield "stem", PurePosixPath(file).stem


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.replace("\\", "/").removeprefix("./"))


def without_suffix(name: str) -> str:
    """A path as it is written without what is behind its last dot.

    >>> without_suffix("val/a.b.png")
    'val/a.b'
    """
    path = PurePosixPath(name)
    return (path.parent / path.stem).as_posix()


def images(count: int) -> str:
    """
    >>> images(1), images(1200)
    ('1 image', '1,200 images')
    """
    return f"{count:,} image{'' if count == 1 else 's'}"


@dataclass(frozen=True, eq=False)
class Strangers:
    """Names in a file of predictions that no sample has."""

    names: Sequence[str]
    source: str
    dataset: str

    def refuse(self) -> None:
        """UserError naming the first of them, where there are any."""
        if self.names:
            some = ", ".join(repr(shorten(name)) for name in self.names[:3])
            raise UserError(
                f"{self.source} has predictions of {images(len(self.names))} that {self.dataset!r} does not hold, such as {some}; is it "
                "the right data? --extra ignore passes over them, and says how many"
            )


def strangers(names: Iterable[Name], known: SampleNames, source: str, dataset: str) -> Strangers:
    """Those of the names that no sample has, each once."""
    return Strangers([str(name) for name in dict.fromkeys(names) if known.find(name) is None], source, dataset)
