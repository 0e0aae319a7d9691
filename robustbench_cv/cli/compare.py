"""compare: is a run worse than an earlier one?"""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.titled import HOW, WHAT, WRITES, option, titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv compare runs/base runs/new", "is the new model worse by more than two points anywhere?"),
    ("robustbench-cv compare runs/base runs/new --margin 0.01 --metric ap50", "by more than one point of AP50"),
    ("robustbench-cv compare runs/base runs/new --fail-on regression", "in CI: what these samples cannot tell does not fail"),
]


@titled_command("compare", examples=EXAMPLES)
@click.argument("base", type=options.FOLDER)
@click.argument("new", type=options.FOLDER)
@option("--margin", title=HOW, type=float, default=0.02, show_default=True, help="The loss that does not matter; 0.02 is two points.")
@option("--metric", "metrics", title=WHAT, multiple=True, metavar="NAME", help="In place of each task's first; may be repeated.")
@option("--model", "models", title=WHAT, multiple=True, metavar="NEW=BASE", help="A model that is called something else in the base.")
@option("--partial", title=WHAT, is_flag=True, help="Compare what both runs have, where they are not of one protocol.")
@option(
    "--fail-on",
    title=HOW,
    type=click.Choice(["regression", "inconclusive"]),
    default="inconclusive",
    show_default=True,
    help="inconclusive: exit 1 for a regression and 3 where samples are too few to tell; regression: 1 for a regression, else 0.",
)
@option("--out", title=WRITES, type=options.FOLDER, metavar="FOLDER", help="Writes comparison.md, comparison.csv and samples.json there.")
@options.plugin
def command(
    base: Path,
    new: Path,
    margin: float,
    metrics: tuple[str, ...],
    models: tuple[str, ...],
    partial: bool,
    fail_on: str,
    out: Path | None,
) -> int:
    """Is the run in NEW worse than the one in BASE, sample by sample?

    Both run folders must be of one suite, on the same samples. Each number passes, is a regression, or is inconclusive.
    """
    called = dict(_renamed(text) for text in models)
    folder = options.usable_folder(out) if out else None

    from robustbench_cv.compare import compare
    from robustbench_cv.rendering.comparison import table, verdict, write
    from robustbench_cv.rendering.terminal_table import to_terminal
    from robustbench_cv.results import Results

    made = compare(Results.open(base), Results.open(new), margin=margin, metrics=metrics, models=called, partial=partial)
    for text in made.differences:
        say(f"left out: {text}")
    say(to_terminal(table(made)))
    say(verdict(made))
    if folder is not None:
        say(f"written: {', '.join(str(path) for path in write(made, folder))}")
    codes = {"pass": 0, "regression": 1, "inconclusive": 3 if fail_on == "inconclusive" else 0}
    return codes[made.outcome]


def _renamed(text: str) -> tuple[str, str]:
    name, equals, old = text.partition("=")
    if not (name and equals and old):
        raise UserError(f"--model {text!r} names no two models; write NEW=BASE, such as resnet-v2=resnet-v1")
    return name, old
