"""What the loop costs beside the model's own passes and beside other libraries' loops, in one run, in turns; and the memory that it takes.

    ROBUSTBENCH_CV_DATA=DATA OMP_NUM_THREADS=1 uv run pytest tests/benchmarks/test_engine_cost.py -m benchmark -s -n 0

Process CPU time on one thread, since wall time varies several-fold on a shared machine; ratios are between neighbours in time. foolbox is
measured where it is installed. ROUNDS=1 for a quick look, else 5.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from robustbench_cv.adversary import run
from robustbench_cv.catalogue import ATTACKS, MODELS
from robustbench_cv.models.batch_norm_folding import fold
from robustbench_cv.models.build import build
from robustbench_cv.noise import Noise
from robustbench_cv.runner.memory import keep_freed_memory
from robustbench_cv.types import ClassTarget
from tests.adversary_models import noise

STEPS, BATCH = 40, 64
ROUNDS = int(os.environ.get("ROUNDS", "5"))

pytestmark = pytest.mark.benchmark


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """And memory kept from one pass to the next, as every run keeps it: for all that are measured."""
    keep_freed_memory()
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


def bare_passes(network: nn.Module, x: Tensor, y: Tensor, steps: int = STEPS) -> None:
    """The floor: forward and backward to the input, weights frozen, nothing else."""
    for _ in range(steps):
        leaf = x.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(network(leaf), y, reduction="sum"), leaf)


def cpu_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def peers(network: nn.Module, radius: float) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """PGD of other libraries with our start, step and number of steps."""
    torchattacks = pytest.importorskip("torchattacks")
    found: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"torchattacks": torchattacks.PGD(network, radius, 2.5 * radius / STEPS, STEPS)}
    if importlib.util.find_spec("foolbox"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the libraries that it imports
            import foolbox  # type: ignore[import-not-found,unused-ignore]

        model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
        attack = foolbox.attacks.LinfPGD(abs_stepsize=2.5 * radius / STEPS, steps=STEPS)
        found["foolbox"] = lambda x, y: attack(model, x, y, epsilons=radius)[1]
    return found


@pytest.mark.parametrize(("eps", "floor_target", "peer_target"), [("1/255", 0.35, 0.35), ("0.05/255", 0.90, 0.90)])
def test_pgd_on_resnet20(eps: str, floor_target: float, peer_target: float, setting: tuple[Any, Tensor, Tensor], benchmark: Any) -> None:
    """As a run searches: on the folded twin, broken samples out of the batch, judged on the model; making the twin included."""
    model, x, y = setting
    network = Network(model).eval().requires_grad_(False)
    radius = float(eps.split("/")[0]) / 255
    attack, others = ATTACKS.build(f"pgd(eps={eps}, steps={STEPS})"), peers(network, radius)
    truth, streams = [ClassTarget(int(v)) for v in y], Noise(0, tuple(f"cifar/{i}" for i in range(len(y))))
    workers: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_passes(network, x, y),
        "ours": lambda: run(attack, model, x, truth, streams, fold(model, x[:1])),
        "ours, plain": lambda: run(attack, model, x, truth, streams),
        **{name: lambda theirs=theirs: theirs(x, y) for name, theirs in others.items()},  # type: ignore[misc]
    }
    ratio = measured(workers, benchmark)
    result, plain = run(attack, model, x, truth, streams, fold(model, x[:1])), run(attack, model, x, truth, streams)
    wrong = {name: network(theirs(x, y)).argmax(dim=1) != y for name, theirs in others.items()}
    beside = ", ".join(f"{ratio('ours', name):.3f} x {name} (itself {ratio(name, 'bare'):.3f} x the passes)" for name in others)
    robust = ", ".join(f"{name} {int((~broken).sum())}" for name, broken in wrong.items())
    print(
        f"\npgd-{STEPS} at {eps}, batch {len(y)}, median of {ROUNDS}: {ratio('ours', 'bare'):.3f} x {STEPS} bare forward+backward passes, "
        f"{beside}, {ratio('ours', 'ours, plain'):.3f} x our loop without the twin; robust: ours {int((~result.success).sum())}, "
        f"without the twin {int((~plain.success).sum())}, {robust} of {len(y)}"
    )
    assert ratio("ours", "bare") <= floor_target
    # The fastest of them, so the largest of the ratios.
    assert max(ratio("ours", name) for name in others) <= peer_target
    assert int((result.success != plain.success).sum()) <= 1
    assert all(int((result.success != broken).sum()) <= 1 for broken in wrong.values())


def test_the_loop_itself_on_a_tiny_network(benchmark: Any) -> None:
    """LeNet-5 costs a quarter of a millisecond an image, so the loop shows beside the passes. No sample breaks: all take every step."""
    model: Any = build("lenet5.scenes")
    x = noise(BATCH).uniform((3, 32, 32))
    y = model.raw(x).values.argmax(dim=1)
    network = Network(model)
    attack, streams = ATTACKS.build(f"pgd(eps=1e-6, steps={STEPS})"), noise(BATCH)
    truth = [ClassTarget(int(v)) for v in y]
    workers: dict[str, Callable[[], object]] = {
        "bare": lambda: bare_passes(network, x, y),
        "ours": lambda: run(attack, model, x, truth, streams),
    }
    # The least of several rounds: neighbours on the machine take the cache away, which costs short operations most.
    ratio = measured(workers, benchmark, rounds=15, of=lambda ours, theirs: min(ours) / min(theirs))
    print(f"\npgd-{STEPS} on LeNet-5, batch {BATCH}, without a twin: {ratio('ours', 'bare'):.3f} x the bare passes (least of 15 each)")
    assert ratio("ours", "bare") <= 1.15


@pytest.mark.parametrize("spec", ["pgd(eps=0.05/255, steps=3)", "pgd(eps=1/255, steps=3)", "apgd-t(eps=1/255, steps=3)"])
def test_a_search_holds_little_more_than_one_batch(spec: str, setting: tuple[Any, Tensor, Tensor], benchmark: Any) -> None:
    """As a run searches, on the twin: at most a tenth above one forward and one backward pass of the model itself over the batch."""
    model, x, y = setting
    network = Network(model).eval().requires_grad_(False)
    attack, truth, streams = ATTACKS.build(spec), [ClassTarget(int(v)) for v in y], noise(BATCH)
    faster = fold(model, x[:1])
    floor = peak_bytes(lambda: bare_passes(network, x, y, 1))
    benchmark.pedantic(lambda: None)  # bytes are what is measured
    plain, ours = (peak_bytes(lambda on=on: run(attack, model, x, truth, streams, on)) for on in (None, faster))  # type: ignore[misc]
    print(f"\n{spec}, batch {BATCH}: {ours / 2**20:.1f} MiB, without the twin {plain / 2**20:.1f}, one bare pass {floor / 2**20:.1f}")
    assert ours <= 1.1 * floor
    # APGD holds eight images for each, PGD three: without the twin that is a little more than the tenth.
    assert plain <= (1.1 if spec.startswith("pgd") else 1.2) * floor


def peak_bytes(work: Callable[[], object]) -> int:
    """The most that was allocated at once for tensors while working, above what was before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    now = most = 0
    profiled: Any = seen.profiler
    for event in profiled.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Of neighbours in time."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def measured(
    workers: dict[str, Callable[[], object]],
    benchmark: Any,
    rounds: int = ROUNDS,
    of: Callable[[Sequence[float], Sequence[float]], float] = median_ratio,
) -> Callable[[str, str], float]:
    """Ratio of the CPU seconds of two workers by name, timed in turns after a round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}

    def one_round() -> None:
        # The order turns, so that a drift of the machine favours nobody.
        at = len(next(iter(seconds.values()))) % len(workers)
        for name in [*workers][at:] + [*workers][:at]:
            seconds[name].append(cpu_seconds(workers[name]))

    if rounds > 1:
        one_round()
    for taken in seconds.values():
        taken.clear()
    benchmark.pedantic(one_round, rounds=rounds)

    def ratio(ours: str, theirs: str) -> float:
        return of(seconds[ours], seconds[theirs])

    benchmark.extra_info.update({f"{a} / {b}": ratio(a, b) for a in workers for b in workers if a != b})
    return ratio
