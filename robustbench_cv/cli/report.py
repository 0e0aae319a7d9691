"""report: the report of a run, or of several in one, written from their folders alone; or one table of one's own choice."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robustbench_cv.arguments import shorten
from robustbench_cv.catalogue import REPORTS
from robustbench_cv.cli import options, printed_tables
from robustbench_cv.cli.help_groups import HOW, WHAT, WRITES, option, titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.registry_scan import read_arguments
from robustbench_cv.rendering.venues import NAMES, VENUES, Name
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.specs import Spec
from robustbench_cv.terminal import say

if TYPE_CHECKING:
    from robustbench_cv.results import Results

EXAMPLES = [
    ("robustbench-cv report runs/quick", "the report of a run, written again in its folder"),
    ("robustbench-cv report runs/quick --out /tmp/quick", "the same, somewhere else"),
    ("robustbench-cv report runs/a runs/b --out runs/both", "the models and conditions of two runs in one report"),
    ("robustbench-cv report runs/quick --venue one-column", "main.tex and its figures for a paper of one column"),
    (
        'robustbench-cv report runs/quick --table robustness --columns "clean, pgd, worst case" --transpose --as tex',
        "one table, of your own columns, models as columns",
    ),
]


@titled_command("report", examples=EXAMPLES)
@click.argument("folders", type=options.FOLDER, nargs=-1, required=True)
@option("--out", title=WRITES, type=options.FOLDER, metavar="FOLDER", help="Where to write; the run folder itself unless given.")
@option(
    "--venue",
    title=HOW,
    type=click.Choice(NAMES),
    default="two-column",
    show_default=True,
    help="Widths and letters of main.tex, its tables and its figures.",
)
@option(
    "--table", title=WHAT, metavar="REPORT", default="", help="Print the tables of one report alone, such as robustness; write nothing."
)
@option("--columns", title=WHAT, metavar="NAMES", default="", help="Of the table robustness: conditions, curves, worst case; by commas.")
@option("--rows", title=WHAT, metavar="NAMES", default="", help="Of the table robustness: models, by commas.")
@option("--transpose", title=WHAT, is_flag=True, help="Of the table robustness: models as columns.")
@printed_tables.form
@option(
    "--export", "exports", title=WRITES, multiple=True, metavar="TRACKER:DIR", help="mlflow:DIR, wandb:DIR (offline) or tensorboard:DIR."
)
@options.plugin
def command(
    folders: tuple[Path, ...],
    out: Path | None,
    venue: Name,
    table: str,
    columns: str,
    rows: str,
    transpose: bool,
    kind: str,
    exports: tuple[str, ...],
) -> None:
    """Write the report of the run in FOLDERS again, from that folder alone; of several runs, one report of all their models."""
    if (columns or rows or transpose) and not table:
        raise UserError("--columns, --rows and --transpose choose what one table shows: add --table robustness")
    if len(folders) > 1 and out is None and not table:
        raise UserError("a report of several runs belongs to none of their folders: add --out FOLDER")
    target = options.usable_folder(out or next(iter(folders)))
    chosen: dict[str, str | bool] = {"columns": columns, "rows": rows, "transpose": transpose}
    spec = _with(table, {name: value for name, value in chosen.items() if value}) if table else None
    if exports:
        from robustbench_cv.rendering.exports import export, read_target

        for exported in exports:
            options.usable_folder(read_target(exported)[1])

    from robustbench_cv.joined_runs import join
    from robustbench_cv.results import Results

    results = join([Results.open(folder) for folder in folders])
    if spec is not None:
        _print(results, str(spec), kind, venue)
        return

    from robustbench_cv.rendering.write_report import publish

    files = RunFolder(target)
    say(f"writes {files.report}/ and {files.summary}")
    publish(results, target, results.run.reports, VENUES[venue])
    for exported in exports:
        say(f"exported: {export(results, exported)}")
    say(f"report: {files.report_page.resolve()}")


def _with(table: str, more: dict[str, str | bool]) -> Spec:
    """The report of a --table, with what else is said of it. UserError where there is no such report, or it takes no such thing."""
    spec = Spec.parse(table)
    if not spec.name.endswith(".py"):
        name = spec.name.replace("_", "-")
        if name not in REPORTS.entries():
            close = difflib.get_close_matches(name[:100], REPORTS.names(), n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise UserError(f"no report is called {shorten(spec.name)!r}; {hint}there are {', '.join(REPORTS.names())}")
        known = read_arguments(REPORTS.entry(name))
        for option in (option for option in more if option not in known):
            raise UserError(f"--{option} is for the table robustness, and {name} takes none: write --table robustness, or leave it out")
    made = Spec(spec.name, {**spec.args, **more}, spec.target)
    REPORTS.check(made)
    return made


def _print(results: Results, report: str, kind: str, venue: Name) -> None:
    from robustbench_cv.rendering.tables import Table
    from robustbench_cv.rendering.write_report import build_items

    tables = [item for item in build_items(results, [report], typed=[report]) if isinstance(item, Table)]
    if not tables:
        raise UserError(f"report {report!r} has no table to show of this run")
    for made in tables:
        say(printed_tables.written(made, kind, VENUES[venue]))
