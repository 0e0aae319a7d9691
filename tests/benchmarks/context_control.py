"""Does the context index measure what it says? The same small models trained where context tells more and more of the object.

`python -m tests.benchmarks.context_control` trains a classifier, a segmenter and a detector on Scenes at bias 0, 0.5, 0.9 and 1.0 (the
probability that an object stands in its class's usual context), and prints the context index of each on the same pictures, by exact
counterfactuals and by filled masks. About half an hour on two cores; `--task classification --samples 1000 --epochs 4` is a quick look.
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

BIASES = (0.0, 0.5, 0.9, 1.0)

RECIPES: dict[Task, tuple[str, int, int]] = {
    "classification": ("scenes-classifier", 96, 6),
    "segmentation": ("segmenter(size=48, width=10, batch=32)", 48, 16),
    "detection": ("scenes-detector(width=8)", 96, 6),
}
"""Recipe, side of the pictures in px, epochs."""

MODELS: dict[Task, str] = {"classification": "cifar-resnet20", "segmentation": "unet", "detection": "yolov3-small"}

CONDITIONS = (
    CLEAN,
    Condition("removed, exact", ("remove(fill='exact')",)),
    Condition("swapped, exact", ("swap-context(to='exact')",)),
    Condition("removed, telea", ("remove(fill='telea')",)),
    Condition("swapped", ("swap-context(to='random')",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--task", choices=sorted(RECIPES), action="append")
    parser.add_argument("--samples", type=int, default=4000, help="training images")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--test", type=int, default=300, help="pictures that the index is measured on")
    parser.add_argument("--keep", type=Path, default=None, help="folder for weights and runs; a temporary one otherwise")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        print("| task | bias | object recall | context index, exact | context index, filled | n |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for task in asked.task or RECIPES:
            for bias in BIASES:
                print(row(task, bias, folder, asked.samples, asked.epochs, asked.test), flush=True)


def row(task: Task, bias: float, folder: Path, samples: int, epochs: int | None, test: int) -> str:
    """Train one model where it is not there yet, measure it, and write its line of the table."""
    recipe, side, own = RECIPES[task]
    weights = folder / f"{task}-{100 * bias:.0f}.safetensors"
    if not weights.exists():
        learned = f"scenes(split='train', samples={samples}, bias={bias}, size={side})"
        train(recipe, data=learned, out=weights, epochs=epochs or own, test=f"scenes(samples=200, size={side})")
    model = f"{MODELS[task]}(checkpoint={str(weights)!r})"
    metric = {"classification": "top-1", "segmentation": "miou", "detection": "ap"}[task]
    track = Track(
        task, (model,), (f"scenes(bias=0.5, samples={test}, size={side})",), CONDITIONS, (metric, "object-recall", "hallucination-rate")
    )
    suite = Suite(f"context-control-{task}-{100 * bias:.0f}", 1, (track,))
    results = run_suite(suite, folder / f"run-{task}-{100 * bias:.0f}", Options(strength=0)).results
    (group,) = results.groups()
    clean = results.estimate(group, "clean", "object-recall")
    cells = [f"{100 * (clean.value or 0):.1f}"]
    for removal, swap in (("removed, exact", "swapped, exact"), ("removed, telea", "swapped")):
        made = context_results.reliance(results, group, removal, swap).context_index
        shown = made.reason if made.value is None else f"{100 * made.value:.1f} [{100 * (made.low or 0):.1f}, {100 * (made.high or 0):.1f}]"
        cells.append(shown)
    return f"| {task} | {bias} | {' | '.join(cells)} | {clean.n} |"


if __name__ == "__main__":
    main()
