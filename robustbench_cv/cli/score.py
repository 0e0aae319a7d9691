"""score: a run made of predictions, of a model that runs elsewhere."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import HOW, OTHER, WHAT, WRITES, option, titled_command
from robustbench_cv.cli.run import MEANINGS, said_of_gates, summary
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv score --predictions predictions.json --data coco:/data/coco/val2017", "an interval on the AP of COCO results"),
    ("robustbench-cv score --predictions runs/detect/labels --data yolo:data.yaml", "of the text files that a YOLO tool saved"),
    ("robustbench-cv score --predictions scores.csv --scores logits --data folder:/data/val", "of a classifier's scores, a column a class"),
    ("robustbench-cv score --predictions clean.json --predictions fog.json --rendered fog/", "with and without fog, in pairs"),
]


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise click.BadParameter(f"{text!r} is no confidence from 0 to 1")
    return value


@titled_command("score", examples=EXAMPLES)
@option(
    "--predictions",
    title=WHAT,
    multiple=True,
    required=True,
    metavar="[CONDITION=]PATH",
    help="COCO results (.json), class scores (.csv), a folder of YOLO text files or of masks; may be repeated, once a condition.",
)
@option("--data", title=WHAT, metavar="SPEC", help="The data that were predicted; that of --rendered unless given.")
@option(
    "--rendered",
    title=WHAT,
    multiple=True,
    metavar="FOLDER",
    help="Images that `render` edited, on which predictions were made; may be repeated.",
)
@option("--metric", "metrics", title=WHAT, multiple=True, metavar="NAME", help="In place of the task's own; may be repeated.")
@option("--limit", title=WHAT, type=options.COUNT, metavar="N", help="Use only N samples, the same ones every time.")
@option("--seed", title=WHAT, type=options.SEED, metavar="N", help="Seed of the edits that predictions were made under.")
@option(
    "--classes", title=HOW, metavar="NAMES", help="The model's classes by index, where they are not the data's: \"car,boat\", or a .txt."
)
@options.class_map
@option("--scores", title=HOW, type=click.Choice(["probabilities", "logits"]), help="What the class scores of a CSV are.")
@option("--first-category", title=HOW, type=click.Choice(["0", "1"]), help="Number of the first class, where the data number none.")
@option(
    "--missing",
    title=HOW,
    type=click.Choice(["empty", "failed", "error"]),
    help="A sample without a prediction: nothing was found in it (detections, unless said), it failed, or a mistake (all others).",
)
@option(
    "--extra",
    title=HOW,
    type=click.Choice(["error", "ignore"]),
    default="error",
    show_default=True,
    help="Predictions of images that the data do not hold.",
)
@option(
    "--operating-score",
    title=HOW,
    type=_score,
    metavar="P",
    default="0.25",
    show_default=True,
    help="Confidence from which a box counts as reported; AP ignores it.",
)
@options.allow
@option("--skip-bad", title=HOW, is_flag=True, help="Record samples and predictions that cannot be read as failed and go on.")
@option("--name", title=WRITES, metavar="NAME", help="What the model is called; the file's name unless given.")
@option(
    "--at-least", title=WHAT, multiple=True, metavar="METRIC=BOUND", help="A gate on unedited samples, such as ap=0.4; may be repeated."
)
@option("--out", title=WRITES, type=options.FOLDER, metavar="FOLDER", help="Run folder; runs/score unless given.")
@option("--note", "notes", title=WRITES, multiple=True, metavar="TEXT", help="A sentence that readers of the report must know.")
@option("--verbose", "-v", title=OTHER, is_flag=True, help="Print the whole tables, in Markdown.")
@options.plugin
def command(class_map: str, out: Path | None, verbose: bool, **settings: Any) -> int:
    """Judge predictions that were made elsewhere: metrics with intervals, checks, report, as of a run.

    CONDITION is an edit, such as "gaussian-noise(severity=3)"; without one, predictions are of the images as they are, or of those of
    a single --rendered. Attacks need the model itself. docs/scoring.md describes every form.
    """
    from robustbench_cv.catalogue import DATASETS, METRICS
    from robustbench_cv.data.class_names import parse_overrides
    from robustbench_cv.scoring.conditions import edit_condition, split_condition
    from robustbench_cv.scoring.prediction_forms import task_of

    pairs = parse_overrides(class_map)
    for text in settings["predictions"]:
        condition, path = split_condition(text)
        edit_condition(condition or "clean")
        task_of(path)  # before torch is loaded, which takes seconds
    if settings["data"]:
        DATASETS.check(settings["data"])
    for name in settings["metrics"]:
        METRICS.check(name, given=("labels", "operating_score"))
    folder = options.usable_folder(out or Path("runs") / "score")

    from robustbench_cv.runner.progress_bar import progress_for
    from robustbench_cv.scoring.score_request import execute

    typed = shlex.join(["robustbench-cv", *sys.argv[1:]])
    outcome = execute(out=folder, class_map=pairs, command=typed, progress=progress_for(), announce=say, **settings)
    say("")
    say(summary(outcome.results, whole=verbose))
    for line in said_of_gates(outcome.results):
        say(line)
    say(f"exit code {outcome.exit_code}: {MEANINGS[outcome.exit_code]}")
    say(f"report: {RunFolder(folder).report_page.resolve()}")
    return outcome.exit_code
