"""Runs that a signal, the disk or their own data end: a code and the way on, nothing wrong kept, the same bytes after the next one."""

from __future__ import annotations

import errno
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
import pytest
from PIL import Image

from robustbench_cv.cli import main
from robustbench_cv.cli.exits import exit_code_of
from robustbench_cv.files import PARTIAL, written_whole
from robustbench_cv.runner import stored_cell
from robustbench_cv.runner.cell import run_cell
from tests.test_runner import records_of, write_data, write_model

SLOW = "import os, time; time.sleep(float(os.environ.get('SECONDS_A_CALL', 0)))"


def command(model: str, data: str, out: Path) -> list[str]:
    return ["run", "--attack", "pgd(eps=0.1, steps=3)", "--model", model, "--data", data, "--device", "cpu", "--out", str(out)]


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def given(tmp_path: Path) -> tuple[str, str]:
    """A model and data, by spec."""
    return write_model(tmp_path, before=SLOW), write_data(tmp_path)


def started(arguments: list[str]) -> subprocess.Popen[str]:
    """A run in a process of its own, slow enough to be ended."""
    typed = [sys.executable, "-m", "robustbench_cv.cli", *arguments]
    return subprocess.Popen(typed, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"SECONDS_A_CALL": "0.02"})


def wait_for_records(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not list(out.glob("records/**/*.parquet")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"]


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """What heeds signals is the system's before the test, whoever started it ignored (nohup does), and as it was after it."""
    before = {name: signal.getsignal(signal.Signals[name]) for name in SIGNALS}
    for name in SIGNALS:
        signal.signal(signal.Signals[name], signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
    yield
    for name, handler in before.items():
        signal.signal(signal.Signals[name], handler)


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.usefixtures("own_handlers")
def test_a_signal_while_a_cell_is_computed_drops_the_cell_alone(
    name: str, given: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, cells = tmp_path / "out", 0

    def struck(job: object) -> object:
        nonlocal cells
        cells += 1
        if cells == 2:
            (out / "edited").mkdir()
            os.kill(os.getpid(), signal.Signals[name])
            time.sleep(1)  # a signal is heeded between two steps of the interpreter
        return run_cell(job)  # type: ignore[arg-type]

    with monkeypatch.context() as context:
        context.setattr(stored_cell, "run_cell", struck)
        assert call(*command(*given, out), "--quiet") == 5
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("interrupted" if name == "SIGINT" else f"interrupted ({name})")
    assert said.endswith(f"goes on from here: {shlex.join(['robustbench-cv', *command(*given, out), '--quiet'])}")
    assert len(list(out.rglob("*.parquet"))) == 1
    assert not (out / "edited").exists()
    call(*command(*given, out), "--quiet")
    call(*command(*given, tmp_path / "whole"), "--quiet")
    assert records_of(out) == records_of(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("name", SIGNALS)
def test_a_signal_ends_a_run_with_the_command_to_go_on(name: str, given: tuple[str, str], tmp_path: Path) -> None:
    out, number = tmp_path / "out", signal.Signals[name]
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)  # nohup ignores SIGHUP for all its children, and a run keeps to that
    with started(command(*given, out)) as process:
        wait_for_records(out, process)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "Traceback" not in said
    assert said.strip().splitlines()[-1].endswith(shlex.join(["robustbench-cv", *command(*given, out)]))
    assert not list(out.rglob(f"*{PARTIAL}"))
    assert not (out / "summary.csv").exists()
    assert call(*command(*given, out)) in (0, 3, 4)
    call(*command(*given, tmp_path / "whole"))
    assert records_of(out) == records_of(tmp_path / "whole")


@pytest.mark.parametrize("ignored", [signal.SIG_IGN, signal.getsignal(signal.SIGINT)])
@pytest.mark.usefixtures("own_handlers")
def test_a_signal_that_others_see_to_is_left_to_them(ignored: object) -> None:
    signal.signal(signal.SIGHUP, ignored)  # type: ignore[arg-type]
    call("list", "suites")
    assert signal.getsignal(signal.SIGHUP) == ignored


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing beyond so many bytes fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [2_500, 9_000])
def test_a_file_that_cannot_be_written_is_named_and_the_next_run_completes(
    size: int, given: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the first records, and at the pictures and the report."""
    out = tmp_path / "out"
    with largest_file(size):
        assert call(*command(*given, out), "--quiet") == 5
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.fullmatch(rf"error: {re.escape(str(out))}/[^:]+: File too large; raise the limit .* goes on from here", said), said
    assert PARTIAL not in said
    assert not list(out.rglob(f"*{PARTIAL}"))
    assert not list(out.rglob("summary.csv"))
    call(*command(*given, out), "--quiet")
    call(*command(*given, tmp_path / "whole"), "--quiet")
    assert records_of(out) == records_of(tmp_path / "whole")
    assert (out / "summary.csv").read_bytes() == (tmp_path / "whole" / "summary.csv").read_bytes()


def test_a_full_disk_is_said_with_the_file_that_it_had_no_room_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The system names no file, or the temporary one."""
    path = tmp_path / "records" / "a.parquet"
    for named in (False, True):
        with pytest.raises(OSError, match="No space left") as caught, written_whole(path) as temporary:
            raise OSError(errno.ENOSPC, "Error writing bytes", *([str(temporary)] if named else []))
        assert not list(path.parent.iterdir())
        assert exit_code_of(caught.value.with_traceback(None), None) == 5
        said = capsys.readouterr().err.strip()
        assert said == f"error: {path}: No space left on device; free some space, and the same command goes on from here"


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="no folder that even root may not write to")
def test_a_folder_that_cannot_be_written_to_is_said_with_another_way(given: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*command(*given, Path("/sys/kernel/run"))) == 5
    assert re.search(r"error: /sys/kernel/run: .*; let this user write there, or name another place with --out", capsys.readouterr().err)


def write_folder(root: Path, count: int = 8) -> str:
    rng = numpy.random.default_rng(0)
    for i in range(count):
        path = root / ("bright" if i % 2 else "dark") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(100 * (i % 2), 100 * (i % 2) + 150, (12, 12, 3), numpy.uint8)).save(path)
    return f"folder:{root}"


@pytest.mark.parametrize("when", ["before", "after"])
def test_data_that_disappear_in_mid_run_are_named_and_nothing_of_them_is_kept(
    when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a cell reads them, and after it has."""
    model, data, out, place = write_model(tmp_path), write_folder(tmp_path / "images"), tmp_path / "out", tmp_path / "images"
    with monkeypatch.context() as context:

        def disturbed(job: object) -> object:
            made = run_cell(job) if when == "after" else None  # type: ignore[arg-type]
            place.rename(tmp_path / "gone")
            return made or run_cell(job)  # type: ignore[arg-type]

        context.setattr(stored_cell, "run_cell", disturbed)
        assert call(*command(model, data, out), "--quiet") in (2, 5)
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert re.match(r"error: (.*/images/dark/2\.png does not exist|sample 'images/dark/2\.png' and 7 more .* is not stored)", said), said
    assert not list(out.rglob("*.parquet"))
    shutil.move(tmp_path / "gone", place)
    call(*command(model, data, out), "--quiet")
    call(*command(model, data, tmp_path / "whole"), "--quiet")
    assert records_of(out) == records_of(tmp_path / "whole") != {}
