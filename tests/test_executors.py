"""Cells that other processes compute: the same bytes as one process writes, whatever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy
import pytest

import robustbench_cv as rb
from robustbench_cv.errors import ForeignError, UserError
from robustbench_cv.models.build import build
from robustbench_cv.runner import executor, local_executor, run
from robustbench_cv.runner.executor import MOST_TRIES, Group, Queue, WorkOrder, groups_of
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

MODEL = """
import os, pathlib, signal, sys
import torch
from torch import nn
from robustbench_cv.models.adapt import classifier
from robustbench_cv.types import Labels

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3)

    def forward(self, x):
        {before}
        return self.conv(x).mean((2, 3))

def build():
    return classifier(Net(), name={name!r}, classes=Labels(("dark", "bright", "red")), input_size=None)
"""


def write_model(folder: Path, name: str = "tiny", before: str = "pass") -> str:
    (folder / f"{name}.py").write_text(MODEL.format(before=before, name=name))
    return f"{folder / name}.py:build"


@pytest.fixture
def data(tmp_path: Path) -> str:
    rng = numpy.random.default_rng(0)
    images = rng.integers(0, 256, (80, 12, 12, 3), dtype=numpy.uint8)
    numpy.savez(tmp_path / "data.npz", images=images, labels=rng.integers(0, 3, 80), classes=numpy.array(["dark", "bright", "red"]))
    return f"npz:{tmp_path / 'data.npz'}"


def suite_of(models: tuple[str, ...], data: str, *more: Condition) -> Suite:
    warm = (Condition(f"pgd {k}", attack=f"pgd(eps={k}/255, steps=2)", severity=float(k), curve="pgd", warm=True) for k in (2, 4, 8))
    conditions = (CLEAN, Condition("grey", ("grayscale()",)), *warm, *more)
    return Suite("small", 1, (Track("classification", models, (data,), conditions, ("top-1",)),), reports=("main-table",), strength=0)


def files_of(folder: Path) -> dict[str, bytes]:
    """Whatever a run's results are made of; not what says how long it took or by which command."""
    kept = [*(folder / "records").rglob("*.parquet"), *(folder / "images").rglob("*.*"), folder / "summary.csv", folder / "findings.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in kept if path.is_file()}


def test_two_workers_leave_what_one_process_leaves(data: str, tmp_path: Path) -> None:
    suite = suite_of((write_model(tmp_path), write_model(tmp_path, "other")), data)
    run_suite(suite, tmp_path / "one", Options())
    outcome = run_suite(suite, tmp_path / "two", Options(workers=2))
    assert outcome.computed == len(outcome.results.run.cells)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")
    assert run_suite(suite, tmp_path / "two", Options(workers=2)).computed == 0
    assert not (tmp_path / "two" / "edited").exists()


@pytest.mark.slow
def test_what_a_run_of_one_process_left_workers_go_on_with(data: str, tmp_path: Path) -> None:
    suite = suite_of((write_model(tmp_path),), data)
    run_suite(suite, tmp_path / "whole", Options())
    run_suite(suite, tmp_path / "parts", Options())
    lost = sorted((tmp_path / "parts" / "records").rglob("*.parquet"))[0]
    lost.unlink()
    outcome = run_suite(suite, tmp_path / "parts", Options(workers=2))
    assert outcome.computed > 0
    assert outcome.reused > 0
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")


ONCE = "flag = pathlib.Path({flag!r}); flag.exists() and (flag.unlink(), os.kill(os.getpid(), signal.SIGKILL))"


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_nothing_is_lost(data: str, tmp_path: Path) -> None:
    """It is killed inside a cell, as the kernel kills what takes too much memory."""
    flag = tmp_path / "flag"
    suite = suite_of((write_model(tmp_path, before=ONCE.format(flag=str(flag))),), data)
    run_suite(suite, tmp_path / "one", Options())
    code = (
        "import msgspec, pathlib, sys\n"
        "from robustbench_cv.runner import run\n"
        "from robustbench_cv.runner.planned_cells import Options\n"
        "from robustbench_cv.suite import Suite\n"
        "suite = msgspec.json.decode(pathlib.Path(sys.argv[1]).read_bytes(), type=Suite)\n"
        "before = run.store_hashes\n"  # the last thing before the workers start
        "run.store_hashes = lambda store: (before(store), pathlib.Path(sys.argv[3]).write_text('die'))\n"
        "run.run_suite(suite, pathlib.Path(sys.argv[2]), Options(workers=2))\n"
    )
    (tmp_path / "suite.json").write_bytes(msgspec.json.encode(suite))
    command = [sys.executable, "-c", code, str(tmp_path / "suite.json"), str(tmp_path / "two"), str(flag)]
    subprocess.run(command, check=True, timeout=300)
    assert not flag.exists()
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def ordered(monkeypatch: pytest.MonkeyPatch, flag: Path) -> None:
    """Write the flag when the run is about to start its workers: its own process asks the model too, and is not to meet it."""
    order_of = executor.work_order

    def order(*arguments: Any) -> WorkOrder:
        flag.write_text("now")
        return order_of(*arguments)

    monkeypatch.setattr(run, "work_order", order)


@pytest.mark.slow
def test_workers_that_keep_dying_end_the_run_and_what_is_there_stays(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "flag"
    suite = suite_of(
        (write_model(tmp_path, before=f"pathlib.Path({str(flag)!r}).exists() and os.kill(os.getpid(), signal.SIGKILL)"),), data
    )
    run_suite(suite, tmp_path / "out", Options())
    sorted((tmp_path / "out" / "records").rglob("*.parquet"))[-1].unlink()
    left = files_of(tmp_path / "out").keys() - {"summary.csv", "findings.json"}
    ordered(monkeypatch, flag)
    with pytest.raises(OSError, match=rf"{MOST_TRIES} workers died over .*, the last: killed by SIGKILL"):
        run_suite(suite, tmp_path / "out", Options(workers=2))
    assert left <= {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}


def test_what_a_cell_raises_in_a_worker_is_raised_by_the_run(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "flag"
    unlucky = f"if next(calls) > 30 and pathlib.Path({str(flag)!r}).exists(): raise ValueError('no such luck')"  # a plan asks fewer times
    spec = write_model(tmp_path, before=unlucky)
    (tmp_path / "tiny.py").write_text("import itertools\ncalls = itertools.count()\n" + (tmp_path / "tiny.py").read_text())
    ordered(monkeypatch, flag)
    with pytest.raises(ForeignError, match="no such luck"):
        run_suite(suite_of((spec,), data), tmp_path / "out", Options(workers=2))


def test_a_model_that_was_handed_over_built_cannot_go_to_workers(data: str, tmp_path: Path) -> None:
    model: Any = build(write_model(tmp_path))
    with pytest.raises(UserError, match=r"was handed over built.*give a spec"):
        rb.run(suite_of((), data), models=[model], workers=2, out=tmp_path / "out")


@pytest.mark.slow
class _Gone:
    """The end of a pipe whose other end was in a process that was killed."""

    def send(self, message: object) -> None:
        raise BrokenPipeError

    def recv(self) -> object:
        raise ConnectionResetError


def test_a_worker_whose_run_was_killed_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_executor.signal, "signal", lambda *_: None)
    monkeypatch.setattr(local_executor, "_end_with", lambda parent: None)
    monkeypatch.setattr("robustbench_cv.runner.worker.Worker", lambda order: None)
    local_executor._serve(_Gone(), None, os.getppid())  # type: ignore[arg-type]


def test_a_run_that_is_killed_takes_its_workers_with_it(data: str, tmp_path: Path) -> None:
    model = write_model(tmp_path, before="import time; time.sleep(0.2)")
    code = (
        f"import robustbench_cv as rb; rb.run('linf(eps=2/255)', models=[{model!r}], data={data!r}, workers=2, out={str(tmp_path / 'o')!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"MARK_OF_THIS_TEST": str(tmp_path)}, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(_marked(tmp_path)) < 3:
        time.sleep(0.2)
    assert len(_marked(tmp_path)) >= 3
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while time.monotonic() < deadline and _marked(tmp_path):
        time.sleep(0.2)
    assert not _marked(tmp_path)


def _marked(folder: Path) -> list[int]:
    """Processes that this test started, and those that they started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK_OF_THIS_TEST={folder}".encode() in (path / "environ").read_bytes() and (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_cells_that_follow_one_another_are_one_group(data: str, tmp_path: Path) -> None:
    plan = make_plan(suite_of((write_model(tmp_path),), data), Options())
    names = {cell.row.key: cell.row.condition for cell in plan.cells}
    groups = [[names[key] for key in group.keys] for group in groups_of(plan.cells)]
    assert sorted(key for group in groups_of(plan.cells) for key in group.keys) == sorted(names)
    assert all(group in (["clean"], ["grey"], ["pgd 2", "pgd 4", "pgd 8"]) for group in groups)
    assert groups.count(["pgd 2", "pgd 4", "pgd 8"]) == groups.count(["clean"])


def test_a_worker_goes_on_with_the_model_it_has_alive() -> None:
    queue = Queue([Group("a", ("a1",)), Group("b", ("b1",)), Group("a", ("a2",)), Group("b", ("b2", "b3"))])
    assert (queue.take("one"), queue.take("two")) == (Group("a", ("a1",)), Group("b", ("b1",)))
    for worker, key in (("one", "a1"), ("two", "b1")):
        queue.finish(worker, key)
    assert queue.take("two") == Group("b", ("b2", "b3"))
    assert queue.take("one") == Group("a", ("a2",))
    queue.finish("two", "b2")
    queue.lose("two", "killed")
    assert not queue.is_empty
    queue.finish("one", "a2")
    assert queue.take("one") == Group("b", ("b3",))
    queue.lose("one", "killed")
    queue.take("three")
    with pytest.raises(OSError, match="3 workers died over the same cell"):
        queue.lose("three", "killed")


def test_workers_that_die_before_their_first_cell_end_the_run() -> None:
    queue = Queue([Group("a", ("a1",))])
    queue.lose("one", "killed")
    queue.lose("two", "killed")
    with pytest.raises(OSError, match="3 workers died over planning the run, the last: killed"):
        queue.lose("three", "killed")
