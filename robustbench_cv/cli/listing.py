"""list: what there is of a kind."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence

import click

from robustbench_cv.bundled_weights import bundled
from robustbench_cv.catalogue import REGISTRIES
from robustbench_cv.cli import options
from robustbench_cv.cli.help_groups import OTHER, WHAT, option, titled_command
from robustbench_cv.errors import UserError
from robustbench_cv.registry import Entry
from robustbench_cv.terminal import one_line, say

EXAMPLES = [
    ("robustbench-cv list attacks", "every attack, with a line about each"),
    ("robustbench-cv list models --task detection --family yolo", "the models of a task and a family"),
    ("robustbench-cv list models --weights scenes", "the models with weights that need no download: lenet5.scenes, ..."),
    ("robustbench-cv list models --json", "every architecture and source, for a program to read"),
]


@titled_command("list", examples=EXAMPLES)
@click.argument("kind", type=click.Choice(sorted(REGISTRIES)))
@option("--task", title=WHAT, default="", metavar="TASK", help="What is for this task alone, or for any.")
@option("--family", title=WHAT, default="", metavar="NAME", help="Models of a family alone, such as resnet.")
@option("--weights", title=WHAT, default="", metavar="TAG", help="Models with such bundled weights alone: scenes for MODEL.scenes.")
@option("--json", "as_json", title=OTHER, is_flag=True, help="Machine-readable.")
@options.plugin
def command(kind: str, task: str, family: str, weights: str, as_json: bool) -> None:
    """What there is of KIND."""
    if weights and kind != "models":
        raise click.UsageError("--weights is for models: robustbench-cv list models --weights TAG")
    entries = _of(_of([REGISTRIES[kind].entries()[name] for name in REGISTRIES[kind].names()], "task", task), "family", family)
    tags = bundled() if kind == "models" else {}
    if weights:
        _require_tag(weights, tags)
        entries = [e for e in entries if weights in tags.get(e.name, [])]
    if as_json:
        of_models = {e.name: {"weights": tags.get(e.name, [])} if kind == "models" else {} for e in entries}
        rows = [{"name": e.name, "signature": e.signature, "summary": e.summary, **e.facts, **of_models[e.name]} for e in entries]
        say(json.dumps(rows, indent=1))
        return
    width = max((len(e.name) for e in entries), default=0)
    if kind == "models":
        wide = max((len(", ".join(those)) for those in tags.values()), default=0)
        say(f"{'model':<{width}}  {_columns('task', 'year', 'source', 'parameters')}  {'weights':<{wide}}  what it is")
    for e in entries:
        facts = f"{_facts_of_model(e)}  {', '.join(tags.get(e.name, [])):<{wide}}  " if kind == "models" else ""
        say(one_line(f"{e.name:<{width}}  {facts}{e.summary}"))
    if kind == "models" and any(e.name in tags for e in entries):
        say("weights: bundled, and asked for behind a dot, as in lenet5.scenes; list models --weights scenes shows those that have some")


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
    task, year, source = (str(facts.get(key, "")) for key in ("task", "year", "source"))
    return _columns(task, year, source, millions)


def _columns(task: str, year: str, source: str, parameters: str) -> str:
    return f"{task:<14}  {year:<4}  {source:<12}  {parameters:>10}"


def _require_tag(weights: str, tags: Mapping[str, Sequence[str]]) -> None:
    """UserError for a tag that no model has."""
    every = sorted({tag for those in tags.values() for tag in those})
    if weights not in every:
        close = difflib.get_close_matches(weights[:100], every, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise UserError(f"no model has bundled weights {weights!r}{hint} (there are {', '.join(every)})")
