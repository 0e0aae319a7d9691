"""How an attack's cost grows: with images, with steps, with the share of images that survive. Markdown tables, in process CPU time.

    ROBUSTBENCH_CV_DATA=DATA OMP_NUM_THREADS=1 uv run python -m tests.benchmarks.attack_growth

PGD on the CIFAR-10 ResNet-20, in batches of 64, as a run searches. Memory: the most that tensors took at once, above what was before.
"""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from torch import Tensor

from robustbench_cv.adversary import AttackResult, run
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.models.batch_norm_folding import fold
from robustbench_cv.noise import Noise
from robustbench_cv.runner.memory import keep_freed_memory
from robustbench_cv.types import ClassTarget
from tests.benchmarks.attack_parity import Network, setting
from tests.benchmarks.test_engine_cost import bare_passes, peak_bytes

BATCH = 64


def attacked(model: Any, faster: Any, spec: str, x: Tensor, y: Tensor) -> list[AttackResult]:
    attack, made = ATTACKS.build(spec), []
    for begin in range(0, len(x), BATCH):
        labels: list[Any] = [ClassTarget(int(v)) for v in y[begin : begin + BATCH]]
        ids = tuple(f"cifar/{i}" for i in range(begin, begin + len(labels)))
        made.append(run(attack, model, x[begin : begin + BATCH], labels, Noise(0, ids), faster))
    return made


def seconds(work: Any, repeats: int = 3) -> float:
    """The least of some repetitions."""
    taken = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return min(taken)


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    keep_freed_memory()
    model, x, y = setting(256)
    faster, network = fold(model, x[:1]), Network(model).eval().requires_grad_(False)
    attacked(model, faster, "pgd(eps=1/255, steps=2)", x[:BATCH], y[:BATCH])

    print("| images | CPU s | ms an image | peak MiB |\n|---|---|---|---|")
    for n in (32, 64, 128, 256):
        # Every image takes every step: the radius is next to nothing.
        spec = "pgd(eps=1e-7, steps=10)"
        cost = seconds(lambda n=n, spec=spec: attacked(model, faster, spec, x[:n], y[:n]))
        top = peak_bytes(lambda n=n: attacked(model, faster, "pgd(eps=1e-7, steps=2)", x[:n], y[:n]))
        print(f"| {n} | {cost:.2f} | {1000 * cost / n:.2f} | {top / 2**20:.1f} |", flush=True)

    print("\n| steps | CPU s | ms a step |\n|---|---|---|")
    for steps in (10, 20, 40, 80):
        cost = seconds(lambda steps=steps: attacked(model, faster, f"pgd(eps=1e-7, steps={steps})", x[:BATCH], y[:BATCH]), 2)
        print(f"| {steps} | {cost:.2f} | {1000 * cost / steps:.1f} |", flush=True)

    print("\n| eps | survivors | steps an image took, of 40 | CPU s | share of 40 bare passes |\n|---|---|---|---|---|")
    for eps in ("0.05/255", "0.25/255", "0.5/255", "1/255", "2/255"):
        floor = seconds(lambda: bare_passes(network, x[:BATCH], y[:BATCH], 40), 1)
        cost = seconds(lambda eps=eps: attacked(model, faster, f"pgd(eps={eps}, steps=40)", x[:BATCH], y[:BATCH]), 1)
        (made,) = attacked(model, faster, f"pgd(eps={eps}, steps=40)", x[:BATCH], y[:BATCH])
        took = float(made.backwards.float().mean())
        print(f"| {eps} | {int((~made.success).sum())} of {BATCH} | {took:.1f} | {cost:.2f} | {cost / floor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
