"""bench: models timed by pytest-benchmark, so that its own tools compare commits."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, WRITES, option, titled_command
from robustbench_cv.errors import UserError

EXAMPLES = [
    ("robustbench-cv bench lenet5.scenes --input 64", "prediction, gradient, and ten steps of an attack beside as many bare passes"),
    ("robustbench-cv bench my_model.py:build --save main", "kept in .benchmarks, where `pytest-benchmark compare` finds it"),
]


@titled_command("bench", examples=EXAMPLES)
@click.argument("models", nargs=-1, required=True)
@options.image_size
@option("--batch-size", title=HOW, type=options.COUNT, metavar="N", default=8, show_default=True, help="Images at once.")
@option(
    "--seconds",
    title=HOW,
    type=click.FloatRange(min=0.001),
    metavar="SECONDS",
    default=1.0,
    show_default=True,
    help="About how long each benchmark is timed.",
)
@options.device
@option("--json", "json_file", title=WRITES, type=options.FILE, metavar="FILE", help="pytest-benchmark's JSON.")
@option("--save", title=WRITES, default="", metavar="NAME", help="Keeps the figures in .benchmarks of this folder under a name.")
@options.plugin
def command(models: tuple[str, ...], size: str, batch_size: int, seconds: float, device: str, json_file: Path | None, save: str) -> None:
    """Time MODELS with pytest-benchmark: throughput, gradient, and what the engine adds to the bare passes of an attack."""
    from robustbench_cv.catalogue import MODELS

    for model in models:
        MODELS.check(model)

    from robustbench_cv.benchmarking import bench
    from robustbench_cv.models.weights.initial_weights import parse_size
    from robustbench_cv.runner.run import choose_device

    image = parse_size(size) or (224, 224)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
    code = bench(models, image=image, batch=batch_size, device=choose_device(device), seconds=seconds, json=json_file, save=save)
    if code:
        raise UserError("some benchmarks could not be made; pytest says above which, and why")
