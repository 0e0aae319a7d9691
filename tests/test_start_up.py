"""What a command loads before it is of use: counted by module, since seconds are another machine's."""

import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track

LARGE = ("torch", "torchvision", "torch._dynamo", "timm", "pandas", "scipy", "matplotlib", "seaborn", "sympy")

PROGRAM = """
import atexit, os, sys
atexit.register(lambda: print("LOADED", *(name for name in {large!r} if name in sys.modules), file=sys.stderr))
{before}
from robustbench_cv.cli import main
main(sys.argv[1:])
"""

AT_FIRST_CELL = """
import robustbench_cv.record_store as records
def tell(*_):
    print("LOADED", *(name for name in {large!r} if name in sys.modules), file=sys.stderr, flush=True)
    os._exit(0)
records.RecordStore.write = tell
"""


def loaded(*arguments: str, before: str = "") -> set[str]:
    """The large libraries that a command has loaded when it ends."""
    program = PROGRAM.format(large=LARGE, before=before.format(large=LARGE))
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert "LOADED" in done.stderr, done.stderr
    return set(done.stderr.rpartition("LOADED")[2].split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of three tasks, with pictures."""
    path = tmp_path_factory.mktemp("runs") / "grey"
    grey = (CLEAN, Condition("grey", ("grayscale()",)))
    tracks = tuple(
        Track(task, (model,), ("scenes(samples=2)",), grey, (metric,))
        for task, model, metric in (
            ("classification", "lenet5.scenes", "top-1"),
            ("segmentation", "unet.scenes", "miou"),
            ("detection", "yolov3-small.scenes", "ap"),
        )
    )
    run_suite(Suite("grey", 1, tracks, reports=("main-table", "gallery", "checks")), path, Options(strength=0))
    assert (path / "report").is_dir()
    return path


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "quik"),
        ("run", "quick", "--model", "lenet6.scenes"),
        ("run", "quick", "--data", "scens"),
        ("run", "linf(esp=8/255)"),
        ("show", "attack", "pgdd"),
        ("list", "models"),
        ("--help",),
    ],
)
def test_names_are_looked_up_without_any_large_library(arguments: tuple[str, ...]) -> None:
    assert loaded(*arguments) == set()


def test_a_report_that_was_made_before_loads_nothing_that_draws_or_predicts(folder: Path) -> None:
    assert loaded("report", str(folder)) <= {"pandas"}


def test_quick_loads_nothing_to_its_first_cell_that_it_does_not_use(tmp_path: Path) -> None:
    """A classifier, a segmenter and a detector of this package: torch alone, and what writes records."""
    libraries = loaded("run", "quick", "--limit", "1", "--out", str(tmp_path / "run"), before=AT_FIRST_CELL)
    assert libraries <= {"torch", "pandas"}
    assert "torch" in libraries
