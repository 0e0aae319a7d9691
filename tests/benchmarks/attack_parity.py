"""Our attacks beside those of torchattacks, the AutoAttack reference and foolbox: robust accuracy, who breaks what, and process CPU time.

    ROBUSTBENCH_CV_DATA=DATA OMP_NUM_THREADS=1 uv run python -m tests.benchmarks.attack_parity --images 200 [--only autoattack]

On the CIFAR-10 ResNet-20 of DATA/cifar10. Peers that are not installed are left out:

    uv pip install foolbox git+https://github.com/fra31/auto-attack

Every peer's images are judged as ours are: misclassified, within the budget, in [0, 1]. "only ours" and "only theirs" count images that
one breaks and the other does not. For attacks without a bound: the median L2 size, and the share of images where ours is the larger by 1 %.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
import torch._dynamo
from torch import Tensor, nn

from robustbench_cv.adversary import run
from robustbench_cv.catalogue import ATTACKS, MODELS
from robustbench_cv.models.batch_norm_folding import fold
from robustbench_cv.noise import Noise
from robustbench_cv.runner.memory import keep_freed_memory
from robustbench_cv.types import ClassTarget

EPS = 1 / 255
Crafted = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """ours: a spec. peers: name -> (network -> attack). norm, bound: how a peer's images are checked."""

    ours: str
    peers: dict[str, Callable[[nn.Module], Crafted]]
    norm: float = math.inf
    bound: float = EPS


def torchattacks(name: str, **arguments: Any) -> Callable[[nn.Module], Crafted]:
    def make(network: nn.Module) -> Crafted:
        import torchattacks as library

        attack = getattr(library, name)(network, **arguments)
        attack.set_device("cpu")
        made: Crafted = attack
        return made

    return make


def reference(norm: str = "Linf", eps: float = EPS, only: str | None = None) -> Callable[[nn.Module], Crafted]:
    """The authors' AutoAttack, or one of its parts."""

    def make(network: nn.Module) -> Crafted:
        from autoattack import AutoAttack  # type: ignore[import-not-found,unused-ignore]

        attack = AutoAttack(network, norm=norm, eps=eps, device="cpu", seed=0, verbose=False)
        if only is not None:
            attack.attacks_to_run = [only]
        return lambda x, y: attack.run_standard_evaluation(x, y, bs=len(x))

    return make


def foolbox(name: str, eps: float | None, **arguments: Any) -> Callable[[nn.Module], Crafted]:
    def make(network: nn.Module) -> Crafted:
        import foolbox as library  # type: ignore[import-not-found,unused-ignore]

        model = library.PyTorchModel(network, bounds=(0, 1), device="cpu")
        attack = getattr(library.attacks, name)(**arguments)
        return lambda x, y: attack(model, x, y, epsilons=eps)[1]

    return make


STEP = 2.5 / 40 * EPS
ROWS = [
    Row(
        f"pgd(eps={EPS}, steps=40)",
        {
            "torchattacks": torchattacks("PGD", eps=EPS, alpha=STEP, steps=40),
            "foolbox": foolbox("LinfPGD", EPS, abs_stepsize=STEP, steps=40),
        },
    ),
    Row(
        f"apgd-ce(eps={EPS})",
        {"torchattacks": torchattacks("APGD", eps=EPS, steps=100, loss="ce"), "reference": reference(only="apgd-ce")},
    ),
    Row(f"apgd-dlr(eps={EPS})", {"torchattacks": torchattacks("APGD", eps=EPS, steps=100, loss="dlr")}),
    Row(
        f"apgd-t(eps={EPS})",
        {"torchattacks": torchattacks("APGDT", eps=EPS, steps=100, n_classes=10), "reference": reference(only="apgd-t")},
    ),
    Row(f"fab-t(eps={EPS})", {"reference": reference(only="fab-t")}),
    Row(f"fab(eps={EPS}, steps=20)", {"torchattacks": torchattacks("FAB", eps=EPS, steps=20, n_classes=10)}),
    Row(f"square(eps={EPS}, queries=500)", {"torchattacks": torchattacks("Square", eps=EPS, n_queries=500)}),
    Row("apgd-ce(norm='l1', eps=3.0)", {"reference": reference("L1", 3.0, "apgd-ce")}, 1, 3.0),
    Row(f"autoattack(eps={EPS})", {"reference": reference()}),
    Row(
        "cw-l2(steps=100, searches=1, weight=1.0)",
        {
            "torchattacks": torchattacks("CW", c=1, kappa=0, steps=100, lr=0.01),
            "foolbox": foolbox(
                "L2CarliniWagnerAttack", None, binary_search_steps=1, steps=100, stepsize=0.01, initial_const=1, abort_early=False
            ),
        },
        2,
        math.inf,
    ),
    Row(
        "deepfool",
        {
            "torchattacks": torchattacks("DeepFool", steps=50, overshoot=0.02),
            "foolbox": foolbox("L2DeepFoolAttack", None, steps=50, candidates=10, overshoot=0.02),
        },
        2,
        math.inf,
    ),
]


class Network(nn.Module):
    """Our model as the libraries take it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.module

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.inner(x)
        return values


def setting(images: int) -> tuple[Any, Tensor, Tensor]:
    path = Path(os.environ["ROBUSTBENCH_CV_DATA"]) / "cifar10"
    model = MODELS.build(f"cifar-resnet20(checkpoint='{path / 'resnet20.safetensors'}')")
    with numpy.load(path / "test_2000.npz") as data:
        pictures = torch.from_numpy(data["images"][:images]).permute(0, 3, 1, 2).contiguous().float() / 255
        return model, pictures, torch.from_numpy(data["labels"][:images])


def ours(model: Any, spec: str, x: Tensor, y: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    attack, first, faster = ATTACKS.build(spec), 0, fold(model, x[:1])
    images, broken = [], []
    for part, labels in zip(x.split(batch), y.split(batch), strict=True):
        ids = tuple(f"cifar/{first + i}" for i in range(len(part)))
        result = run(attack, model, part, [ClassTarget(int(v)) for v in labels], Noise(0, ids), faster)
        images.append(result.images)
        broken.append(result.success)
        first += len(part)
    return torch.cat(images), torch.cat(broken)


def theirs(network: nn.Module, make: Callable[[nn.Module], Crafted], x: Tensor, y: Tensor, batch: int, row: Row) -> tuple[Tensor, Tensor]:
    attack = make(network)
    torch.manual_seed(0)
    images = torch.cat([attack(a.clone(), b.clone()).detach() for a, b in zip(x.split(batch), y.split(batch), strict=True)])
    size = torch.linalg.vector_norm((images - x).flatten(1), ord=row.norm, dim=1)
    legal = (size <= row.bound * (1 + 1e-5) + 1e-6) & (images.flatten(1).amin(1) >= -1e-6) & (images.flatten(1).amax(1) <= 1 + 1e-6)
    with torch.no_grad():
        wrong_before, wrong = network(x).argmax(1) != y, network(images).argmax(1) != y
    return images, wrong_before | (wrong & legal)


def seconds(work: Callable[[], tuple[Tensor, Tensor]]) -> tuple[tuple[Tensor, Tensor], float]:
    begin = time.process_time()
    return work(), time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--batch", type=int, default=200)
    parser.add_argument("--only", default="", help="regular expression on our spec")
    parser.add_argument("--peers", default="", help="regular expression on the peer's name")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    keep_freed_memory()  # for both sides: it is one process
    model, x, y = setting(arguments.images)
    network = Network(model).eval().requires_grad_(False)
    head = ["ours", "peer", "robust ours", "robust peer", "only ours", "only peer", "CPU s ours", "CPU s peer", "ratio"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
    for row in (r for r in ROWS if re.search(arguments.only, r.ours)):
        (mine, broken), cost = seconds(lambda row=row: ours(model, row.ours, x, y, arguments.batch))  # type: ignore[misc]
        for name, make in row.peers.items():
            if not re.search(arguments.peers, name):
                continue
            try:
                (images, gone), price = seconds(lambda make=make, row=row: theirs(network, make, x, y, arguments.batch, row))  # type: ignore[misc]
            except ImportError as error:
                print(f"| {row.ours} | {name} | {1 - float(broken.float().mean()):.1%} | not installed: {error.name} |", flush=True)
                continue
            cells = [row.ours, name, *(f"{1 - float(b.float().mean()):.1%}" for b in (broken, gone))]
            cells += [str(int((broken & ~gone).sum())), str(int((gone & ~broken).sum()))]
            cells += [f"{cost:.1f}", f"{price:.1f}", f"{cost / price:.2f}"]
            if math.isinf(row.bound):
                both = broken & gone & ((images - x).flatten(1).norm(dim=1) > 0)
                a, b = ((v - x).flatten(1).norm(dim=1)[both] for v in (mine, images))
                larger = float((a > 1.01 * b).float().mean())
                cells.append(f"median size {float(a.median()):.4f} and {float(b.median()):.4f}, ours larger in {larger:.0%}")
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
