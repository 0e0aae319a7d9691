"""baseline: a run as one small file to compare later runs with."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import WRITES, option, titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv baseline runs/quick --out baselines/quick.parquet", "records alone, without pictures: commit it with the model"),
    ("robustbench-cv baseline runs/mine --out mine.parquet --plugin my_metrics.py", "of a run with metrics of yours"),
]


@titled_command("baseline", examples=EXAMPLES)
@click.argument("run", type=options.FOLDER)
@option("--out", title=WRITES, type=options.FILE, metavar="FILE.parquet", required=True, help="The file; a folder that is missing is made.")
@options.plugin
def command(run: Path, out: Path) -> None:
    """Write the run in RUN as one small file, which `compare` takes in the place of a run folder.

    It holds the records that a comparison reads, and no pictures. The same records are the same bytes.
    """
    from robustbench_cv.baselines import write_baseline
    from robustbench_cv.results import Results

    written = write_baseline(Results.open(run), out)
    for group in written.stopped:
        say(f"NOTE a check stopped {group.model} on {group.dataset} ({group.task}): nothing can be compared with it")
    say(f"written: {written.path} ({written.records:,} records, {written.bytes / 1024:,.0f} kB)")
