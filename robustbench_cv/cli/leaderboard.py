"""leaderboard: the models of many runs of one suite, ranked."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options, printed_tables
from robustbench_cv.cli.help_groups import WRITES, option, titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv leaderboard runs/a runs/b runs/c", "who is ahead, and who shares a rank"),
    ("robustbench-cv leaderboard runs/* --out board", "the same as a page, with csv and LaTeX beside it"),
]


@titled_command("leaderboard", examples=EXAMPLES)
@click.argument("folders", type=options.FOLDER, nargs=-1, required=True)
@option(
    "--out",
    title=WRITES,
    type=options.FOLDER,
    metavar="FOLDER",
    help="Writes leaderboard.html, and .md, .csv and .tex for each task there.",
)
@printed_tables.form
@options.plugin
def command(folders: tuple[Path, ...], out: Path | None, kind: str) -> None:
    """Rank the models of the runs in FOLDERS, which must be of one suite and version, on the same samples with the same seed."""
    folder = options.usable_folder(out) if out else None

    from robustbench_cv.files import write_bytes
    from robustbench_cv.rendering.leaderboard import leaderboard, leaderboard_html
    from robustbench_cv.results import Results

    results, tables = leaderboard([Results.open(path) for path in folders])
    for table in tables:
        say(printed_tables.written(table, kind))
    if folder is None:
        return
    write_bytes(folder / "leaderboard.html", leaderboard_html(results, tables).encode())
    for table in tables:
        for kind, text in (("md", table.to_markdown()), ("csv", table.to_csv()), ("tex", table.to_latex())):
            write_bytes(folder / f"{table.label}.{kind}", text.encode())
    say(f"leaderboard: {(folder / 'leaderboard.html').resolve()}")
