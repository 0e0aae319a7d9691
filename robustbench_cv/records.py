"""What a run leaves: one row for each model, condition and sample, in Parquet parts that are written whole or not at all."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Literal

import pandas
import pyarrow
import pyarrow.parquet

from robustbench_cv.errors import UserError
from robustbench_cv.files import written_whole
from robustbench_cv.tasks import Task
from robustbench_cv.types import Evidence

logger = logging.getLogger(__name__)

Status = Literal["ok", "not-applicable", "failed"]
STATUSES: tuple[Status, ...] = ("ok", "not-applicable", "failed")


@dataclass(frozen=True, kw_only=True)
class AttackTrace:
    """What an attack did to one sample.

    success: judged on the returned image. size and radius: in the budget's units (radius None where there is no single one).
    forwards, backwards: passes through the model.
    zero_grads: share of its gradients that were exactly zero. ssim: structural similarity of the image before and after, up to 1 for an
    image left as it was; None for images smaller than SSIM's window.
    """

    success: bool
    size: float
    radius: float | None
    forwards: int
    backwards: int
    zero_grads: float
    ssim: float | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row. `evidence` is what the metrics keep of the prediction, by evidence key.

    reference: for interventions, the same of the *unedited* image, scored against what the edit left alone: the pair's other half.
    reason is for people, reason_code for whoever acts on it: "no-gradient" (the attack follows one and the model gives none), "not-finite"
    (the model answered NaN or infinity), "unreadable" (the sample's file), "foreign-error" (somebody's code),
    "nothing-to-attack" (counted as it is), or empty.
    excluded: metrics that mean nothing for this sample, with the reason. No timing: the same run gives the same bytes.
    """

    suite: str
    suite_version: int
    task: Task
    model: str
    dataset: str
    condition: str
    sample: str
    seed: int
    status: Status = "ok"
    reason: str = ""
    reason_code: str = ""
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    reference: Mapping[str, Evidence] = field(default_factory=dict)
    excluded: Mapping[str, str] = field(default_factory=dict)
    attack: AttackTrace | None = None


_JSON = ("evidence", "reference", "excluded", "attack")
_SCHEMA = pyarrow.schema([(f.name, pyarrow.int64() if f.name in ("suite_version", "seed") else pyarrow.string()) for f in fields(Record)])


def write_part(path: Path, records: Sequence[Record]) -> None:
    """Write records as one Parquet file under a temporary name, then rename: a part that exists is complete."""
    rows = [asdict(r) | {name: json.dumps(_plain(r, name), sort_keys=True, separators=(",", ":")) for name in _JSON} for r in records]
    with written_whole(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=_SCHEMA), temporary, compression="zstd")


def _plain(record: Record, name: str) -> object:
    value = getattr(record, name)
    return asdict(value) if isinstance(value, AttackTrace) else value


def read_part(path: Path) -> pandas.DataFrame | None:
    """The rows of one part, JSON fields as text; None where there is none, or where it is damaged, with a warning."""
    if not path.exists():
        return None
    try:
        frame: pandas.DataFrame = _read_part(path).to_pandas()
    except UserError as error:
        logger.warning("%s: taken as missing", error)
        return None
    return frame


def read_parts(paths: Iterable[Path]) -> pandas.DataFrame:
    """The records of some parts as a frame with the fields of Record as columns; JSON fields decoded; `attack` a dict or None.

    UserError for a part that is damaged.
    """
    tables = [_read_part(path) for path in paths]
    frame: pandas.DataFrame = (pyarrow.concat_tables(tables) if tables else _SCHEMA.empty_table()).to_pandas()
    for name in _JSON:
        frame[name] = [json.loads(text) for text in frame[name]]
    return frame


def _read_part(path: Path) -> pyarrow.Table:
    damaged = UserError(f"the records in {path} are damaged; delete the file, and the same `robustbench-cv run` computes them again")
    try:
        table = pyarrow.parquet.read_table(path, schema=_SCHEMA)
    except (pyarrow.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the machine's fault, which names the file
        raise damaged from error
    if any(column.null_count for column in table.columns):
        raise damaged  # a Parquet file of something else
    return table


def to_frame(records: Sequence[Record]) -> pandas.DataFrame:
    """The frame that `read_parts` would give of these records."""
    rows = [asdict(r) for r in records]
    return pandas.DataFrame(rows, columns=[f.name for f in fields(Record)]).astype({"suite_version": "int64", "seed": "int64"})
