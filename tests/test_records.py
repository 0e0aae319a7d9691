"""Records as typed columns: what is written is read back, a file for each condition, and numbers that are made once."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import msgspec
import pyarrow
import pyarrow.parquet
import pytest

from robustbench_cv.errors import UserError
from robustbench_cv.metrics.evidence import Column, aligned, all_ids
from robustbench_cv.record_store import Place, RecordStore, Stored
from robustbench_cv.records import AttackTrace, Record, cells_in, read_table, to_records, to_table
from robustbench_cv.registry import load_file
from robustbench_cv.results import CellRow, Results
from robustbench_cv.run_folder import RunFolder

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")

KINDS = {"top-1": pyarrow.bool_(), "pixels": pyarrow.list_(pyarrow.int64())}


def record(sample: str, *, condition: str = "clean", **more: object) -> Record:
    head = {"suite": "s", "suite_version": 1, "task": "classification", "model": "m", "dataset": "d", "seed": 3}
    return Record(**head, condition=condition, sample=sample, **more)  # type: ignore[arg-type]


def cell(key: str, n: int, condition: str = "clean") -> CellRow:
    return CellRow(key, "classification", "m", "d", condition, n)


TRACE = AttackTrace(success=True, size=0.1, radius=None, forwards=3, backwards=2, zero_grads=0.5, ssim=0.99)
ROWS = [
    record("b", evidence={"top-1": True, "pixels": [1, 2]}, reference={"top-1": False}, attack=TRACE),
    record("a", status="not-applicable", reason="no place", excluded={"top-5": "five classes"}),
    record("c", status="failed", reason="NaN", reason_code="not-finite"),
]


def test_what_is_written_is_read_back_by_sample_id(tmp_path: Path) -> None:
    store = RecordStore(RunFolder(tmp_path))
    store.write(cell("k1", 3), ROWS, KINDS)
    table = read_table(store.part(cell("k1", 3)))
    assert table.schema.field("evidence.top-1").type == pyarrow.bool_()
    assert table.schema.field("evidence.pixels").type == KINDS["pixels"]
    assert to_records(table) == sorted(ROWS, key=lambda r: r.sample)


def test_evidence_of_another_type_is_named() -> None:
    with pytest.raises(ValueError, match="does not fit the type that its metric declares, bool"):
        to_table([record("a", evidence={"top-1": "yes"})], KINDS)


def store_of(folder: Path, parts: int = 4, each: int = 5) -> tuple[RecordStore, list[CellRow]]:
    store, cells = RecordStore(RunFolder(folder)), [cell(f"k{i}", each) for i in range(parts)]
    for i, one in enumerate(cells):
        rows = [record(f"{j * parts + i:03}", evidence={"top-1": j % 2 == 0, "pixels": [i, j]}) for j in range(each)]
        store.write(one, rows, KINDS)
    return store, cells


def test_a_condition_that_is_complete_becomes_one_file_of_the_same_records(tmp_path: Path) -> None:
    store, cells = store_of(tmp_path)
    before = store.read(cells)
    assert before["sample"].to_pylist() == [f"{i:03}" for i in range(20)]
    assert not store.has([*cells, cell("other", 1)])
    store.compact([*cells, cell("other", 1)])
    assert len(list(tmp_path.rglob("*.parquet"))) == 4, "one of its cells is not there yet"
    store.compact(cells)
    (path,) = tmp_path.rglob("*.parquet")
    assert cells_in(path) == {c.key for c in cells}
    assert store.has(cells)
    assert to_records(store.read(cells)) == to_records(before)
    assert store.read(cells[1:2])["sample"].to_pylist() == ["001", "005", "009", "013", "017"]


def test_more_cells_later_take_over_what_is_there_and_leave_no_file_behind(tmp_path: Path) -> None:
    store, cells = store_of(tmp_path)
    store.compact(cells[:2])
    store.compact(cells)
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    assert len(store.read(cells)) == 20
    # A run of fewer samples reads its own, and takes nothing away.
    store.compact(cells[:3])
    assert store.has(cells)
    assert len(Stored(store, cells[:2]).at(Place("classification", "m", "d", "clean"))) == 10


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, cells = store_of(tmp_path)
    store.compact(cells)
    asked: list[object] = []
    whole: Callable[..., pyarrow.Table] = read_table
    monkeypatch.setattr(
        "robustbench_cv.record_store.read_table", lambda path, columns=None: (asked.append(columns), whole(path, columns))[1]
    )
    rows = Stored(store, cells).at(Place("classification", "m", "d", "clean"))
    values = rows.values("top-1")
    assert values is not None
    assert values.true_count == 12
    assert asked == [["evidence.top-1"]]


@pytest.mark.parametrize("content", [b"", b"PAR1 cut", b"text"])
def test_a_file_that_is_damaged_is_named(content: bytes, tmp_path: Path) -> None:
    store, cells = store_of(tmp_path)
    store.compact(cells)
    (path,) = tmp_path.rglob("*.parquet")
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"{path.name} are damaged; delete the file"):
        store.read(cells)


def test_a_file_of_something_else_is_no_file_of_records(tmp_path: Path) -> None:
    store, cells = store_of(tmp_path, parts=1)
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), store.part(cells[0]))
    with pytest.raises(UserError, match="damaged"):
        store.read(cells)


def test_columns_are_compared_over_the_samples_that_both_have() -> None:
    a = Column.of({"x": True, "y": False, "z": True}, pyarrow.bool_())
    b = Column.of({"z": False, "w": True, "y": True}, pyarrow.bool_())
    assert [side.to_dict() for side in aligned([a, b])] == [{"y": False, "z": True}, {"y": True, "z": False}]
    assert all_ids([a, b]) == 4
    assert a.only(a.ids) is a


def stored_run(folder: Path) -> Results:
    """A run's folder with the records of the made-up run in it."""
    made: Results = synthetic.make()
    store, rows = RecordStore(RunFolder(folder)), made.records
    for one in made.run.cells:
        here = rows[(rows["task"] == one.task) & (rows["model"] == one.model) & (rows["condition"] == one.condition)]
        source = synthetic.with_records(made, here).source
        store.write(one, to_records(source.by_place[Place(one.task, one.model, one.dataset, one.condition)]), synthetic.evidence_kinds())
    (folder / "run.json").write_bytes(msgspec.json.encode(made.run))
    return Results.open(folder)


def test_a_run_read_back_says_what_it_said(tmp_path: Path) -> None:
    made: Results = synthetic.make()
    again = stored_run(tmp_path)
    for group in made.groups():
        for condition in made.conditions(group.task):
            for metric in made.metrics(group.task):
                assert again.estimate(group, condition.name, metric) == made.estimate(group, condition.name, metric)
    assert again.records.equals(
        made.records.sort_values(["task"], key=lambda s: s.map({t: i for i, t in enumerate(synthetic.CLASSES)}), kind="stable").reset_index(
            drop=True
        )
    )


def test_numbers_are_made_once_for_the_same_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = stored_run(tmp_path)
    group = results.groups()[0]
    first = results.estimate(group, "clean", "top-1"), results.effect(group, "remove", "top-1")
    results.save_estimates()

    def nothing(*args: object, **more: object) -> None:
        raise AssertionError("made again")

    with monkeypatch.context() as context:
        context.setattr("robustbench_cv.results.estimate", nothing)
        context.setattr("robustbench_cv.results.difference_in_differences", nothing)
        again = Results.open(tmp_path)
        assert (again.estimate(group, "clean", "top-1"), again.effect(group, "remove", "top-1")) == first
        with pytest.raises(AssertionError, match="made again"):
            again.estimate(group, "pgd-8", "top-1")


def test_other_records_give_other_numbers_whatever_the_clock_says(tmp_path: Path) -> None:
    results = stored_run(tmp_path)
    group, one = results.groups()[0], results.run.cells[0]
    before = results.estimate(group, "clean", "top-1")
    results.save_estimates()
    store = RecordStore(RunFolder(tmp_path))
    path, rows = store.part(one), to_records(store.read([one]))
    old = path.stat()
    store.write(one, [replace(r, evidence={"top-1": False}) for r in rows], synthetic.evidence_kinds())
    assert Results.open(tmp_path).estimate(group, "clean", "top-1").value == 0.0 != before.value
    store.write(one, rows, synthetic.evidence_kinds())
    os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns + 10**9))
    assert Results.open(tmp_path).estimate(group, "clean", "top-1") == before


def test_sql_sees_records_and_numbers(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    made: Results = synthetic.make()
    for results in (made, stored_run(tmp_path)):
        frame = results.query(
            """SELECT condition, avg("evidence.top-1"::INT) AS value FROM records WHERE task = 'classification' GROUP BY ALL"""
        )
        group = results.groups()[0]
        for condition, value in frame.itertuples(index=False, name=None):
            assert value == pytest.approx(results.estimate(group, condition, "top-1").value)
        assert len(frame) == len(synthetic.CONDITIONS)
        (row,) = results.query("SELECT value, n FROM summary WHERE metric = 'ap' AND condition = 'clean'").to_dict("records")
        assert row["n"] == 24
        with pytest.raises(UserError, match="Its tables are records and summary"):
            results.query("SELECT nothing FROM nowhere")
