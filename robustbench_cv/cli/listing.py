"""list: what there is of a kind."""

from __future__ import annotations

import json

import click

from robustbench_cv.catalogue import REGISTRIES
from robustbench_cv.cli import options
from robustbench_cv.cli.titled import OTHER, option, titled_command
from robustbench_cv.registry import Entry
from robustbench_cv.terminal import one_line, say

EXAMPLES = [
    ("robustbench-cv list attacks", "every attack, with a line about each"),
    ("robustbench-cv list models --json", "every architecture and source, for a program to read"),
]


@titled_command("list", examples=EXAMPLES)
@click.argument("kind", type=click.Choice(sorted(REGISTRIES)))
@option("--json", "as_json", title=OTHER, is_flag=True, help="Machine-readable.")
@options.plugin
def command(kind: str, as_json: bool) -> None:
    """What there is of KIND."""
    entries = [REGISTRIES[kind].entries()[name] for name in REGISTRIES[kind].names()]
    if as_json:
        rows = [{"name": e.name, "signature": e.signature, "summary": e.summary, **e.facts} for e in entries]
        say(json.dumps(rows, indent=1))
        return
    width = max((len(e.name) for e in entries), default=0)
    for e in entries:
        say(one_line(f"{e.name:<{width}}  {_facts_of_model(e) if kind == 'models' else ''}{e.summary}"))


def _facts_of_model(entry: Entry) -> str:
    """Task, year, source and parameters of an architecture, in columns; blank for a source of many."""
    facts = entry.facts
    count = facts.get("parameters")
    millions = f"{count / 1e6:,.2f} M" if isinstance(count, int) else ""
    return f"{facts.get('task', ''):<14}  {facts.get('year', ''):<4}  {facts.get('source', ''):<12}  {millions:>9}  "
