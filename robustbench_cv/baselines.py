"""A baseline: the records of a run as one small file, to lie in a repository and be compared with. No pictures, and nothing that is code.

It holds what `compare` reads and no more: suite, seed, conditions with their budgets, models, data sets, metrics, what checks stopped,
and of each sample its status and the evidence of the metrics. The same records are the same bytes, whenever and wherever they were made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pyarrow
import pyarrow.parquet

from robustbench_cv.arrow_memory import readable
from robustbench_cv.check_findings import Finding
from robustbench_cv.errors import UserError
from robustbench_cv.files import is_file, write_bytes
from robustbench_cv.record_store import InMemory, Place
from robustbench_cv.records import EVIDENCE
from robustbench_cv.results import Group, Results, RunInfo
from robustbench_cv.run_folder import digest

BASELINE_VERSION = 1
"""Rises when an older file cannot be read any more."""

_TOLD = b"robustbench-cv baseline"
"""The key of the Parquet file's metadata under which everything but the records stands."""

_WHERE = Place._fields
_KEPT = ("sample", "status", "reason", "reason_code", "excluded")
_AGAIN = "write it again with `robustbench-cv baseline RUN --out {path}`"


class _Told(msgspec.Struct, frozen=True):
    """What the file says of its records. sha256: of the rest and of the columns' types, since Parquet watches over the values alone."""

    version: int
    writer: str
    run: msgspec.Raw
    findings: msgspec.Raw
    sha256: str


class _Version(msgspec.Struct, frozen=True):
    version: int
    writer: str = "an unknown version"


class Written(NamedTuple):
    """What a file holds. stopped: models and data sets without records since a check stopped them."""

    path: Path
    records: int
    bytes: int
    stopped: tuple[Group, ...]


def write_baseline(results: Results, path: Path) -> Written:
    """The file of a finished run. A file that holds the same is left alone. UserError for a run that lacks records."""
    stopped = tuple(group for group in results.groups() if _has_gaps(results, group))
    for group in stopped:
        _require_stopped(results, group)
    tables = list(_tables(results))
    if not tables:
        raise UserError("the run has no records: a check stopped every model, so that nothing could be compared with it")
    try:
        table = pyarrow.concat_tables(tables, promote_options="default")
    except pyarrow.ArrowException as error:
        raise UserError(
            f"two tasks of the run keep different things under one name of evidence, which one file cannot hold: {error}"
        ) from error
    stream = pyarrow.BufferOutputStream()
    with pyarrow.parquet.ParquetWriter(stream, table.schema, compression="zstd", write_page_checksum=True) as writer:
        writer.write_table(table, row_group_size=65_536)
        writer.add_key_value_metadata({_TOLD: msgspec.json.encode(_told(results, _as_read(table.schema)))})
    data = stream.getvalue().to_pybytes()
    write_bytes(path, data)
    return Written(path, len(table), len(data), stopped)


def read_baseline(path: Path, typed: Collection[str] = ()) -> Results:
    """The run of a file, as far as `compare` reads it. UserError where the file is none, is damaged, or is of another version.

    typed: as of Results.open: nothing that the file names is run unless the user typed it.
    """
    try:
        with pyarrow.parquet.ParquetFile(readable(path.read_bytes()), page_checksum_verification=True) as file:
            told, table = (file.metadata.metadata or {}).get(_TOLD), file.read()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise _no_baseline(path) from error
    except OSError as error:
        if error.errno is not None:
            raise  # the machine's fault, which names the file
        raise _no_baseline(path) from error
    if told is None:
        raise _no_baseline(path)
    run, findings = _read_told(path, told, table.schema)
    if missing := {*_WHERE, *_KEPT} - set(table.column_names):
        raise UserError(f"{path} lacks the columns {', '.join(sorted(missing))}: it is damaged; {_AGAIN.format(path=path)}")
    return Results(run, InMemory(dict(_by_place(_whole(table, run)))), findings, typed=frozenset(typed))


def open_results(path: Path, typed: Collection[str] = ()) -> Results:
    """A run folder, or a baseline file. UserError where there is neither."""
    if is_file(path):
        return read_baseline(path, typed)
    if not path.exists():
        raise UserError(f"there is no run folder and no baseline file {path} (robustbench-cv baseline RUN --out {path} writes one)")
    return Results.open(path, typed)


def _tables(results: Results) -> Iterator[pyarrow.Table]:
    """Of each model under each condition, as columns without what they have in common with others."""
    for group in results.groups():
        keys = list(dict.fromkeys(row.evidence_key for row in results.run.metrics(group.task)))
        for condition in results.conditions(group.task):
            rows = results.rows(group, condition.name)
            if condition.kind == "control" or not len(rows):
                continue
            place = Place(group.task, group.model, group.dataset, condition.name)
            columns = {name: pyarrow.array([text] * len(rows), pyarrow.string()) for name, text in zip(_WHERE, place, strict=True)}
            columns |= {name: rows.column(name) for name in _KEPT}
            columns |= {EVIDENCE + key: rows.column(EVIDENCE + key) for key in keys if EVIDENCE + key in rows.names}
            yield pyarrow.table(columns)


def _told(results: Results, schema: pyarrow.Schema) -> _Told:
    run, findings = _without_incidentals(results.run), tuple(f for f in results.findings if f.verdict == "stop")
    writer = results.run.versions.get("robustbench-cv", "an unknown version")
    about_run, about_checks = (msgspec.json.encode(part, order="deterministic") for part in (run, findings))
    sha256 = _sha256(about_run, about_checks, schema)
    return _Told(BASELINE_VERSION, writer, msgspec.Raw(about_run), msgspec.Raw(about_checks), sha256)


def _as_read(schema: pyarrow.Schema) -> pyarrow.Schema:
    """The columns as a Parquet file gives them back, which calls the items of lists by another name."""
    stream = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(schema.empty_table(), stream)
    return pyarrow.parquet.read_schema(readable(stream.getvalue().to_pybytes()))


def _sha256(run: bytes, findings: bytes, schema: pyarrow.Schema) -> str:
    return digest([run.decode(), findings.decode(), str(schema.remove_metadata())])


def _without_incidentals(run: RunInfo) -> RunInfo:
    """Without what says when, where, by which command and for which reports it was made: a spec may hold the path of somebody's data."""
    return msgspec.structs.replace(
        run,
        models=tuple(msgspec.structs.replace(row, spec=row.name) for row in run.models),
        datasets=tuple(msgspec.structs.replace(row, spec=row.name) for row in run.datasets),
        command="",
        created="",
        code_sha256="",
        pairings=(),
        cells=(),
        gates=(),
        reports=(),
        notes=(),
        complexity=(),
        explanations=(),
        architectures=(),
        associations=(),
    )


def _read_told(path: Path, content: bytes, schema: pyarrow.Schema) -> tuple[RunInfo, tuple[Finding, ...]]:
    try:
        version = msgspec.json.decode(content, type=_Version)
        if version.version != BASELINE_VERSION:
            raise UserError(_of_another_version(path, version))
        told = msgspec.json.decode(content, type=_Told)
        if _sha256(bytes(told.run), bytes(told.findings), schema) != told.sha256:
            raise UserError(f"{path} is damaged: what it says of its records is not what was written; {_AGAIN.format(path=path)}")
        return msgspec.json.decode(told.run, type=RunInfo), msgspec.json.decode(told.findings, type=tuple[Finding, ...])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged ({error}); {_AGAIN.format(path=path)}") from error


def _of_another_version(path: Path, found: _Version) -> str:
    newer = found.version > BASELINE_VERSION
    way_out = "upgrade robustbench-cv" if newer else _AGAIN.format(path=path)
    found_text = f"{path} is a baseline of version {found.version} (by robustbench-cv {found.writer})"
    return f"{found_text}; this one reads version {BASELINE_VERSION}: {way_out}"


def _no_baseline(path: Path) -> UserError:
    return UserError(f"{path} is no baseline, or is damaged; {_AGAIN.format(path=path)}")


def _whole(table: pyarrow.Table, run: RunInfo) -> pyarrow.Table:
    """With what all records have in common, which the file says once."""
    for name, value in (("suite", run.suite), ("suite_version", run.version), ("seed", run.seed)):
        table = table.append_column(name, pyarrow.array([value] * len(table)))
    return table


def _by_place(table: pyarrow.Table) -> Iterator[tuple[Place, pyarrow.Table]]:
    """The records of each model under each condition, in the order of the file. Rows of one place stand together."""
    words: list[Any] = [table[name].to_pylist() for name in _WHERE]
    places = [Place(*parts) for parts in zip(*words, strict=True)]
    start, names = 0, table.column_names
    for i in range(1, len(places) + 1):
        if i == len(places) or places[i] != places[start]:
            part = table.slice(start, i - start)
            yield places[start], part.select([n for n in names if not n.startswith(EVIDENCE) or part[n].null_count < len(part)])
            start = i


def _has_gaps(results: Results, group: Group) -> bool:
    wanted = next((d.n for d in results.run.datasets if (d.name, d.task) == (group.dataset, group.task)), 0)
    return any(len(results.rows(group, c.name)) < wanted for c in results.conditions(group.task) if c.kind != "control")


def _require_stopped(results: Results, group: Group) -> None:
    if not any(f.verdict == "stop" for f in results.flags(group)):
        raise UserError(f"the run is not finished: {group.model} on {group.dataset} lacks records; the same `robustbench-cv run` goes on")
