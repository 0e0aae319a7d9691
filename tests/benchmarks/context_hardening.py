"""What training with `--augment context` buys, and what it costs: `python -m tests.benchmarks.context_hardening`.

A classifier and a segmenter are trained on Scenes at bias 0.9, plainly and with other contexts, and compared by the suite
`context-hardening`. About half an hour on two cores for the classifier, longer for the segmenter; `--samples 200 --epochs 1` is a look at
the form of it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite_files import find_suite
from robustbench_cv.tasks import Task
from robustbench_cv.training.train import train


@dataclass(frozen=True)
class Case:
    """size: side of the pictures in px. trainings: what each weights file learns from beside the images, the plain one first."""

    recipe: str
    size: int
    model: str
    epochs: int
    trainings: Mapping[str, str | None]


CASES: dict[Task, Case] = {
    "classification": Case("scenes-classifier", 96, "cifar-resnet20", 8, {"plain": None, "context": "context(copies=2, swaps=0.7)"}),
    "segmentation": Case(
        "segmenter(size=48, width=10, batch=32)",
        48,
        "unet",
        16,
        {
            "plain": None,
            "context": "context(copies=2, swaps=0.7, sampling='size', loss='negative')",
            "hard-negative": "context(copies=2, swaps=0.7, sampling='hard-negative', loss='negative')",
        },
    ),
}


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
        for task in asked.task or CASES:
            models = _trained(task, folder, asked.samples, asked.epochs)
            for table in compared(task, models, folder / f"run-{task}", asked.test):
                print(table.to_markdown(), flush=True)


def _trained(task: Task, folder: Path, samples: int, epochs: int | None) -> list[str]:
    """The models as specs, trained where their weights are not there yet."""
    case = CASES[task]
    for name, augment in case.trainings.items():
        weights = _weights(task, name, folder)
        if not weights.exists():
            learned = f"scenes(split='train', samples={samples}, bias=0.9, size={case.size})"
            judged = f"scenes(samples=200, size={case.size})"
            train(case.recipe, data=learned, test=judged, out=weights, epochs=epochs or case.epochs, augment=augment)
    return [f"{case.model}(checkpoint={str(_weights(task, name, folder))!r})" for name in case.trainings]


def _weights(task: Task, name: str, folder: Path) -> Path:
    return folder / f"{task}-{name}.safetensors"


def compared(task: Task, models: list[str], folder: Path, test: int) -> list[Table]:
    """The tables of the suite's report, the first model being the plain one."""
    suite = find_suite(f"context-hardening(samples={test}, size={CASES[task].size})")
    results = run_suite(suite, folder, Options(models=tuple(models), strength=0)).results
    return [item for item in build_items(results, ["hardening"]) if isinstance(item, Table)]


if __name__ == "__main__":
    main()
