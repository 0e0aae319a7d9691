"""render: edited images, for a model that runs elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, WHAT, WRITES, option, titled_command
from robustbench_cv.tasks import TASKS, Task
from robustbench_cv.terminal import say

EXAMPLES = [
    ('robustbench-cv render "fog(severity=3)" --data coco:/data/coco/val2017 --out fog', "images in fog, with COCO's annotations"),
    ("robustbench-cv render remove --data scenes --task segmentation --limit 20 --out gone", "objects removed, with masks"),
]


@titled_command("render", examples=EXAMPLES)
@click.argument("condition")
@option("--data", title=WHAT, required=True, metavar="SPEC", help="The data whose images are edited.")
@option("--task", title=WHAT, type=click.Choice(TASKS), help="Of data that serve several tasks.")
@option("--limit", title=WHAT, type=options.COUNT, metavar="N", help="Use only N samples, the same ones as `run --limit N`.")
@option("--seed", title=HOW, type=options.SEED, metavar="N", help="Seed of the edit; 0, as in most suites, unless given.")
@option("--skip-bad", title=HOW, is_flag=True, help="Leave samples out that cannot be read, and list them.")
@option("--out", title=WRITES, required=True, type=options.FOLDER, metavar="FOLDER", help="Where images, annotations and manifest go.")
@options.plugin
def command(condition: str, data: str, task: Task | None, limit: int | None, seed: int | None, skip_bad: bool, out: Path) -> None:
    """Write the images of a data set under CONDITION, an edit such as "fog(severity=3)", for a model that runs elsewhere.

    Lossless PNG files, annotations in the task's form, and manifest.json: ids, hashes, seed, and what was left out and why. Attacks search
    for images on the model itself, so that they cannot be written without it.
    """
    from robustbench_cv.catalogue import DATASETS
    from robustbench_cv.scoring.conditions import edit_condition

    edit_condition(condition)
    DATASETS.check(data)
    folder = options.usable_folder(out)

    from robustbench_cv.runner.progress_bar import progress_for
    from robustbench_cv.scoring.render import render

    say(f"writes {folder}/: images, annotations, manifest")
    made = render(condition, data, folder, task=task, limit=limit, seed=seed, skip_bad=skip_bad, progress=progress_for()).manifest
    levels = made.rounding * 255
    rounded = "exactly as the edit left them" if levels < 1e-3 else f"rounded to 8 bits, by up to {levels:.2f} grey levels of 255"
    say(f"{len(made.images)} images, {rounded}")
    for reason, count in Counter(one.reason for one in made.left_out).most_common(5):
        say(f"left out: {count} samples, {reason}")
    say(f"next: predict on {folder}/images, then robustbench-cv score --predictions FILE --rendered {folder}")
