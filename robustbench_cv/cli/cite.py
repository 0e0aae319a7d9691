"""cite: BibTeX of what a run used, or of names."""

from __future__ import annotations

from pathlib import Path

import click

from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import titled_command
from robustbench_cv.terminal import say

EXAMPLES = [
    ("robustbench-cv cite runs/quick > references.bib", "every attack, data set, model and metric of a run"),
    ("robustbench-cv cite autoattack cifar-resnet20", "of names, whatever they are"),
]


@titled_command("cite", examples=EXAMPLES)
@click.argument("what", nargs=-1, required=True)
@options.plugin
def command(what: tuple[str, ...]) -> None:
    """Print the BibTeX of what the runs in WHAT used, or of attacks, models, data sets, metrics, suites and interventions by name."""
    from robustbench_cv.rendering import citations
    from robustbench_cv.results import Results

    found = [
        reference
        for one in what
        for reference in (citations.of_run(Results.open(Path(one))) if Path(one).is_dir() else citations.of_names([one]))
    ]
    say(citations.bibtex({r.paper: r for r in found}.values()).rstrip("\n"))
