"""The run folder: the one place that spells where each file of a run lies, and that keeps what need not be computed twice."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from robustbench_cv.errors import UserError
from robustbench_cv.files import PARTIAL
from robustbench_cv.kept_files import read_kept, write_kept

_LONGEST = 120
"""Bytes of a part of a file name; file systems hold 255, and encrypted ones 143."""

T = TypeVar("T")
M = TypeVar("M")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Storage(Generic[M, T]):
    """How a made value lies at a path. read: None where nothing, or nothing whole, lies there."""

    write: Callable[[Path, M], object]
    read: Callable[[Path], T | None]


@dataclass(frozen=True)
class RunFolder:
    """The files of a run by what they hold. Nothing but the whole-run files is ever changed in place; a part that exists is complete."""

    root: Path

    @property
    def run_info(self) -> Path:
        """Everything needed to repeat the run and to read its records."""
        return self.root / "run.json"

    @property
    def findings(self) -> Path:
        """What all checks said of the run."""
        return self.root / "findings.json"

    @property
    def edited(self) -> Path:
        """Edited samples that the models of a run share while it computes."""
        return self.root / "edited"

    @property
    def summary(self) -> Path:
        return self.root / "summary.csv"

    @property
    def junit(self) -> Path:
        return self.root / "junit.xml"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def report_page(self) -> Path:
        return self.report / "index.html"

    def records(self, task: str, model: str, dataset: str, condition: str) -> Path:
        """The folder of the records of a model on a data set under a condition."""
        return self.root.joinpath("records", *map(file_name, (task, model, dataset, condition)))

    @property
    def drawn(self) -> Path:
        """Pictures of the report, so that they are drawn once."""
        return self.root / "drawn"

    @property
    def estimates(self) -> Path:
        """Numbers that were made of the records, so that they are made once."""
        return self.root / "estimates.json"

    def images(self, key: str) -> Path:
        """The folder of a cell's pictures."""
        return self.root / "images" / key

    def image_index(self, key: str) -> Path:
        """What was said of each of a cell's pictures."""
        return self.images(key) / "index.json"

    def exact_images(self, key: str) -> Path:
        """A cell's edited and attacked images, unrounded."""
        return self.images(key) / "exact.safetensors"

    def cell_predictions(self, key: str) -> Path:
        """A cell's detections."""
        return self.root / "predictions" / "cells" / f"{key}.json"

    def cell_answers(self, key: str) -> Path:
        """What a classifier or a segmenter said of a cell's samples, where that was asked for."""
        return self.root / "predictions" / "cells" / f"{key}.safetensors"

    def predictions(self, model: str, dataset: str, condition: str) -> Path:
        """All detections of a model on a data set under a condition, in COCO results form."""
        parts = (model, dataset, condition)
        text = "--".join(parts)
        # A part may hold the separator itself; a space is in no plain file name, so the hash of all tells such names apart.
        unmistakable = text if not any("--" in part for part in parts) else f"{text} {digest(parts)}"
        return self.root / "predictions" / f"{file_name(unmistakable)}.json"

    def model_answers(self, key: str) -> Path:
        """What a model said of a few fixed images."""
        return self.root / "answers" / f"{key}.json"

    def model_description(self, key: str) -> Path:
        """What a plan needs to know of a model, so that it need not be built for that."""
        return self.root / "descriptions" / f"{key}.json"

    @property
    def file_hashes(self) -> Path:
        """sha256 of the files that the run reads, with their sizes and times, so that only those are read again that changed."""
        return self.root / "file-hashes.json"

    def timing(self, key: str) -> Path:
        """How long a cell took."""
        return self.root / "timings" / f"{key}.json"

    def artefact_records(self, attack: str) -> Iterator[Path]:
        """The records of everything that was fitted as an attack of this name."""
        return iter(sorted((self.root / "artefacts").glob(f"*/{file_name(attack)}.json")))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """While a run writes here. UserError where another one does. The system takes the lock from a process that dies."""
        self.root.mkdir(parents=True, exist_ok=True)
        # opened without truncating: the same run twice leaves every file as it was
        with (self.root / ".lock").open("ab") as handle:
            if not _lock(handle.fileno()):
                raise UserError(f"another run is writing to {self.root}; wait for it to end, or give this one its own folder with --out")
            yield

    def remove_partial_files(self) -> None:
        """Delete what a killed process left half written."""
        for path in self.root.rglob(f"*{PARTIAL}"):
            path.unlink(missing_ok=True)
        self.remove_edited()

    def remove_edited(self) -> None:
        """Delete the edited samples that models of a run shared."""
        if self.edited.is_dir():
            shutil.rmtree(self.edited)

    def remove_conclusions(self) -> None:
        """Delete what was concluded from all records together, where these are about to be others."""
        predictions = self.root / "predictions"
        for path in (self.findings, self.summary, self.junit, *predictions.glob("*.json"), *predictions.glob("*.csv")):
            path.unlink(missing_ok=True)
        for path in (self.report, *predictions.glob("*/")):
            if path.is_dir() and path.name != "cells":
                shutil.rmtree(path)

    def remember(self, where: str, facts: object, storage: Storage[M, T], make: Callable[[], M]) -> T:
        """What `make` makes, made once for the same facts. where: a path under the folder in which {key} stands for the facts' hash.

        The first call and every later one return what was read back, so that a resumed run goes on with the same values.
        """
        path = self.root / where.format(key=digest(facts)[:32])
        value = storage.read(path)
        if value is None:
            storage.write(path, make())
            value = storage.read(path)
            assert value is not None, f"{path} cannot be read back"
        return value


PREFLIGHT, STRENGTH_VERDICT, SAVED_IMAGES, COMPLEXITY, EXPLANATIONS, CONTEXTS, ARTEFACT = (
    "checks/{key}.json",
    "checks/strength-{key}.json",
    "checks/saved-images-{key}.json",
    "complexity/{key}.json",
    "explanations/{key}.json",
    "contexts/{key}.json",
    "artefacts/{key}",
)
"""Where RunFolder.remember keeps what the checks say before a run, of an attack, and of a cell's saved images; a model's cost; where its
answers come from; how often a data set's classes and contexts meet; what an attack was fitted to."""


def json_file(kind: type[T]) -> Storage[T, T]:
    """A value of a type that msgspec reads, in a JSON file of its own; a file that is damaged counts as missing, and is said to be."""
    return Storage(write_kept, lambda path: read_kept(path, kind))


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()


def file_name(text: str) -> str:
    """A text as part of a file name: letters, digits and "-._", at most 120 bytes, and another one for every other text.

    >>> file_name("resnet18--val--clean")
    'resnet18--val--clean'
    >>> file_name("pgd +1") != file_name("pgd -1")
    True
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-._") else "-" for c in text)
    if plain == text and 0 < len(text) <= _LONGEST and not text.startswith("."):
        return text
    return f"{plain[: _LONGEST - 9].lstrip('.')}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def _lock(handle: int) -> bool:
    """Whether the lock of an open file could be had. Where a system has no such locks, every run gets it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        logger.warning("this file system locks no files (%s): start no second run in the same folder", error)
    return True
