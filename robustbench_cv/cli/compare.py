"""compare: is a run worse than an earlier one?"""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, WHAT, WRITES, option, titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv compare runs/base runs/new", "is the new model worse by more than two points anywhere?"),
    ("robustbench-cv compare baselines/model.parquet runs/new", "against a file that `robustbench-cv baseline` wrote"),
    ("robustbench-cv compare runs/base runs/new --margin 0.01 --metric ap50", "by more than one point of AP50"),
    ("robustbench-cv compare runs/base runs/new --seeds runs/base-seed-1", "beside what another seed of the attacks does"),
    ("robustbench-cv compare runs/base runs/new --fail-on regression", "in CI: what these samples cannot tell does not fail"),
]


@titled_command("compare", examples=EXAMPLES)
@click.argument("base", type=Path)
@click.argument("new", type=Path)
@option("--margin", title=HOW, type=float, default=0.02, show_default=True, help="The loss that does not matter; 0.02 is two points.")
@option("--metric", "metrics", title=WHAT, multiple=True, metavar="NAME", help="In place of each task's first; may be repeated.")
@option("--model", "models", title=WHAT, multiple=True, metavar="NEW=BASE", help="A model that is called something else in the base.")
@option("--partial", title=WHAT, is_flag=True, help="Compare what both runs have, where they are not of one protocol.")
@option(
    "--seeds",
    title=WHAT,
    type=Path,
    multiple=True,
    metavar="RUN",
    help="A run of either side's weights with another seed, to show what the seed alone moves; may be repeated.",
)
@option(
    "--fail-on",
    title=HOW,
    type=click.Choice(["regression", "inconclusive"]),
    default="inconclusive",
    show_default=True,
    help="inconclusive: exit 1 for a regression and 3 where samples are too few to tell; regression: 1 for a regression, else 0.",
)
@option("--out", title=WRITES, type=options.FOLDER, metavar="FOLDER", help="Writes comparison.md, comparison.csv and samples.json there.")
@option("--junit", title=WRITES, type=options.FILE, metavar="FILE", help="JUnit XML: each comparison as a test case.")
@option(
    "--summary",
    title=WRITES,
    type=options.FILE,
    metavar="FILE",
    help='Markdown for a pull request, appended: "$GITHUB_STEP_SUMMARY".',
)
@options.plugin
def command(
    base: Path,
    new: Path,
    margin: float,
    metrics: tuple[str, ...],
    models: tuple[str, ...],
    partial: bool,
    fail_on: str,
    seeds: tuple[Path, ...],
    out: Path | None,
    junit: Path | None,
    summary: Path | None,
) -> int:
    """Is the run in NEW worse than the one in BASE, sample by sample?

    Both are run folders or baseline files, of one suite, on the same samples. Each number passes, is a regression, or is inconclusive.
    """
    called = dict(_renamed(text) for text in models)
    folder = options.usable_folder(out) if out else None

    from robustbench_cv.baselines import open_results
    from robustbench_cv.compare import compare
    from robustbench_cv.files import write_bytes
    from robustbench_cv.rendering.comparison import markdown, text, write
    from robustbench_cv.rendering.junit import comparison_xml

    repeats = [open_results(path) for path in seeds]
    made = compare(open_results(base), open_results(new), margin=margin, metrics=metrics, models=called, partial=partial, repeats=repeats)
    for difference in made.differences:
        say(f"left out: {difference}")
    say(text(made))
    if folder is not None:
        say(f"written: {', '.join(str(path) for path in write(made, folder))}")
    if junit is not None:
        write_bytes(junit, comparison_xml(made).encode())
    if summary is not None:
        with summary.open("a", encoding="utf-8") as file:
            file.write(markdown(made))
    codes = {"pass": 0, "regression": 1, "inconclusive": 3 if fail_on == "inconclusive" else 0}
    return codes[made.outcome]


def _renamed(text: str) -> tuple[str, str]:
    name, equals, old = text.partition("=")
    if not (name and equals and old):
        raise UserError(f"--model {text!r} names no two models; write NEW=BASE, such as resnet-v2=resnet-v1")
    return name, old
