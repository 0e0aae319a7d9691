"""A run folder copied to an address of fsspec: whole, gone on from elsewhere, and enough for workers that share no folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import numpy
import pytest

from robustbench_cv.errors import UserError
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.mirror import Mirror
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from tests.test_executors import files_of, suite_of, write_model


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = numpy.random.default_rng(0)
    images = rng.integers(0, 256, (80, 12, 12, 3), dtype=numpy.uint8)
    numpy.savez(tmp_path / "data.npz", images=images, labels=rng.integers(0, 3, 80), classes=numpy.array(["dark", "bright", "red"]))
    return f"npz:{tmp_path / 'data.npz'}"


def test_another_machine_goes_on_from_what_lies_there(data: str, tmp_path: Path) -> None:
    suite, address = suite_of((write_model(tmp_path),), data), f"memory://{uuid.uuid4().hex}/runs/small"
    first = run_suite(suite, tmp_path / "here", Options(mirror=address))
    files, root = fsspec.url_to_fs(address)
    there = {name.removeprefix(root).lstrip("/") for name in files.find(root)}
    here = {p.relative_to(tmp_path / "here").as_posix() for p in (tmp_path / "here").rglob("*") if p.is_file()}
    assert there == here - {".lock", "file-hashes.json"}
    second = run_suite(suite, tmp_path / "elsewhere", Options(mirror=address))
    assert (second.computed, second.reused) == (0, first.computed)
    assert files_of(tmp_path / "here") == files_of(tmp_path / "elsewhere")


def test_each_cell_is_there_before_the_run_ends(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, address = suite_of((write_model(tmp_path),), data), f"memory://{uuid.uuid4().hex}/run"
    whole = run_suite(suite, tmp_path / "whole", Options())
    monkeypatch.setattr(Mirror, "push_all", lambda mirror: (_ for _ in ()).throw(OSError("the machine is gone")))
    with pytest.raises(OSError, match="gone"):
        run_suite(suite, tmp_path / "here", Options(mirror=address))
    monkeypatch.undo()
    again = run_suite(suite, tmp_path / "elsewhere", Options(mirror=address))
    assert (again.computed, again.reused) == (0, whole.computed)
    assert files_of(tmp_path / "elsewhere") == files_of(tmp_path / "whole")


@pytest.mark.slow
def test_workers_that_share_no_folder_leave_what_one_process_leaves(data: str, tmp_path: Path) -> None:
    suite = suite_of((write_model(tmp_path), write_model(tmp_path, "other")), data)
    run_suite(suite, tmp_path / "one", Options())
    address = f"file://{tmp_path / 'mirror'}"
    outcome = run_suite(suite, tmp_path / "two", Options(workers=2, mirror=address))
    assert outcome.computed == len(outcome.results.run.cells)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    # A worker that begins with half of a curve there takes the rest over from the mirror.
    half = tmp_path / "half"
    for path in sorted((tmp_path / "mirror" / "records").rglob("*.parquet")):
        if "pgd-8" in str(path.parent) or "pgd 8" in str(path.parent):
            path.unlink()
    again = run_suite(suite, half, Options(workers=2, mirror=address))
    assert 0 < again.computed < outcome.computed
    assert files_of(half) == files_of(tmp_path / "one")


def test_what_is_gone_here_is_deleted_there(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    mirror = Mirror(f"file://{tmp_path / 'mirror'}", folder)
    (folder.root / "records").mkdir(parents=True)
    (folder.root / "records" / "a").write_text("one")
    (folder.root / "run.json").write_text("1")
    mirror.push_all()
    (folder.root / "records" / "a").rename(folder.root / "records" / "b")
    (folder.root / "run.json").write_text("2")
    (folder.root / "x.partial").write_text("half")
    mirror.push_all()
    assert {p.relative_to(tmp_path / "mirror").as_posix() for p in (tmp_path / "mirror").rglob("*") if p.is_file()} == {
        "records/b",
        "run.json",
    }
    assert (tmp_path / "mirror" / "run.json").read_text() == "2"


@pytest.mark.parametrize("address", ["nothing-such://x", "s3://bucket/run"])
def test_an_address_that_nothing_can_read_is_named(address: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--mirror"):
        Mirror(address, RunFolder(tmp_path)).pull_all()
