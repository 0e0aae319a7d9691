"""plan: what a run will do, and which losses it could see, before it is made."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, WHAT, option, titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.suite import Suite
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv plan quick", "tasks, models, conditions and samples of a suite"),
    ("robustbench-cv plan quick --power --limit 2000", "the least loss that 2,000 samples would see"),
    ("robustbench-cv plan runs/base --power --disagree 0.05", "the same by what the records of a run say, if 5 % of the answers change"),
    ("robustbench-cv plan runs/base runs/retrained --power", "with the disagreement of an innocent retraining, measured"),
]


@titled_command("plan", examples=EXAMPLES)
@click.argument("target", metavar="SUITE")
@click.argument("other", required=False, type=Path)
@option(
    "--power",
    title=WHAT,
    is_flag=True,
    help="Which loss each first metric would see, and how many samples a loss of twice the margin needs.",
)
@option("--limit", title=WHAT, type=options.COUNT, metavar="N", help="Samples, in place of the suite's.")
@option("--models", title=WHAT, type=options.COUNT, metavar="N", help="Models of each task that are compared; the suite's unless given.")
@option("--margin", title=HOW, type=float, default=0.02, show_default=True, help="The loss that does not matter; 0.02 is two points.")
@option(
    "--disagree",
    title=HOW,
    type=float,
    default=0.1,
    show_default=True,
    help="Share of samples on which the two models are taken to answer otherwise.",
)
@options.plugin
def command(target: str, other: Path | None, power: bool, limit: int | None, models: int | None, margin: float, disagree: float) -> None:
    """What a run of SUITE will do.

    With --power, SUITE may be a run folder or baseline file, and OTHER a second one that is compared with it.
    """
    made = Path(target)
    is_run = made.is_dir() or made.suffix == ".parquet"
    if not power:
        if is_run:
            raise UserError(f"{target} is a run, which is made already: plan SUITE, or plan {target} --power")
        say(_told(_suite(target), limit, models))
        return
    if not is_run and other is not None:
        raise UserError(f"{target} is no run folder and no baseline file, so that {other} cannot be compared with it")

    from robustbench_cv.power import power_of_run, power_of_suite
    from robustbench_cv.rendering.power import power_text

    if is_run:
        from robustbench_cv.baselines import open_results

        rows = power_of_run(open_results(made), open_results(other) if other else None, margin=margin, disagree=disagree)
    else:
        rows = power_of_suite(_suite(target), margin=margin, disagree=disagree, limit=limit, models=models)
    say(power_text(rows, margin))


def _suite(name: str) -> Suite:
    from robustbench_cv.suite_files import check_specs, find_suite

    chosen = find_suite(name)
    if all(track.models and track.datasets for track in chosen.tracks):
        check_specs(chosen)
    return chosen


def _told(suite: Suite, limit: int | None, models: int | None) -> str:
    """A paragraph a task."""
    lines = [f"{suite.name} (version {suite.version}, seed {suite.seed})"]
    for track in suite.tracks:
        n = limit or track.samples
        lines += [
            f"{track.task}: {', '.join(track.models) or 'models of yours'} on {', '.join(track.datasets) or 'data of yours'}",
            f"  metrics: {', '.join(track.metrics)}",
            f"  conditions: {', '.join(c.name for c in track.conditions)}; and the placebos of their edits",
        ]
        count = (models or max(1, len(track.models))) * max(1, len(track.datasets)) * len(track.conditions)
        samples = f"{n:,} samples each, {count * n:,} records" if n else "all samples of the data"
        lines.append(f"  {count} cells of models, data and conditions, {samples}")
    return "\n".join(lines)
