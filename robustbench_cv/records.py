"""What a run leaves: a row for each model, condition and sample, as typed columns in Parquet files written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import pyarrow
import pyarrow.parquet

from robustbench_cv.errors import Damaged
from robustbench_cv.files import written_whole
from robustbench_cv.kept_files import require_known
from robustbench_cv.metrics.evidence import array_of
from robustbench_cv.tasks import Task
from robustbench_cv.types import Evidence

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
    "nothing-to-attack" (counted as it is), "no-prediction" (a closed model's file has none), "timed-out" and "process-died" (what ended the
    process in which the cell ran), or empty.
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


EVIDENCE, REFERENCE, ATTACK = "evidence.", "reference.", "attack."
"""What the columns of a record's parts begin with: evidence.top-1, reference.top-1 (of the unedited image), attack.success."""

_TRACE = {
    "success": pyarrow.bool_(),
    "size": pyarrow.float64(),
    "radius": pyarrow.float64(),
    "forwards": pyarrow.int64(),
    "backwards": pyarrow.int64(),
    "zero_grads": pyarrow.float64(),
    "ssim": pyarrow.float64(),
}
_WORD = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
_PLAIN = pyarrow.schema(
    {
        "cell": _WORD,
        "suite": _WORD,
        "suite_version": pyarrow.int64(),
        "task": _WORD,
        "model": _WORD,
        "dataset": _WORD,
        "condition": _WORD,
        "sample": pyarrow.string(),
        "seed": pyarrow.int64(),
        "status": _WORD,
        "reason": _WORD,
        "reason_code": _WORD,
        "excluded": pyarrow.list_(pyarrow.struct({"metric": pyarrow.string(), "reason": pyarrow.string()})),
    }
    | {ATTACK + name: kind for name, kind in _TRACE.items()}
)
_OWN = [f.name for f in fields(Record) if f.name not in ("evidence", "reference", "excluded", "attack")]
_CELLS, _FORM = b"cells", b"schema_version"

FORM = 1
"""Of the files of records: rises when an earlier version would misread one. A file that says none is of the first."""


def to_table(records: Sequence[Record], types: Mapping[str, pyarrow.DataType], cell: str = "") -> pyarrow.Table:
    """Records as columns, a row each, in the order of the sample ids. types: of evidence, by evidence key.

    ValueError for evidence that is not of its type.
    """
    rows = sorted(records, key=lambda r: r.sample)
    columns: dict[str, Any] = {name: [getattr(r, name) for r in rows] for name in _OWN} | {"cell": [cell] * len(rows)}
    columns["excluded"] = [[{"metric": m, "reason": text} for m, text in r.excluded.items()] for r in rows]
    columns |= {ATTACK + name: [None if r.attack is None else getattr(r.attack, name) for r in rows] for name in _TRACE}
    parts = ((EVIDENCE, [r.evidence for r in rows]), (REFERENCE, [r.reference for r in rows]))
    typed = {prefix + key: (kind, [values.get(key) for values in part]) for prefix, part in parts for key, kind in types.items()}
    arrays = {f.name: pyarrow.array(columns[f.name], f.type) for f in _PLAIN}
    for name, (kind, values) in typed.items():
        arrays[name] = array_of(values, kind)
    return pyarrow.table(arrays)


def to_records(table: pyarrow.Table) -> list[Record]:
    """The rows of a table as records."""
    return [_record(row) for row in table.to_pylist()]


def _record(row: Mapping[str, Any]) -> Record:
    attack = _without_prefix(row, ATTACK)
    return Record(
        **{name: row[name] for name in _OWN},
        evidence=_without_prefix(row, EVIDENCE),
        reference=_without_prefix(row, REFERENCE),
        excluded={one["metric"]: one["reason"] for one in row["excluded"]},
        attack=AttackTrace(**(dict.fromkeys(_TRACE) | attack)) if attack else None,  # type: ignore[arg-type]
    )


def _without_prefix(row: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values that are there of the columns that begin so."""
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix) and value is not None}


def evidence_types(schema: pyarrow.Schema) -> dict[str, pyarrow.DataType]:
    """The types of a table's evidence, by evidence key."""
    return {f.name.removeprefix(EVIDENCE): f.type for f in schema if f.name.startswith(EVIDENCE)}


def write_table(path: Path, table: pyarrow.Table, cells: Iterable[str]) -> None:
    """Write records as one Parquet file under a temporary name, then rename: a file that exists is complete. cells: keys that it holds."""
    told = table.replace_schema_metadata({_CELLS: json.dumps(sorted(cells)).encode(), _FORM: str(FORM).encode()})
    with written_whole(path) as temporary:
        pyarrow.parquet.write_table(told, temporary, compression="zstd", row_group_size=65_536, write_page_checksum=True)


def cells_in(path: Path) -> frozenset[str]:
    """The keys of the cells whose records a file holds, from its last bytes alone. Damaged; WrittenByNewer."""
    metadata = _guarded(path, lambda: pyarrow.parquet.read_metadata(path)).metadata or {}
    try:
        form, cells = int(metadata.get(_FORM, b"1")), json.loads(metadata[_CELLS])
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise _damaged(path) from error
    require_known(path, form, FORM)
    return frozenset(cells)


def schema_of(path: Path) -> pyarrow.Schema:
    """The columns of a file of records. Damaged."""
    schema: pyarrow.Schema = _guarded(path, lambda: pyarrow.parquet.read_schema(path))
    return schema


def read_table(path: Path, columns: Sequence[str] | None = None) -> pyarrow.Table:
    """The columns of a file of records, all of them unless some are named. Damaged, also where a page is not that of its checksum."""
    table: pyarrow.Table = _guarded(path, lambda: _columns(path, columns))
    if columns is None and not set(_PLAIN.names) <= set(table.column_names):
        raise _damaged(path)
    return table


def _columns(path: Path, columns: Sequence[str] | None) -> pyarrow.Table:
    """As a single file: the names of the folders above it are no columns."""
    with pyarrow.parquet.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read() if columns is None else file.read(columns=list(columns)).select(list(columns))


def _guarded(path: Path, read: Any) -> Any:
    try:
        return read()
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:  # UnicodeDecodeError: the name of a column
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the machine's fault, which names the file
        raise _damaged(path) from error


def _damaged(path: Path) -> Damaged:
    return Damaged(f"the records in {path} are damaged; delete the file, and the same `robustbench-cv run` computes them again")


def as_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Records as dictionaries, the attack's trace among them."""
    return [asdict(r) for r in records]
