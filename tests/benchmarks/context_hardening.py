"""What training with `--augment context` buys, and what it costs: `python -m tests.benchmarks.context_hardening`.

A classifier and a segmenter are trained on Scenes at bias 0.9, with and without it, and measured in context (every object in its class's
usual one) and out of it (none). About half an hour on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from robustbench_cv import context_results
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task
from robustbench_cv.training.train import train

CASES: dict[Task, tuple[str, int, str, str, int, str]] = {
    "classification": ("scenes-classifier", 96, "cifar-resnet20", "top-1", 8, "context(copies=2, swaps=0.7)"),
    "segmentation": (
        "segmenter(size=48, width=10, batch=32)",
        48,
        "unet",
        "miou",
        16,
        "context(copies=2, swaps=0.7, sampling='size', loss='negative')",
    ),
}
"""Recipe, side of the pictures in px, model, metric, epochs, augmentation."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--task", choices=sorted(CASES), action="append")
    parser.add_argument("--samples", type=int, default=4000, help="training images")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--test", type=int, default=400, help="pictures of each kind")
    parser.add_argument("--keep", type=Path, default=None, help="folder for weights and runs; a temporary one otherwise")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print("| task | training | metric | in context | out of context | context index |")
        print("| --- | --- | --- | ---: | ---: | ---: |")
        for task in asked.task or CASES:
            recipe, side, model, metric, own, augment = CASES[task]
            for name, spec in (("plain", None), (augment, augment)):
                weights = folder / f"{task}-{'plain' if spec is None else 'context'}.safetensors"
                if not weights.exists():
                    learned = f"scenes(split='train', samples={asked.samples}, bias=0.9, size={side})"
                    judged = f"scenes(samples=200, size={side})"
                    train(recipe, data=learned, test=judged, out=weights, epochs=asked.epochs or own, augment=spec)
                cells = _measure(task, f"{model}(checkpoint={str(weights)!r})", metric, folder / f"run-{weights.stem}", asked.test, side)
                print(f"| {task} | {name} | {metric} | {' | '.join(cells)} |", flush=True)


def _measure(task: Task, model: str, metric: str, folder: Path, test: int, side: int) -> list[str]:
    conditions = (CLEAN, Condition("removed", ("remove(fill='exact')",)), Condition("swapped", ("swap-context(to='exact')",)))
    data = tuple(f"scenes(bias={bias}, samples={test}, size={side})" for bias in (1.0, 0.0))
    suite = Suite(
        f"context-hardening-{task}", 1, (Track(task, (model,), data, conditions, (metric, "object-recall", "hallucination-rate")),)
    )
    results = run_suite(suite, folder, Options(strength=0)).results
    cells = []
    for group in results.groups():
        e = results.estimate(group, "clean", metric)
        cells.append(f"{100 * (e.value or 0):.1f} [{100 * (e.low or 0):.1f}, {100 * (e.high or 0):.1f}]")
    index = context_results.reliance(results, results.groups()[0], "removed", "swapped").context_index
    cells.append(
        "none" if index.value is None else f"{100 * index.value:.1f} [{100 * (index.low or 0):.1f}, {100 * (index.high or 0):.1f}]"
    )
    return cells


if __name__ == "__main__":
    main()
