"""Answers of classifiers as a CSV: `id` and a column of scores for each class, or `id,label` alone.

The class scores are probabilities or logits, as the user says: numbers do not tell which. With labels alone the metrics that ask for more
than the answer itself mean nothing, and are refused where they are asked for.
"""

from __future__ import annotations

import csv
import errno
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyarrow
import pyarrow.csv
import torch

from robustbench_cv.arrow_memory import readable
from robustbench_cv.data.class_names import unknown_name
from robustbench_cv.data.classes import unique_labels
from robustbench_cv.errors import UserError
from robustbench_cv.file_hashes import file_sha256
from robustbench_cv.files import decode_text, read_regular
from robustbench_cv.scoring.reading import Read, Reading
from robustbench_cv.types import ClassPrediction, Labels

SUM_TOLERANCE = 1e-2
"""How far the sum of a row of probabilities may be from 1 (project choice): files are written with few digits."""

NAMING = ("id", "file")
"""What the column that names images may be called; `file` is what `render` writes in classes.csv."""

LABEL_METRICS = ("top-1", "hallucination-rate")
"""Metrics of which the answer alone is enough."""

_LARGEST_BYTES = 2**32


@dataclass(frozen=True, eq=False)
class ClassScores:
    """Probabilities float32 (N, C), and the row of each sample."""

    rows: Mapping[str, int]
    probs: torch.Tensor

    def of(self, sample: str, height: int, width: int, /) -> ClassPrediction | None:
        return ClassPrediction(self.probs[self.rows[sample]]) if sample in self.rows else None


@dataclass(frozen=True, eq=False)
class ClassLabels:
    """Class index by sample id. All probability stands at the answer, since nothing else is known."""

    labels: Mapping[str, int]
    classes: int

    def of(self, sample: str, height: int, width: int, /) -> ClassPrediction | None:
        if sample not in self.labels:
            return None
        probs = torch.zeros(self.classes)
        probs[self.labels[sample]] = 1
        return ClassPrediction(probs)


def read_class_scores(path: Path, reading: Reading) -> Read:
    """UserError naming the line for what is no number, for a class or image that is not known, and for an image that comes twice."""
    text = _text(path)
    header = next(_rows(path, text), [])
    names = [name.strip() for name in header]
    if not names or names[0] not in NAMING or len(names) < 2:
        raise UserError(
            f"{path} begins with {','.join(names)[:80]!r}; its first line is `id` and a column for each class, or `id,label` (or `file` "
            "for `id`)"
        )
    if names[1:] == ["label"] and reading.scores is None:
        return _read_labels(path, text, reading)
    classes = _classes(path, names[1:], reading)
    if reading.scores is None:
        raise UserError(f"{path} holds class scores: say --scores probabilities or --scores logits; which they are is never guessed")
    ids, values = _table(path, text, names)
    found, notes = reading.samples(ids, str(path))
    probs = _probabilities(path, values, _without_column(classes, reading)) if reading.scores == "probabilities" else _softmax(path, values)
    rows = {found[id_]: k for k, id_ in enumerate(ids) if id_ in found}
    _refuse_doubles(path, ids, found)
    kind = f"{reading.scores} of {len(classes)} classes"
    sha256 = f"{file_sha256(path).hex()} {reading.scores}"
    return Read(answers=ClassScores(rows, probs), classes=classes, samples=frozenset(rows), sha256=sha256, kind=kind, notes=notes)


def _text(path: Path) -> str:
    try:
        return decode_text(read_regular(path, _LARGEST_BYTES))
    except OSError as error:
        way_out = "split it by condition or by data" if error.errno == errno.EFBIG else "give a CSV of class scores"
        raise UserError(f"cannot read {path}: {error.strerror or error}; {way_out}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _rows(path: Path, text: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text, newline=""))
    except csv.Error as error:  # a cell without an end, a NUL
        raise UserError(f"{path} is no CSV: {error}") from error


def _classes(path: Path, columns: Sequence[str], reading: Reading) -> Labels:
    """Of the columns, in their order. UserError where the user named others."""
    labels = unique_labels(columns, f"{path}, line 1")
    if reading.classes is not None and labels != reading.classes:
        raise UserError(
            f"{path}, line 1 names the classes {_some(labels)}, and --classes says {_some(reading.classes)}; leave --classes out"
        )
    return labels


def _more(names: Sequence[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _some(labels: Labels) -> str:
    return ", ".join(labels.names[:4]) + (", ..." if len(labels) > 4 else "")


def _table(path: Path, text: str, names: Sequence[str]) -> tuple[list[str], numpy.ndarray]:
    """Ids, and finite scores, float64 (N, C), each the number that is nearest to what is written."""
    columns = list(map(str, range(len(names))))
    types = {name: pyarrow.float64() if k else pyarrow.string() for k, name in enumerate(columns)}
    if not text.partition("\n")[2].strip():
        return [], numpy.zeros((0, len(names) - 1))
    try:
        table = pyarrow.csv.read_csv(
            readable(text.encode()),
            read_options=pyarrow.csv.ReadOptions(skip_rows=1, column_names=columns),
            convert_options=pyarrow.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False),
        )
    except pyarrow.ArrowException as error:
        raise UserError(_table_fault(path, text, names) or f"{path} is no table: {' '.join(str(error).split())[:200]}") from error
    values = numpy.stack([table[name].to_numpy() for name in columns[1:]], axis=1)
    if not numpy.isfinite(values).all():
        raise UserError(_table_fault(path, text, names) or f"{path} holds a number that is not finite")
    return [id_.strip() for id_ in table["0"].to_pylist()], values


def _table_fault(path: Path, text: str, names: Sequence[str]) -> str:
    """What is wrong with the first line that is no id and finite numbers; empty where every line is."""
    for k, row in enumerate(_rows(path, text), start=1):
        if k == 1 or not row:
            continue
        if len(row) != len(names):
            return f"{path}, line {k}: {len(row)} cells, and line 1 names {len(names)} columns"
        for name, cell in zip(names[1:], row[1:], strict=True):
            try:
                finite = math.isfinite(float(cell))
            except ValueError:
                finite = False
            if not finite:
                return f"{path}, line {k}: {name} is {cell[:40]!r}, which is no finite number"
    return ""


def _without_column(classes: Labels, reading: Reading) -> list[str]:
    """Classes of the data that a file leaves out which names no others; a file with others is of a model with classes of its own."""
    wanted = reading.labels.names
    return [name for name in wanted if name not in classes.names] if set(classes.names) <= set(wanted) else []


def _probabilities(path: Path, values: numpy.ndarray, without_column: Sequence[str]) -> torch.Tensor:
    """As they are, float32. without_column: classes to which no column gives a share."""
    sums = values.sum(axis=1)
    for row, column in numpy.argwhere((values < 0) | (values > 1))[:1]:
        said = f"{path}, line {row + 2}: {values[row, column]:g} is no probability"
        if (values >= 0).all() and (abs(sums - 100) < 100 * SUM_TOLERANCE).all():
            raise UserError(f"{said}: every line sums to about 100, so these look like percents; divide them by 100")
        raise UserError(f"{said}; are these logits (--scores logits)? If they are percents, divide them by 100")
    for row in numpy.flatnonzero(abs(sums - 1) > SUM_TOLERANCE)[:1]:
        if without_column:
            raise UserError(
                f"{path}, line 1 has no column for the class {without_column[0]!r}{_more(without_column)}, and the probabilities of line "
                f"{row + 2} sum to {sums[row]:.4g}, not to 1; add the column: a model that never says the class gives it 0"
            )
        raise UserError(
            f"{path}, line {row + 2}: the probabilities sum to {sums[row]:.4g}, not to 1; scores of classes that do not exclude each other "
            "(sigmoids) can be given as logits: log(p / (1 - p))"
        )
    return torch.from_numpy(values.astype(numpy.float32))


def _softmax(path: Path, values: numpy.ndarray) -> torch.Tensor:
    """Softmax in float32, as classifiers of this package decode theirs."""
    logits = torch.from_numpy(values.astype(numpy.float32))
    for row in torch.nonzero(~logits.isfinite().all(dim=1))[:1, 0].tolist():
        raise UserError(f"{path}, line {row + 2}: a logit is too large for a float of 32 bits")
    return logits.softmax(dim=1)


def _refuse_doubles(path: Path, ids: Sequence[str], found: Mapping[str | int, str]) -> None:
    seen: dict[str, int] = {}
    for k, id_ in enumerate(ids):
        sample = found.get(id_)
        if sample is None:
            continue
        if sample in seen:
            raise UserError(f"{path}, line {k + 2}: {id_[:200]!r} is the image of line {seen[sample]} again; an image has one answer")
        seen[sample] = k + 2


def _read_labels(path: Path, text: str, reading: Reading) -> Read:
    rows = [row for row in _rows(path, text) if row]
    classes = {name: i for i, name in enumerate(reading.labels.names)}
    for k, row in enumerate(rows[1:], start=2):
        if len(row) != 2:
            raise UserError(f"{path}, line {k}: {len(row)} cells where `id,label` has two")
        if row[1].strip() not in classes:
            raise UserError(
                f"{path}, line {k}: {unknown_name(row[1].strip(), reading.labels.names)}; name the model's classes with --classes"
            )
    ids = [row[0].strip() for row in rows[1:]]
    found, notes = reading.samples(ids, str(path))
    _refuse_doubles(path, ids, found)
    labels = {found[id_]: classes[row[1].strip()] for id_, row in zip(ids, rows[1:], strict=True) if id_ in found}
    return Read(
        answers=ClassLabels(labels, len(classes)),
        classes=reading.labels,
        samples=frozenset(labels),
        sha256=file_sha256(path).hex(),
        kind=f"labels of {len(classes)} classes, without scores",
        notes=(*notes, "labels alone were given: nothing is known of how sure the model was"),
    )
