"""run: a suite on models and data, and its report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robustbench_cv.cli import completion_values, options
from robustbench_cv.cli.help_groups import HOW, OTHER, WHAT, WRITES, option, titled_command
from robustbench_cv.cli.supervisor import supervise
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.supervisor_messages import is_watched
from robustbench_cv.suite import Suite
from robustbench_cv.suite_overrides import KEY, override, split_override
from robustbench_cv.terminal import say

if TYPE_CHECKING:
    from robustbench_cv.results import Results

_AS_PAIRS = ("limit", "seed", "strength", "device", "batch_size")
"""Options that may be written key=value."""

MEANINGS = {0: "pass", 1: "a gate failed", 3: "a gate is inconclusive", 4: "a check said stop"}
"""Exit codes of a finished run."""

EXAMPLES = [
    ("robustbench-cv run quick", "the embedded data and models, all three tasks, minutes on a CPU"),
    ('robustbench-cv run "linf(eps=8/255)" --model my_model.py:build --data folder:/data/images', "your own model and data"),
    (
        "robustbench-cv run --attack autoattack --eps 1/255 --eps 8/255 --model timm:resnet18",
        "a table of attacks and budgets, without a file",
    ),
    ("robustbench-cv run my-suite.yaml --limit 200 --out runs/mine", "a suite of your own, on 200 samples"),
]


@titled_command("run", examples=EXAMPLES)
@click.argument("suite", required=False, shell_complete=completion_values.suites)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@option(
    "--attack",
    "attacks",
    title=WHAT,
    multiple=True,
    metavar="SPEC",
    shell_complete=completion_values.attacks,
    help="Attack to run in place of a suite; may be repeated.",
)
@option(
    "--eps",
    "budgets",
    title=WHAT,
    multiple=True,
    metavar="BUDGET",
    help="Budget such as 8/255 of each --attack that names none; may be repeated.",
)
@option(
    "--condition",
    "edits",
    title=WHAT,
    multiple=True,
    metavar="SPEC",
    shell_complete=completion_values.edits,
    help="Edit to run in place of a suite; may be repeated.",
)
@option(
    "--model",
    "models",
    title=WHAT,
    multiple=True,
    metavar="SPEC",
    shell_complete=completion_values.models,
    help="Model in place of the suite's; may be repeated.",
)
@option(
    "--data",
    title=WHAT,
    multiple=True,
    metavar="SPEC",
    shell_complete=completion_values.data,
    help="Data in place of the suite's; may be repeated.",
)
@options.class_map
@option("--limit", title=WHAT, type=options.COUNT, metavar="N", help="Use only N samples, the same ones every time.")
@option("--seed", title=WHAT, type=options.SEED, metavar="N", help="Seed of every random choice; the suite's unless given.")
@options.allow
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
@option(
    "--cell-timeout",
    title=HOW,
    type=options.COUNT,
    metavar="SECONDS",
    help="Run in a process of its own, and end a cell (a model under a condition on up to 64 samples) that takes longer or kills the "
    "process: an error, or with --skip-bad failed records and the run goes on. Off unless given.",
)
@option(
    "--workers", title=HOW, type=options.whole(1, 4096), metavar="N", default=1, show_default=True, help="Processes that compute cells."
)
@option(
    "--executor",
    title=HOW,
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Where the workers are: this machine, or a Ray cluster (extra ray).",
)
@option("--address", title=HOW, metavar="ADDRESS", help="Of the Ray cluster; RAY_ADDRESS, or one of this machine, unless given.")
@option(
    "--worker-memory",
    title=HOW,
    type=click.FloatRange(0),
    metavar="GB",
    default=0.0,
    show_default=True,
    help="Memory that each worker asks the Ray cluster for.",
)
@option(
    "--mirror",
    title=WRITES,
    metavar="ADDRESS",
    default="",
    help="Copy finished files to an address that fsspec knows (s3://bucket/run), and go on from what lies there.",
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
@option("--dry-run", title=WRITES, is_flag=True, help="Check the whole plan, print it and end; nothing is computed or written.")
@option("--time", "timed", title=WRITES, is_flag=True, help="With --dry-run: time a few samples of each kind, and say what the run takes.")
@option("--quiet", "-q", title=OTHER, is_flag=True, help="Say only which gates did not pass, and where the report is.")
@option("--verbose", "-v", title=OTHER, is_flag=True, help="Print the whole tables, in Markdown.")
@option(
    "--save-predictions",
    title=WRITES,
    is_flag=True,
    help="Keep what classifiers and segmenters say of every sample, for `score`; detections are kept always.",
)
@options.plugin
def command(
    suite: str | None,
    overrides: tuple[str, ...],
    attacks: tuple[str, ...],
    budgets: tuple[str, ...],
    edits: tuple[str, ...],
    class_map: str,
    out: Path | None,
    dry_run: bool,
    timed: bool,
    quiet: bool,
    verbose: bool,
    cell_timeout: int | None,
    **settings: Any,
) -> int:
    """Run SUITE (a name such as quick or "linf(eps=1/255)", or a YAML file) and write its report.

    In place of SUITE, --attack and --condition make one. KEY=VALUE is an option (limit=50) or changes a field of the suite
    (tracks[0].samples=50). The same command again resumes what is left, and then does nothing.
    """
    from robustbench_cv.data.class_names import parse_overrides
    from robustbench_cv.suite_files import check_specs

    if suite is not None and KEY.match(suite) and "=" in suite and "(" not in suite.partition("=")[0]:
        overrides, suite = (suite, *overrides), None
    chosen, pairs = _chosen_suite(suite, attacks, budgets, edits), parse_overrides(class_map)
    of_options, of_suite = _sorted_overrides(overrides)
    settings |= of_options
    chosen = override(chosen, of_suite) if of_suite else chosen
    check_specs(chosen, settings["models"], settings["data"])
    if dry_run:
        from robustbench_cv import api

        say("\n".join(api.plan(chosen, class_map=pairs, **settings)))
        if timed:
            from robustbench_cv.runner.progress_bar import progress_for

            say("\n".join(api.cost(chosen, class_map=pairs, progress=progress_for(quiet=quiet), **settings).in_words()))
        return 0
    if timed:
        raise click.UsageError("--time is for --dry-run: a run shows the time left as it goes")
    if cell_timeout is not None and settings["workers"] > 1:
        raise click.UsageError("--cell-timeout watches a run of one process: leave out --workers, or the limit")
    if cell_timeout is not None and not is_watched():
        return supervise(click.get_current_context().find_root().obj, seconds=cell_timeout, skip_bad=settings["skip_bad"])
    folder = options.usable_folder(out or Path("runs") / chosen.name)
    tell = (lambda text: None) if quiet else say

    from robustbench_cv import api
    from robustbench_cv.runner.progress_bar import progress_for

    typed = shlex.join(["robustbench-cv", *sys.argv[1:]])
    outcome = api.execute(chosen, out=folder, class_map=pairs, command=typed, progress=progress_for(quiet=quiet), announce=tell, **settings)
    if not quiet:
        say("")
        say(summary(outcome.results, whole=verbose))
        for note in outcome.results.run.notes:
            say(f"note: {note}")
    for line in said_of_gates(outcome.results):
        say(line)
    tell(f"{outcome.computed} cells computed, {outcome.reused} reused; exit code {outcome.exit_code}: {MEANINGS[outcome.exit_code]}")
    say(f"report: {RunFolder(folder).report_page.resolve()}")
    return outcome.exit_code


def _sorted_overrides(overrides: Sequence[str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Options by name, read as their own flags read them, and fields of the suite."""
    context = click.get_current_context()
    single = {p.name: p for p in context.command.params if isinstance(p, click.Option) and p.name in _AS_PAIRS}
    of_options, of_suite = dict[str, Any](), list[tuple[str, str]]()
    for text in overrides:
        key, value = split_override(text)
        if key in single:
            of_options[key] = single[key].type_cast_value(context, value)
        else:
            of_suite.append((key, value))
    return of_options, of_suite


def _chosen_suite(name: str | None, attacks: Sequence[str], budgets: Sequence[str], edits: Sequence[str]) -> Suite:
    from robustbench_cv.command_line_suite import suite_of
    from robustbench_cv.suite_files import find_suite

    if budgets and not attacks:
        raise click.UsageError("--eps is the budget of an --attack; name one, as in --attack pgd --eps 8/255")
    if name is not None and (attacks or edits):
        raise click.UsageError("a suite names its own attacks and edits: give SUITE, or --attack and --condition, not both")
    if name is None and not (attacks or edits):
        raise click.UsageError("name a SUITE (robustbench-cv list suites), or an attack, as in --attack pgd --eps 8/255")
    return suite_of(attacks, edits, budgets) if name is None else find_suite(name)


def summary(results: Results, *, whole: bool = False) -> str:
    """For a terminal the main tables, or those of numbers that a suite without them leads with."""
    from robustbench_cv.rendering.reporting import metric_words
    from robustbench_cv.rendering.table_cells import Number
    from robustbench_cv.rendering.tables import Table
    from robustbench_cv.rendering.terminal_table import to_terminal
    from robustbench_cv.rendering.write_report import build_items

    def tables(reports: Sequence[str]) -> list[Table]:
        return [item for item in build_items(results, reports) if isinstance(item, Table)]

    leading = [] if "main-table" in results.run.reports else tables(results.run.reports[:1])
    numbers = [table for table in leading if any(isinstance(cell, Number) for cell in table.frame.to_numpy().ravel())]
    words = metric_words(results)
    return "\n".join(table.to_markdown() if whole else to_terminal(table, words=words) for table in numbers or tables(["main-table"]))


def said_of_gates(results: Results) -> list[str]:
    """A line for each gate that did not pass, and one for those that did."""
    verdicts = results.gates
    passed = sum(verdict.outcome == "pass" for verdict in verdicts)
    lines = [str(verdict) for verdict in verdicts if verdict.outcome != "pass"]
    judged = sum(verdict.outcome != "not applicable" for verdict in verdicts)
    if verdicts and not judged:
        return [*lines, "no gate applies: nothing was asked of these models (a suite's `gates`, or `compare` with a baseline, asks)"]
    return [*lines, *([f"{passed} of {judged} gates pass"] if verdicts else [])]
