"""What a plan needs to know of a model, so that a model is built to plan a run only where nothing tells what it would be.

A description is kept in the run folder. It holds for a later call where all that the model was built from is known and the same: the code
(see dependencies), and the bytes of every file that was read while it was built. Nothing is kept of a model that was built by anyone's own
code, which may read what nobody sees, or by a library that keeps its downloads where nothing names them: such a model is built at each
call, asked, and let go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from robustbench_cv.bundled_weights import cache
from robustbench_cv.code_lookups import Lookup, recorded_lookups
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.models.labels import require_classes
from robustbench_cv.recorded_reads import recorded_reads
from robustbench_cv.results import ModelRow
from robustbench_cv.run_folder import RunFolder, digest, json_file
from robustbench_cv.runner import supervisor_messages
from robustbench_cv.runner.cell_code import model_code
from robustbench_cv.runner.dependencies import Dependencies, DependencyReader
from robustbench_cv.runner.model_identity import OWN_TRIED, identify
from robustbench_cv.runner.model_pool import ModelPool, model_row
from robustbench_cv.types import Dataset

_BUILDER = "robustbench_cv.models.build"
_OURS = "robustbench_cv."


class ModelDescription(msgspec.Struct):
    """What is kept of a model. modules: those whose factories were looked up to build it. files: sha256 by path of what was read.

    answers: what it says of a few images (see model_identity), by the data set and its first samples.
    """

    row: ModelRow
    modules: list[tuple[str, str]]
    code_sha256: str
    files: dict[str, str]
    answers: dict[str, str]


@dataclass(frozen=True, eq=False)
class Described:
    """A model as a plan knows it: its row, and the code that it was built from."""

    row: ModelRow
    code: Dependencies


class ModelDescriber:
    """Describes each model once in a call, from the run folder where that can be, else by building it."""

    def __init__(self, pool: ModelPool, device: str, reader: DependencyReader, folder: RunFolder | None) -> None:
        self._pool, self._device, self._reader, self._folder = pool, device, reader, folder
        self._described: dict[str, Described] = {}
        self._kept: dict[str, ModelDescription] = {}
        self._answers: dict[tuple[str, str], str] = {}

    def describe(self, spec: str) -> Described:
        """The model of a spec, or one that was handed over under it. UserError for one that names no classes."""
        if spec not in self._described:
            self._described[spec] = self._from_folder(spec) or self._from_model(spec)
            path = None if self._folder is None else self._path(self._folder, spec)
            self._pool.expect(self._described[spec].row, partial(_remove, path))
        return self._described[spec]

    def answers(self, spec: str, dataset: Dataset, indices: Sequence[int], fingerprints: Sequence[str]) -> str:
        """A name for what the model says of a few images, fixed ones and some of these samples."""
        row = self.describe(spec).row
        key = digest([dataset.name, fingerprints[:OWN_TRIED]])[:32]
        if (spec, key) not in self._answers:
            kept = self._kept.get(spec)
            known = kept and kept.answers.get(key)
            if not known:
                model = self._pool.get(spec)
                with supervisor_messages.step("answers", f"model {row.name!r}, asked about a few images"):
                    known = identify(self._folder, [row, dataset.name], model, dataset, indices, self._device)
                if kept and self._folder:
                    kept.answers[key] = known
                    self._storage.write(self._path(self._folder, spec), kept)
            self._answers[spec, key] = known
        return self._answers[spec, key]

    _storage = json_file(ModelDescription)

    def _from_folder(self, spec: str) -> Described | None:
        if self._folder is None or self._pool.is_given(spec):
            return None
        kept: ModelDescription | None = self._storage.read(self._path(self._folder, spec))
        if kept is None or kept.row.spec != spec or _hashes([*map(Path, kept.files)]) != kept.files:
            return None
        lookups = [Lookup(kind, module) for kind, module in kept.modules]
        code = self._read_code(lookups)
        if code is None or code.sha256 != kept.code_sha256:
            return None
        self._kept[spec] = kept
        return Described(kept.row, code)

    def _read_code(self, lookups: Sequence[Lookup]) -> Dependencies | None:
        """None where a module is no longer there."""
        try:
            return self._reader.of(lookups) | self._reader.of([_BUILDER])
        except ValueError:
            return None

    def _from_model(self, spec: str) -> Described:
        if self._pool.is_given(spec):
            model = self._pool.get(spec)
            require_classes(model.info.name, model.info.classes.names)
            return Described(model_row(spec, model), model_code(self._reader, model))
        with recorded_lookups() as lookups, recorded_reads() as reads:
            model = self._pool.get(spec)
        require_classes(model.info.name, model.info.classes.names)
        described = Described(model_row(spec, model), self._reader.of(lookups) | self._reader.of([_BUILDER]))
        files = _hashes(reads)
        if self._folder is not None and files is not None and all(map(_is_ours, lookups)):
            modules = [(lookup.kind, lookup.module) for lookup in lookups]
            self._kept[spec] = ModelDescription(described.row, modules, described.code.sha256, files, {})
        return described

    def _path(self, folder: RunFolder, spec: str) -> Path:
        # Paths in a spec are seen from the working directory, and a tag's weights may lie in the cache.
        return folder.model_description(digest([spec, self._device.partition(":")[0], str(Path.cwd()), str(cache())])[:32])


def _remove(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)


def _is_ours(lookup: Lookup) -> bool:
    """Whether a part of a model was built by this package, of nothing but code and files: not from a data set."""
    return lookup.path is None and lookup.kind in ("model", "package") and (lookup.kind == "package" or lookup.module.startswith(_OURS))


def _hashes(paths: Sequence[Path | None]) -> dict[str, str] | None:
    """sha256 by path; None where one of the files is not known, or cannot be read."""
    try:
        return {str(path): file_sha256(path).hex() for path in paths if path is not None} if None not in paths else None
    except (OSError, ValueError):
        return None


__all__ = ["Described", "ModelDescriber", "ModelDescription"]
