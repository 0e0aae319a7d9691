"""The benchmarks of `robustbench-cv bench`, which pytest-benchmark times: a model's own passes, and the engine's loop around them."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from robustbench_cv.adversary import run
from robustbench_cv.benchmarking import Case
from robustbench_cv.noise import Noise
from robustbench_cv.types import Candidates, predict


def test_throughput(benchmark: BenchmarkFixture, case: Case) -> None:
    """Prediction of a batch: raw and decode."""
    with torch.no_grad():
        benchmark(lambda: case.wait(predict(case.model, case.images)))


def test_gradient(benchmark: BenchmarkFixture, case: Case) -> None:
    """One pass forward and one backward to the images."""
    benchmark(lambda: case.wait(_pass(case)))


def test_attack_floor(benchmark: BenchmarkFixture, case: Case) -> None:
    """As many bare passes as the attack makes: what is beyond is the engine's."""
    result = run(case.attack, case.model, case.images, case.targets, Noise(0, case.ids))
    forwards, backwards = (int(count.max()) for count in (result.forwards, result.backwards))
    if not backwards:
        pytest.skip(f"{case.attack.name} found nothing to attack in the model's answers to these images")

    def passes() -> Tensor:
        made = case.images
        for _ in range(backwards):
            made = _pass(case)
        with torch.no_grad():
            for _ in range(forwards - backwards):
                case.model.raw(case.images)
        return made

    benchmark(lambda: case.wait(passes()))


def test_attack(benchmark: BenchmarkFixture, case: Case) -> None:
    """The engine: ten steps of an attack, judged."""
    result = run(case.attack, case.model, case.images, case.targets, Noise(0, case.ids))
    if not int(result.backwards.max()):
        pytest.skip(f"{case.attack.name} found nothing to attack in the model's answers to these images")
    benchmark(lambda: case.wait(run(case.attack, case.model, case.images, case.targets, Noise(0, case.ids))))


def _pass(case: Case) -> Tensor:
    leaf = case.images.detach().requires_grad_()
    raw = case.model.raw(leaf)
    values = raw.log_score[raw.valid] if isinstance(raw, Candidates) else raw.values
    return torch.autograd.grad(values.sum(), leaf)[0]
