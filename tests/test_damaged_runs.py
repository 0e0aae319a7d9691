"""Run folders of which something is damaged, lost or of another version: made again and said, or refused; never a traceback or a number."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest

from robustbench_cv.errors import Damaged, UserError, WrittenByNewer
from robustbench_cv.files import PARTIAL
from robustbench_cv.kept_files import FORM, load_kept, read_kept, write_kept
from robustbench_cv.record_store import RecordStore
from robustbench_cv.records import cells_in, read_table
from robustbench_cv.results import SCHEMA_VERSION, Results
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner import stored_cell
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import Outcome, run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from tests.test_runner import records_of, write_data, write_model

CONDITIONS = (
    CLEAN,
    Condition("pgd", attack="pgd(eps=0.1, steps=2)"),
    Condition("fitted", attack="universal(eps=0.1, limit=8, steps=2)"),
)


def run(suite: Suite, out: Path) -> Outcome:
    return run_suite(suite, out, Options(limit=70, save_predictions=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, Path]:
    """A suite and its run: two cells a condition, an attack that was fitted, every kind of file."""
    home = tmp_path_factory.mktemp("finished")
    track = Track("classification", (write_model(home),), (write_data(home),), CONDITIONS, ("top-1",))
    suite = Suite("small", 1, (track,), reports=("main-table",), strength=2)
    run(suite, home / "out")
    return suite, home / "out"


def _flip(path: Path, place: float) -> None:
    """Another bit at a share of the file's length."""
    data = bytearray(path.read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    path.write_bytes(bytes(data))


def _flip_page(path: Path, column: int = 0) -> None:
    """Another bit near the end of a column's last page: only its checksum tells."""
    chunk = pyarrow.parquet.read_metadata(path).row_group(0).column(column)
    begin = chunk.data_page_offset if chunk.dictionary_page_offset is None else chunk.dictionary_page_offset
    data = bytearray(path.read_bytes())
    data[begin + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "other JSON": lambda path: path.write_text("[1]\n"),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a bit": lambda path: _flip(path, 0.4),
}
FILES = {
    "records": "records/**/clean/*.parquet",
    "findings": "findings.json",
    "a check": "checks/[0-9a-f]*.json",
    "a verdict on an attack": "checks/strength-*.json",
    "an index": "images/*/index.json",
    "a picture": "images/*/0-after.png",
    "exact pixels": "images/*/exact.safetensors",
    "probabilities": "predictions/cells/*.safetensors",
    "what was fitted": "artefacts/*/universal.safetensors",
    "the record of a fit": "artefacts/*/universal.json",
    "hashes": "file-hashes.json",
    "complexity": "complexity/*.json",
}
UNSEEN = {(what, "a bit") for what in ("exact pixels", "probabilities", "the record of a fit", "records")}
"""Formats without a checksum, where other pixels are for S14 to find; of records each page has one, see `_flip_page`."""


@pytest.mark.slow
@pytest.mark.parametrize("what", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_damaged_is_named_and_made_again(
    what: str, damage: str, finished: tuple[Suite, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if (what, damage) in UNSEEN:
        pytest.skip("this format has no checksum over all")
    suite, whole = finished
    out = shutil.copytree(whole, tmp_path / "out")
    path = sorted(out.glob(FILES[what]))[0]
    DAMAGES[damage](path)
    assert run(suite, out).exit_code == 0
    if what != "probabilities":
        assert str(path.relative_to(out)) in caplog.text or path.name in caplog.text
    assert records_of(out) == records_of(whole)
    assert Results.open(out).findings == Results.open(whole).findings
    for name in ("summary.csv", "findings.json", "junit.xml"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    if what != "hashes":
        assert path.read_bytes() == (whole / path.relative_to(out)).read_bytes()
    assert run(suite, out).computed == 0


def test_a_damaged_file_of_several_cells_does_not_end_every_resume(
    finished: tuple[Suite, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its cells were computed again, and then read beside the damaged file, which ended the run for good."""
    suite, whole = finished
    out = shutil.copytree(whole, tmp_path / "out")
    clean, pgd = (next((out / "records").rglob(f"{name}/all-*.parquet")) for name in ("clean", "pgd"))
    clean.write_bytes(clean.read_bytes()[:-9])  # its end, which says what it holds
    _flip_page(pgd)
    outcome = run(suite, out)
    assert (outcome.computed, outcome.reused) == (4, 2)
    assert caplog.text.count("is damaged: taken as missing") == 2
    assert records_of(out) == records_of(whole)


def test_a_bit_of_a_page_is_not_read_as_another_number(finished: tuple[Suite, Path], tmp_path: Path) -> None:
    path = shutil.copy(next((finished[1] / "records").rglob("clean/*.parquet")), tmp_path / "a.parquet")
    names, whole = read_table(path).column_names, path.read_bytes()
    for column in ("sample", "evidence.top-1", "attack.size"):
        path.write_bytes(whole)
        _flip_page(path, names.index(column))
        with pytest.raises(Damaged, match="the records in"):
            read_table(path)


def test_a_number_that_was_kept_is_not_read_with_another_digit(finished: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, whole = finished
    out = shutil.copytree(whole, tmp_path / "out")
    estimates = RunFolder(out).estimates
    text = estimates.read_text()
    changed = re.sub(r'("value":0\.)(\d)', lambda found: found[1] + str((int(found[2]) + 3) % 10), text)
    assert changed != text
    estimates.write_text(changed)
    assert run(suite, out).computed == 0
    assert (out / "summary.csv").read_bytes() == (whole / "summary.csv").read_bytes()


def test_what_a_kill_left_half_written_is_removed_and_no_time_is_lost(
    finished: tuple[Suite, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, whole = finished
    out, write = RunFolder(tmp_path / "out"), RecordStore.write

    def killed(self: RecordStore, *what: object) -> None:
        write(self, *what)  # type: ignore[arg-type]
        (out.root / "records" / f"half{PARTIAL}").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(RecordStore, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            run(suite, out.root)
    outcome = run(suite, out.root)
    assert outcome.reused == 1
    assert not list(out.root.rglob(f"*{PARTIAL}"))
    assert all(out.timing(cell.key).exists() for cell in outcome.results.run.cells)
    assert records_of(out.root) == records_of(whole)


FOREIGN_FORMS = (".png", ".csv", ".xml", ".html", ".md", ".tex", ".bib", ".pdf", ".svg", ".sha256")
"""Files for others: their formats have no place for a version; run.json beside them says who wrote them."""


def test_every_file_that_a_run_keeps_for_itself_says_its_version(finished: tuple[Suite, Path]) -> None:
    _, out = finished
    seen = 0
    for path in (p for p in out.rglob("*") if p.is_file() and p.name != ".lock" and p.suffix not in FOREIGN_FORMS):
        if "report" in path.relative_to(out).parts or path.suffix == ".safetensors":
            continue
        if path.suffix == ".parquet":
            assert pyarrow.parquet.read_metadata(path).metadata[b"schema_version"] == b"1", path
        else:
            content = json.loads(path.read_bytes())
            assert {"schema_version", "schema"} & content.keys(), path
        seen += 1
    assert seen > 12


def _rise(path: Path) -> None:
    content = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode(content | {"schema_version": 99}))


@pytest.mark.parametrize("name", ["run.json", "findings.json", "file-hashes.json", "estimates.json"])
def test_a_folder_of_a_newer_version_is_refused_and_left_as_it_is(name: str, finished: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, whole = finished
    out = shutil.copytree(whole, tmp_path / "out")
    _rise(out / name)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "file-hashes.json"}
    with pytest.raises(WrittenByNewer, match=rf"{re.escape(name)} was written by .*schema 99.* upgrade robustbench-cv"):
        run(suite, out)
    assert {p: p.read_bytes() for p in before} == before


def test_records_of_a_newer_version_are_neither_read_nor_deleted(finished: tuple[Suite, Path], tmp_path: Path) -> None:
    suite, whole = finished
    out = shutil.copytree(whole, tmp_path / "out")
    path = next((out / "records").rglob("clean/*.parquet"))
    table = pyarrow.parquet.ParquetFile(path).read()
    pyarrow.parquet.write_table(
        table.replace_schema_metadata({b"cells": json.dumps(sorted(cells_in(path))), b"schema_version": b"2"}), path
    )
    with pytest.raises(WrittenByNewer, match="newer robustbench-cv"):
        run(suite, out)
    assert path.exists()


def test_a_kept_file_is_read_as_it_was_written_or_not_at_all(tmp_path: Path) -> None:
    path, value = tmp_path / "a" / "b.json", {"α": [1.5, None, "x"], "nested": {"n": 2**53}}
    write_kept(path, value)
    assert read_kept(path, dict) == value
    assert json.loads(path.read_text())["schema_version"] == FORM
    assert read_kept(tmp_path / "none.json", dict) is None
    with pytest.raises(FileNotFoundError):
        load_kept(tmp_path / "none.json", dict, remedy="")
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        with contextlib.suppress(Damaged, WrittenByNewer):
            assert load_kept(path, dict, remedy="") == value, "white space"
    path.write_bytes(whole[:-9])
    with pytest.raises(Damaged, match="do this"):
        load_kept(path, dict, remedy="do this")
    path.write_bytes(b"[" * 100_000)
    assert read_kept(path, dict) is None
    assert issubclass(Damaged, UserError)
    assert SCHEMA_VERSION > 3, "findings.json has another form since"


def test_a_damaged_part_of_no_planned_cell_does_not_end_a_run(
    finished: tuple[Suite, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite, whole = finished
    out = shutil.copytree(whole, tmp_path / "out")
    stray = next((out / "records").rglob("clean/*.parquet")).with_name("0123.parquet")
    stray.write_bytes(b"half")
    monkeypatch.setattr(stored_cell, "run_cell", lambda job: pytest.fail("nothing is missing"))
    assert run(suite, out).computed == 0
    assert not stray.exists()
    assert str(stray) in caplog.text
