"""list: what there is of a kind."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence

import click

from robustbench_cv.catalogue import REGISTRIES
from robustbench_cv.cli import options
from robustbench_cv.cli.titled import OTHER, WHAT, option, titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Entry
from robustbench_cv.terminal import one_line, say

EXAMPLES = [
    ("robustbench-cv list attacks", "every attack, with a line about each"),
    ("robustbench-cv list models --task detection --family yolo", "the models of a task and a family"),
    ("robustbench-cv list models --json", "every architecture and source, for a program to read"),
]


@titled_command("list", examples=EXAMPLES)
@click.argument("kind", type=click.Choice(sorted(REGISTRIES)))
@option("--task", title=WHAT, default="", metavar="TASK", help="What is for this task alone, or for any.")
@option("--family", title=WHAT, default="", metavar="NAME", help="Models of a family alone, such as resnet.")
@option("--json", "as_json", title=OTHER, is_flag=True, help="Machine-readable.")
@options.plugin
def command(kind: str, task: str, family: str, as_json: bool) -> None:
    """What there is of KIND."""
    entries = _of(_of([REGISTRIES[kind].entries()[name] for name in REGISTRIES[kind].names()], "task", task), "family", family)
    if as_json:
        rows = [{"name": e.name, "signature": e.signature, "summary": e.summary, **e.facts} for e in entries]
        say(json.dumps(rows, indent=1))
        return
    width = max((len(e.name) for e in entries), default=0)
    for e in entries:
        say(one_line(f"{e.name:<{width}}  {_facts_of_model(e) if kind == 'models' else ''}{e.summary}"))


def _of(entries: Sequence[Entry], fact: str, wanted: str) -> list[Entry]:
    """The entries of which a fact is what is wanted, or "any". UserError where no entry knows such a one."""
    if not wanted:
        return list(entries)
    known = sorted({str(e.facts[fact]) for e in entries if e.facts.get(fact)})
    folded = {name.casefold(): name for name in known}
    if wanted.casefold() not in folded:
        close = difflib.get_close_matches(wanted.casefold(), folded, n=1)
        hint = f"; did you mean {folded[close[0]]!r}?" if close else ""
        raise UserError(f"nothing there says the {fact} {wanted!r}{hint}; there are: {', '.join(known) or 'none'}")
    return [e for e in entries if str(e.facts.get(fact)).casefold() in (wanted.casefold(), "any")]


def _facts_of_model(entry: Entry) -> str:
    """Task, year, source and parameters of an architecture, in columns; blank for a source of many."""
    facts = entry.facts
    count = facts.get("parameters")
    millions = f"{count / 1e6:,.2f} M" if isinstance(count, int) else ""
    return f"{facts.get('task', ''):<14}  {facts.get('year', ''):<4}  {facts.get('source', ''):<12}  {millions:>9}  "
