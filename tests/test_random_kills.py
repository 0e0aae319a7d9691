"""Fifty kills at random moments: no record is lost or changed, and what comes out in the end is what an unkilled run writes.

uv run pytest -m slow tests/test_random_kills.py
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pyarrow.parquet
import pytest

from robustbench_cv.run_folder import RunFolder
from tests.test_runner import small_suite, write_data, write_model

KILLS = 50
OFTEN = 10
"""So many kills at least must come between the first record and the last, or the test shows little."""

CODE = """
import msgspec, pathlib, sys
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import Suite
if __name__ == "__main__":
    suite = msgspec.json.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=Suite)
    run_suite(suite, pathlib.Path(sys.argv[2]), Options(workers=int(sys.argv[3])))
"""


def conclusions(out: Path) -> dict[str, bytes]:
    """What a run comes to: its records, its findings, its numbers."""
    kept = [*(out / "records").rglob("*.parquet"), RunFolder(out).findings, out / "summary.csv"]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in kept}


def parts(out: Path) -> set[str]:
    """The files that hold records."""
    return {str(path) for path in (out / "records").rglob("*.parquet")}


def recorded(out: Path) -> dict[tuple[str, str, str], str]:
    """Every record that lies in the folder, by model, condition and sample; each part can be read."""
    found = {}
    for path in (out / "records").rglob("*.parquet"):
        table = pyarrow.parquet.read_table(path)
        kept = table.select([name for name in table.column_names if name not in ("sample", "cell")]).to_pylist()
        for cell, sample, rest in zip(table["cell"].to_pylist(), table["sample"].to_pylist(), kept, strict=True):
            found[str(path.parent), str(cell), str(sample)] = repr(rest)
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_at_random_moments_lose_nothing(tmp_path: Path) -> None:
    slow = write_model(tmp_path, before="import os, time; time.sleep(float(os.environ.get('SECONDS_A_CALL', 0)))")
    (tmp_path / "suite.json").write_bytes(msgspec.json.encode(small_suite(slow, write_data(tmp_path))))
    (tmp_path / "run.py").write_text(CODE)
    draw = random.Random(0)
    killed, ended, workers_killed, between = 0, 0, 0, 0

    def start(out: Path, workers: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "suite.json"), str(out), str(workers)]
        return subprocess.Popen(command, env=os.environ | {"SECONDS_A_CALL": "0.02"}, stderr=subprocess.DEVNULL)

    def wait_for_lock(process: subprocess.Popen[bytes], out: Path) -> None:
        """Most of a start is spent on imports, in which nothing can be lost."""
        while process.poll() is None and not (out / ".lock").exists():
            time.sleep(0.01)
        (out / ".lock").unlink(missing_ok=True)

    whole, out = tmp_path / "whole", tmp_path / "killed"
    process = start(whole, 1)
    wait_for_lock(process, whole)
    begun = time.monotonic()
    seen: set[str] = set()
    changes = []
    while process.poll() is None:
        if (now := parts(whole)) != seen:
            seen = now
            changes.append(time.monotonic())
        time.sleep(0.01)
    assert process.wait() == 0
    longest, recording = 1.1 * (time.monotonic() - begun), changes[-1] - changes[0]
    wanted, complete = conclusions(whole), len(recorded(whole))
    assert wanted
    before: dict[tuple[str, str, str], str] = {}
    while killed < KILLS:
        process = start(out, draw.choice((1, 1, 2)))
        wait_for_lock(process, out)
        # At any moment, or soon after a record was written: a start, with its imports and checks, takes longer than the records.
        at_a_record, there = draw.random() < 0.7, parts(out)
        delay = time.monotonic() + (longest if at_a_record else draw.uniform(0, longest))
        while process.poll() is None and time.monotonic() < delay:
            if at_a_record and parts(out) != there:
                delay, at_a_record = time.monotonic() + draw.uniform(0, recording), False
            time.sleep(0.005)
        if process.poll() is None:
            children = _children(process.pid)
            if children and draw.random() < 0.5:
                os.kill(draw.choice(children), signal.SIGKILL)
                workers_killed += 1
                time.sleep(0.5)
            process.kill()
            process.wait()
            killed += 1
            left = recorded(out)
            assert before.items() <= left.items(), "a record that was there is gone, or another one"
            before = left
            between += 0 < len(left) < complete
            continue
        assert process.returncode == 0
        assert conclusions(out) == wanted
        shutil.rmtree(out)
        before = {}
        ended += 1
    assert start(out, 1).wait() == 0
    assert conclusions(out) == wanted
    assert not list(out.rglob("*.partial"))
    assert between >= OFTEN
    print(f"{killed} kills, {between} between the first record and the last, {workers_killed} of a worker first; {ended} runs ended before")


def _children(pid: int) -> list[int]:
    """The processes that a run has started: its workers, and what multiprocessing keeps beside them."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []
