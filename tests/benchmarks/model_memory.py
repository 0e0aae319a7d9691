"""Memory of a suite of 31 models beside that of its largest model alone: `python -m tests.benchmarks.model_memory` (Linux).

Peak resident size of the whole process, each run in one of its own: clean images, two samples, random weights; on a GPU also the peak of
what torch has allocated there. The last column is what the models weigh: what holding them all would take.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2", "vgg11", "vgg13", "vgg16",
    "vgg19", "vgg11_bn", "vgg16_bn", "alexnet", "squeezenet1_0", "densenet121", "densenet169", "densenet201", "googlenet",
    "shufflenet_v2_x1_0", "mnasnet1_0", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_b4", "regnet_y_8gf",
    "regnet_x_3_2gf", "convnext_tiny", "convnext_base", "swin_t", "efficientnet_v2_s",
)  # fmt: skip
LARGEST, SMALLEST = ("vgg19", "vgg16_bn", "convnext_base"), "squeezenet1_0"
"""By weights, and by what a pass of theirs holds."""

_RUN = """
import resource, sys
import torch
import robustbench_cv as rb
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.runner.memory import keep_freed_memory
from robustbench_cv.suite import CLEAN, Suite, Track

out, data, *names = sys.argv[1:]
keep_freed_memory()  # as the command line does
classes = ",".join(DATASETS.build(data, task="classification").labels.names)
models = [f"torchvision:{name}(classes={classes!r})" for name in names]
track = Track("classification", tuple(models), (data,), (CLEAN,), ("top-1",))
results = rb.run(Suite("memory", 1, (track,), reports=("main-table",)), limit=2, strength=0, out=out)
weights = sum(row.parameters for row in results.run.models) * 4 / 2**20
device = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else float("nan")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
print(f"RESULT {peak:.0f} {device:.0f} {weights:.0f}")
"""


def measure(*names: str) -> tuple[float, float, float]:
    """MiB: peak resident size, peak on the GPU (nan without one), weights of all models together."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, "-c", _RUN, str(Path(folder) / "run"), "scenes", *names]
        done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    peak, device, weights = map(float, done.stdout.rpartition("RESULT")[2].split())
    return peak, device, weights


def main() -> None:
    assert len(NAMES) == 31
    print("| models | peak resident, MiB | peak on the GPU, MiB | weights, MiB |\n| --- | --- | --- | --- |")
    rows = [(f"{name} alone", [name]) for name in (SMALLEST, *LARGEST)]
    for name, those in [*rows, ("all 31", list(NAMES))]:
        peak, device, weights = measure(*those)
        print(f"| {name} | {peak:.0f} | {'none here' if device != device else f'{device:.0f}'} | {weights:.0f} |", flush=True)


if __name__ == "__main__":
    main()
