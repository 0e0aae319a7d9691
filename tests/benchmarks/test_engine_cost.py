"""What the loop costs beside the model's own passes and beside torchattacks' loop, in one run, interleaved.

    OMP_NUM_THREADS=1 uv run pytest tests/benchmarks/test_engine_cost.py -m benchmark -s

Process CPU time on one thread, since wall time varies several-fold on a shared machine; ratios are between neighbours in time.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.adversary import run
from robustbench_cv.catalogue import ATTACKS, MODELS
from robustbench_cv.noise import Noise
from robustbench_cv.types import ClassTarget
from tests.adversary_models import noise

STEPS, BATCH, ROUNDS = 40, 64, 5

pytestmark = pytest.mark.benchmark


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def setting() -> tuple[Any, Tensor, Tensor]:
    """ResNet-20 with the published weights on CIFAR-10 images where the data folder is known, else random weights on random pixels."""
    folder = os.environ.get("ROBUSTBENCH_CV_DATA")
    if not folder:
        pictures = noise(BATCH).uniform((3, 32, 32))
        return MODELS.build("cifar-resnet20"), pictures, torch.arange(BATCH) % 10
    path = Path(folder) / "cifar10"
    with numpy.load(path / "test_2000.npz") as data:
        pictures = torch.from_numpy(data["images"][:BATCH]).permute(0, 3, 1, 2).contiguous().float() / 255
        labels = torch.from_numpy(data["labels"][:BATCH])
    return MODELS.build(f"cifar-resnet20(checkpoint='{path / 'resnet20.safetensors'}')"), pictures, labels


class Network(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.module

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.inner(x)
        return values


def bare_passes(network: nn.Module, x: Tensor, y: Tensor) -> None:
    """The floor: forward and backward to the input, weights frozen, nothing else."""
    for _ in range(STEPS):
        leaf = x.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(network(leaf), y, reduction="sum"), leaf)


def cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


@pytest.mark.parametrize("eps", ["1/255", "0.05/255"])
def test_pgd_costs_what_its_passes_cost(eps: str, setting: tuple[Any, Tensor, Tensor], benchmark: Any) -> None:
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = setting
    network = Network(model).eval().requires_grad_(False)
    radius = float(eps.split("/")[0]) / 255
    attack, theirs = ATTACKS.build(f"pgd(eps={eps}, steps={STEPS})"), torchattacks.PGD(network, radius, 2.5 * radius / STEPS, STEPS)
    truth, streams = [ClassTarget(int(v)) for v in y], Noise(0, tuple(f"cifar/{i}" for i in range(len(y))))
    workers: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_passes(network, x, y),
        "ours": lambda: run(attack, model, x, truth, streams),
        "torchattacks": lambda: theirs(x, y),
    }
    seconds: dict[str, list[float]] = {name: [] for name in workers}

    def one_round() -> None:
        # The order turns, so that a drift of the machine favours nobody.
        names = list(workers)[len(seconds["bare"]) % 3 :] + list(workers)[: len(seconds["bare"]) % 3]
        for name in names:
            seconds[name].append(cpu_seconds(workers[name]))

    bare_passes(network, x[:8], y[:8])
    benchmark.pedantic(one_round, rounds=ROUNDS)

    def ratio(of: str, to: str) -> float:
        return statistics.median(a / b for a, b in zip(seconds[of], seconds[to], strict=True))

    floor, peer = ratio("ours", "bare"), ratio("ours", "torchattacks")
    result = run(attack, model, x, truth, streams)
    passes = f"{int(result.forwards[0])} forwards, {int(result.backwards[0])} backwards of the first image"
    print(
        f"\npgd-{STEPS} at {eps}, batch {BATCH}, median of {ROUNDS}: {floor:.3f} x {STEPS} bare forward+backward passes, "
        f"{peer:.3f} x torchattacks (which is {ratio('torchattacks', 'bare'):.3f} x the passes); {passes}"
    )
    benchmark.extra_info.update(floor=floor, peer=peer)
    assert floor <= 1.05
    assert peer <= 1.0
