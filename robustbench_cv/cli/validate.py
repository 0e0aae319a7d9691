"""validate: every mistake in a suite's file, with its place."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.exits import USAGE
from robustbench_cv.cli.help_groups import titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.suite_files import problems, read_suite
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv validate my-suite.yaml", "line, column and the closest word of each mistake; nothing is run"),
    ("robustbench-cv validate a.yaml b.yaml", "several files, as a hook before commits does"),
]


@titled_command("validate", examples=EXAMPLES)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@options.plugin
def command(files: tuple[str, ...]) -> int:
    """What is wrong in the suites in FILE..., without running anything. Ends with 2 where something is."""
    found = [problem for file in files for problem in _problems(Path(file))]
    for problem in found:
        say(problem, err=True)
    if found:
        return USAGE
    for file in files:
        suite = read_suite(Path(file))
        conditions = sum(len(track.conditions) for track in suite.tracks)
        say(f"{file}: no mistake; suite {suite.name}, tracks: {len(suite.tracks)}, conditions: {conditions}, gates: {len(suite.gates)}")
    return 0


def _problems(file: Path) -> list[str]:
    """Of a file that cannot be read at all, why."""
    try:
        return problems(file)
    except UserError as error:
        return [str(error)]
