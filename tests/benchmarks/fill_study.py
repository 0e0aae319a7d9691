"""What fills leave of a removal: pixel error and time of each fill, and how far removals through masks are from exact ones.

`python -m tests.benchmarks.fill_study` prints, over the same pictures of Scenes, the mean absolute error of each fill in the removed region
beside the exact counterfactual and its seconds as a multiple of telea's; then the bias of telea's effects on the bundled models with the
object's mask, and with its cast shadow in the mask. Ten minutes on two cores; `--samples 20` is a quick look.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from robustbench_cv import context_results
from robustbench_cv.catalogue import DATASETS, INTERVENTIONS
from robustbench_cv.noise import Noise
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task

FILLS = ("telea", "blur", "tile", "patch-match")

MODELS: dict[Task, tuple[tuple[str, ...], str]] = {
    "classification": (("cifar-resnet20.scenes", "lenet5.scenes"), "top-1"),
    "segmentation": (("unet.scenes",), "miou"),
    "detection": (("yolov3-small.scenes",), "ap"),
}
"""Models and the metric beside the recall of objects."""

MASK, SHADOW, EXACT = "mask", "mask and shadow", "exact"


def pixel_errors(samples: int) -> None:
    """Mean absolute difference from the exact removal over the region, pixels in 0..1, and seconds beside telea's."""
    data = DATASETS.build("scenes")
    exact = INTERVENTIONS.build("remove(fill='exact')")
    fills = {name: INTERVENTIONS.build(f"remove(fill={name!r})") for name in FILLS}
    errors, seconds = dict.fromkeys(FILLS, 0.0), dict.fromkeys(FILLS, 0.0)
    for index in range(samples):
        sample = data[index]
        truth = exact(sample, Noise(0, (sample.id,), "fill study")).image
        for name, fill in fills.items():
            start = time.perf_counter()
            made = fill(sample, Noise(0, (sample.id,), "fill study"))
            seconds[name] += time.perf_counter() - start
            assert made.edit is not None
            errors[name] += float((made.image - truth).abs()[:, made.edit.region].mean()) / samples
    for name in FILLS:
        print(f"{name:12} mean error {errors[name]:.3f}, time x {seconds[name] / seconds['telea']:.1f} of telea's", flush=True)


def biases(samples: int, folder: Path) -> None:
    conditions = (
        CLEAN,
        Condition(MASK, ("remove()",)),
        Condition(SHADOW, ("remove(shadow=True)",)),
        Condition(EXACT, ("remove(fill='exact')",)),
    )
    tracks = tuple(
        Track(task, models, ("scenes",), conditions, (metric, "object-recall"), samples) for task, (models, metric) in MODELS.items()
    )
    results = run_suite(Suite("fills", 1, tracks, reports=("main-table",)), folder, Options(strength=0)).results
    for group in results.groups():
        for name in (MASK, SHADOW):
            bias = context_results.fidelity(results, group, name, EXACT).bias
            said = (
                bias.reason
                if bias.value is None
                else " ".join(f"{100 * v:+.1f}" for v in (bias.value, bias.low, bias.high) if v is not None)
            )
            print(f"{group.model:22} {name:16} bias of telea in points, and its interval: {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100, help="pictures of each data set")
    samples = parser.parse_args().samples
    pixel_errors(min(samples, 24))
    with tempfile.TemporaryDirectory() as folder:
        biases(samples, Path(folder))


if __name__ == "__main__":
    main()
