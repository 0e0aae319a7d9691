"""Models that hang, or end the process: named, with --skip-bad recorded as failed, and nothing of the rest is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robustbench_cv.results import Results
from tests.test_runner import write_data, write_model

HANGS = "__import__('time').sleep(600)"
DIES = "__import__('os').kill(__import__('os').getpid(), __import__('signal').SIGSEGV)"
ENDS = "__import__('os')._exit(3)"
IN_GREY = "\"under 'grey'\" in __import__('robustbench_cv.runner.supervisor_messages').runner.supervisor_messages.doing_now()"
"""Whether the condition is the one in which the model misbehaves; the checks, which come before, change images in every way."""


def run(tmp_path: Path, *more: str, fault: str, seconds: int = 3, limit: int = 40) -> subprocess.CompletedProcess[str]:
    model = write_model(tmp_path, before=f"if {IN_GREY}: {fault}")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"""
name: small
version: 1
tracks:
  - task: classification
    models: ["{model}"]
    datasets: ["{write_data(tmp_path, side=32)}"]
    conditions:
      - {{name: clean}}
      - {{name: grey, interventions: ["grayscale()"]}}
      - {{name: blurred, interventions: ["gaussian-blur(severity=1)"]}}
    metrics: [top-1]
"""
    )
    typed = ["run", str(suite), "--limit", str(limit), "--device", "cpu", "--strength", "0", "--cell-timeout", str(seconds), *more]
    command = [sys.executable, "-m", "robustbench_cv.cli", *typed, "--out", str(tmp_path / "out")]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def statuses(tmp_path: Path) -> dict[str, list[str]]:
    records = Results.open(tmp_path / "out").records
    return {name: sorted(rows.status.unique()) for name, rows in records.groupby("condition")}


def test_a_cell_that_hangs_is_recorded_as_failed_and_the_run_goes_on(tmp_path: Path) -> None:
    done = run(tmp_path, "--skip-bad", fault=HANGS)
    assert done.returncode in (0, 4), done.stderr
    assert "under 'grey': did not end within 3 s (--cell-timeout 3); recorded as failed" in done.stderr
    assert statuses(tmp_path) == {"blurred": ["ok"], "clean": ["ok"], "grey": ["failed"]}
    records = Results.open(tmp_path / "out").records
    assert set(records[records.condition == "grey"].reason_code) == {"timed-out"}
    assert not [line for line in done.stderr.splitlines() if line.startswith("Traceback")]


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "how"), [(DIES, "the process died (SIGSEGV"), (ENDS, "ended the program: exit code 3")])
def test_a_cell_in_which_the_process_ends_is_recorded_as_failed(tmp_path: Path, fault: str, how: str) -> None:
    done = run(tmp_path, "--skip-bad", fault=fault, seconds=60)
    assert done.returncode in (0, 4), done.stderr
    assert how in done.stderr
    assert statuses(tmp_path) == {"blurred": ["ok"], "clean": ["ok"], "grey": ["failed"]}
    again = run(tmp_path, "--skip-bad", fault="pass", seconds=60)
    assert again.returncode in (0, 4), again.stderr
    assert statuses(tmp_path) == {"blurred": ["ok"], "clean": ["ok"], "grey": ["ok"]}


@pytest.mark.slow
def test_without_skip_bad_it_ends_the_run_with_the_code_of_foreign_code(tmp_path: Path) -> None:
    done = run(tmp_path, fault=HANGS)
    assert done.returncode == 6
    assert "under 'grey': did not end within 3 s" in done.stderr
    assert "with --skip-bad the run records this as failed and goes on" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_watched_run_leaves_what_an_unwatched_one_leaves(tmp_path: Path) -> None:
    watched, plain = tmp_path / "watched", tmp_path / "plain"
    watched.mkdir()
    assert run(watched, fault="pass", seconds=60).returncode in (0, 4)
    (watched / "out").rename(plain)
    assert run(watched, fault="pass", seconds=60).returncode in (0, 4)
    names = [p.relative_to(plain).as_posix() for p in sorted((plain / "records").rglob("*.parquet"))]
    assert names
    assert all((plain / name).read_bytes() == (watched / "out" / name).read_bytes() for name in names)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_a_watched_run_ends_with_the_process_that_watches(tmp_path: Path) -> None:
    model = write_model(tmp_path, before="__import__('time').sleep(0.3)")
    typed = ["run", "--attack", "pgd(eps=0.1, steps=50)", "--model", model, "--data", write_data(tmp_path), "--device", "cpu"]
    command = [sys.executable, "-m", "robustbench_cv.cli", *typed, "--cell-timeout", "600", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (children := _children(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert children
        process.send_signal(signal.SIGKILL)
        process.wait()
        while any(map(_runs, children)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(_runs, children))
    finally:
        process.kill()


def _runs(pid: int) -> bool:
    """Whether a process is there, and not only its entry, which nobody took from the system's table."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() and os.path.exists(f"/proc/{pid}") else []
