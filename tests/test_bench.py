"""robustbench-cv bench: its file is pytest-benchmark's, with a benchmark of each kind for each model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from robustbench_cv.adversary import run
from robustbench_cv.benchmarking import ATTACKS_BY_TASK, make_case
from robustbench_cv.noise import Noise

COMMAND = [sys.executable, "-m", "robustbench_cv.cli", "bench"]


def test_the_file_is_pytest_benchmarks_and_its_compare_reads_it(tmp_path: Path) -> None:
    """Of one model twice: the same names in both files, which are what `compare` puts side by side."""
    pytest.importorskip("pytest_benchmark", reason="pytest-benchmark is an extra")
    small = ["lenet5.scenes", "--input", "32", "--batch-size", "2", "--seconds", "0.01"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [*COMMAND, *small, "--save", "one", "--json", "one.json"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads((tmp_path / "one.json").read_text())
    kinds = {"test_throughput", "test_gradient", "test_attack", "test_attack_floor"}
    assert {b["name"] for b in made["benchmarks"]} == {f"{kind}[lenet5.scenes]" for kind in kinds}
    assert {b["fullname"].partition("::")[0] for b in made["benchmarks"]} == {"benchmark_cases.py"}
    (kept,) = (tmp_path / ".benchmarks").rglob("*_one.json")
    (kept.parent / kept.name.replace("0001", "0002")).write_bytes(kept.read_bytes())
    compared = subprocess.run(
        [sys.executable, "-c", "from pytest_benchmark.cli import main; main()", "compare", "0001", "0002"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert compared.returncode == 0, compared.stderr
    for kind in kinds:
        assert compared.stdout.count(f"{kind}[lenet5.scenes] (0001") + compared.stdout.count(f"{kind}[lenet5.scenes] (0002") >= 2


@pytest.mark.parametrize("spec", ["lenet5.scenes", "unet.scenes", "yolov3-small.scenes"])
def test_each_step_of_the_attack_is_of_all_images(spec: str) -> None:
    case = make_case(spec, (64, 64), 2, "cpu")
    result = run(case.attack, case.model, case.images, case.targets, Noise(0, case.ids))
    assert case.model.info.task in ATTACKS_BY_TASK
    assert (result.backwards == 10).all()
