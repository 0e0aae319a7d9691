"""speed: the latency of every architecture."""

from __future__ import annotations

import dataclasses
import json

import click

from robustbench_cv.catalogue import MODELS
from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, OTHER, WHAT, option, titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv speed --markdown", "every architecture at its paper's size, on images of 224 px"),
    ("robustbench-cv speed --task detection --input 640 --batch-size 8 --json", "detectors alone, eight images in a call"),
]


@titled_command("speed", examples=EXAMPLES)
@option("--task", title=WHAT, default="", metavar="TASK", help="classification, segmentation, detection or embedding alone.")
@option("--reduced", title=WHAT, is_flag=True, help="Each at the small size that the tests use.")
@options.image_size
@options.calls
@option(
    "--seconds",
    title=HOW,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=10.0,
    show_default=True,
    help="Longest timing of a model; 3 calls at least.",
)
@options.device
@option("--markdown", title=OTHER, is_flag=True, help="A Markdown table.")
@option("--json", "as_json", title=OTHER, is_flag=True, help="Machine-readable: everything.")
@options.plugin
def command(
    task: str,
    reduced: bool,
    size: str,
    batch_size: int,
    runs: int,
    seconds: float,
    device: str,
    markdown: bool,
    as_json: bool,
) -> None:
    """Images a second of every architecture, one row each."""
    tasks = {str(entry.facts["task"]) for entry in MODELS.entries().values() if "parameters" in entry.facts}
    if task and task not in tasks:
        raise click.UsageError(f"no architecture is for {task!r}; robustbench-cv list models shows their tasks")

    from robustbench_cv.models.complexity import show, speed
    from robustbench_cv.models.weights.initial_weights import parse_size
    from robustbench_cv.runner.run import choose_device

    image = parse_size(size) or (224, 224)
    wanted = speed.specs(MODELS.entries().values(), task, reduced=reduced)
    rows: list[speed.Speed] = []
    for row in speed.speeds(wanted, image, device=choose_device(device), batch=batch_size, runs=runs, seconds=seconds):
        say(f"{len(rows) + 1} of {len(wanted)}: {row.name}", err=True)
        rows.append(row)
    if as_json:
        say(json.dumps([dataclasses.asdict(row) for row in rows], indent=1))
        return
    table = speed.rows(rows)
    say(speed.markdown(table) if markdown else show.align_columns(table))
