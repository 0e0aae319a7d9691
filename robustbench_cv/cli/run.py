"""run: a suite on models and data, and its report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.titled import HOW, WHAT, WRITES, option, titled_command
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv run quick", "the embedded data and models, all three tasks, minutes on a CPU"),
    ('robustbench-cv run "linf(eps=8/255)" --model my_model.py:build --data folder:/data/images', "your own model and data"),
    ("robustbench-cv run my-suite.yaml --limit 200 --out runs/mine", "a suite of your own, on 200 samples"),
]


@titled_command("run", examples=EXAMPLES)
@click.argument("suite")
@option("--model", "models", title=WHAT, multiple=True, metavar="SPEC", help="Model in place of the suite's; may be repeated.")
@option("--data", title=WHAT, multiple=True, metavar="SPEC", help="Data in place of the suite's; may be repeated.")
@options.class_map
@option("--limit", title=WHAT, type=options.COUNT, metavar="N", help="Use only N samples, the same ones every time.")
@option("--seed", title=WHAT, type=options.SEED, metavar="N", help="Seed of every random choice; the suite's unless given.")
@option("--skip-bad", title=WHAT, is_flag=True, help="Record samples that cannot be read or predicted as failed and go on.")
@option(
    "--strength",
    title=WHAT,
    type=options.whole(0),
    metavar="N",
    help="Unbroken samples on which each attack is tested for weakness; 0: none.",
)
@option("--reread", title=WHAT, is_flag=True, help="Read all data files again, also those of unchanged size and times.")
@options.device
@option(
    "--batch-size",
    title=HOW,
    type=options.whole(1, 999_999, auto=True),
    metavar="N",
    default="auto",
    show_default=True,
    help="Images at once, or auto; halved where memory runs out.",
)
@option("--out", title=WRITES, type=options.FOLDER, metavar="FOLDER", help="Run folder; runs/SUITE unless given.")
@option(
    "--note",
    "notes",
    title=WRITES,
    multiple=True,
    metavar="TEXT",
    help="A sentence that readers of the report must know; may be repeated.",
)
@option(
    "--save-predictions",
    title=WRITES,
    is_flag=True,
    help="Keep what classifiers and segmenters say of every sample, for `score`; detections are kept always.",
)
@options.plugin
def command(suite: str, class_map: str, out: Path | None, **settings: Any) -> int:
    """Run SUITE (a name such as quick or "linf(eps=1/255)", or a YAML file) and write its report.

    The same command again resumes what is left, and then does nothing.
    """
    from robustbench_cv.data.class_names import parse_overrides
    from robustbench_cv.suite_files import check_specs, find_suite

    chosen, pairs = find_suite(suite), parse_overrides(class_map)
    check_specs(chosen, settings["models"], settings["data"])
    folder = options.usable_folder(out or Path("runs") / chosen.name)
    say(f"writes {folder}/: records, pictures, report")

    from robustbench_cv import api
    from robustbench_cv.runner.progress_bar import Bar

    typed = shlex.join(["robustbench-cv", *sys.argv[1:]])
    outcome = api.execute(chosen, out=folder, class_map=pairs, command=typed, progress=Bar, announce=say, **settings)
    say(_summary(outcome.results))
    say(f"{outcome.computed} cells computed, {outcome.reused} reused; exit code {outcome.exit_code}")
    say(f"report: {RunFolder(folder).report_page.resolve()}")
    return outcome.exit_code


def _summary(results: Any) -> str:
    """As text the main tables, or those of numbers that a suite without them leads with."""
    from robustbench_cv.rendering.publish import build_items
    from robustbench_cv.rendering.table_cells import Number
    from robustbench_cv.rendering.tables import Table

    def tables(reports: Sequence[str]) -> list[Table]:
        return [item for item in build_items(results, reports) if isinstance(item, Table)]

    leading = [] if "main-table" in results.run.reports else tables(results.run.reports[:1])
    numbers = [table for table in leading if any(isinstance(cell, Number) for cell in table.frame.to_numpy().ravel())]
    return "\n".join(table.to_markdown() for table in numbers or tables(["main-table"]))
