"""report: a run's report, written again from its folder alone."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.titled import HOW, WRITES, option, titled_command
from robustbench_cv.rendering.venues import NAMES, VENUES, Name
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv report runs/quick", "the report of a run, written again in its folder"),
    ("robustbench-cv report runs/quick --out /tmp/quick", "the same, somewhere else"),
    ("robustbench-cv report runs/quick --venue one-column", "main.tex and its figures for a paper of one column"),
]


@titled_command("report", examples=EXAMPLES)
@click.argument("folder", type=options.FOLDER)
@option("--out", title=WRITES, type=options.FOLDER, metavar="FOLDER", help="Where to write; the run folder itself unless given.")
@option(
    "--venue",
    title=HOW,
    type=click.Choice(NAMES),
    default="two-column",
    show_default=True,
    help="Widths and letters of main.tex, its tables and its figures.",
)
@options.plugin
def command(folder: Path, out: Path | None, venue: Name) -> None:
    """Write the report of the run in FOLDER again, from that folder alone."""
    target = options.usable_folder(out or folder)

    from robustbench_cv.rendering.publish import publish
    from robustbench_cv.results import Results

    results = Results.open(folder)
    files = RunFolder(target)
    say(f"writes {files.report}/ and {files.summary}")
    publish(results, target, results.run.reports, VENUES[venue])
    say(f"report: {files.report_page.resolve()}")
