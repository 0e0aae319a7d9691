"""The paper: main.tex, which compiles as it stands and holds every table and figure, laid out for a venue.

Tables and figures of the text come first; what a reader checks (every column of every table, the protocol, pictures) is the supplement,
set in one column so that long tables can break over pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from robustbench_cv.rendering import citations, escape, latex, page, reporting, threats
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.venues import Venue
from robustbench_cv.results import Results
from robustbench_cv.tasks import Task


@dataclass(frozen=True)
class Placed:
    """An item of the paper as the template needs it. width: of its picture, as TeX writes it; star: "*" for one over both columns."""

    label: str
    title: str
    is_table: bool
    caption: str = ""
    file: str = ""
    width: str = r"\linewidth"
    star: str = ""


def for_venue(items: Sequence[Item], venue: Venue) -> list[Item]:
    """The items as they are printed there."""
    return [replace(item, venue=venue) if isinstance(item, Chart) else item for item in items]


def main_tex(results: Results, items: Sequence[Item], venue: Venue) -> str:
    """The document that includes tables/ and figures/ beside it."""
    body = [item for item in items if is_of_text(item, venue)]
    rest = [item for item in items if not is_of_text(item, venue)]
    return (
        page.templates()
        .get_template("main.tex.j2")
        .render(
            run=results.run,
            venue=venue,
            setup=latex.SETUP,
            title=title_of(results),
            setup_texts=list(_setup(results)),
            sentences=list(sentences(results)),
            body=[_placed(item, venue) for item in body],
            supplement=[_placed(item, venue) for item in rest],
            supplement_texts=list(_supplement(results)),
            cited=bool(citations.of_run(results)),
        )
    )


def is_of_text(item: Item, venue: Venue) -> bool:
    """Whether an item stands in the text; all others stand in the supplement."""
    return isinstance(item, Chart) or (isinstance(item, Table) and item.is_float(venue))


def table_tex(table: Table, venue: Venue) -> str:
    """The file that main.tex includes, and that may be included elsewhere."""
    return table.to_latex(venue)


def _placed(item: Item, venue: Venue) -> Placed:
    title = item.title or item.label
    section = f"{reporting.TASK_TITLES[item.task]}: {title}" if item.task else title
    if isinstance(item, Table):
        return Placed(item.label, section, is_table=True)
    caption = " ".join([item.caption, *item.notes])
    if isinstance(item, Chart):
        across = item.printed_size[0]
        is_wide = venue.name == "two-column" and across > venue.column
        return Placed(
            item.label,
            section,
            is_table=False,
            caption=caption,
            file=f"{item.label}.pdf",
            width=f"{across:.3f}in",
            star="*" if is_wide else "",
        )
    return Placed(item.label, section, is_table=False, caption=caption, file=f"{item.label}.png")


def title_of(results: Results) -> str:
    """What the paper is called."""
    n = len({group.model for group in results.groups()})
    return f"Robustness of {n} model{'' if n == 1 else 's'}: suite {results.run.suite}"


def _setup(results: Results) -> Iterator[str]:
    """What was run, on what, and what the checks said, as LaTeX."""
    for task in reporting.tasks_of(results):
        groups = reporting.groups_of(results, task)
        models = _listed(dict.fromkeys(_cited(g.model, "models", results.model_row(g).spec) for g in groups))
        specs = {d.name: d.spec for d in results.run.datasets}
        data = _listed(dict.fromkeys(_cited(g.dataset, "datasets", specs.get(g.dataset, "")) for g in groups))
        measured = _listed(dict.fromkeys(_cited(name, "metrics", name) for name in results.metrics(task)))
        attacks = dict.fromkeys(
            _cited(threats.attack_title(results, task, c), "attacks", c.attack or "") for c in results.conditions(task, "attack")
        )
        said = f" Attacks: {_listed(attacks)}. {escape.latex(_adversary(results, task))}" if attacks else ""
        yield rf"\textbf{{{escape.latex(reporting.TASK_TITLES[task])}.}} Models: {models}. Data: {data}. Metrics: {measured}.{said}"
    rest = ",".join(reference.key for reference in citations.of_run(results) if reference.paper not in _named(results))
    yield rf"{escape.latex(threats.run_text(results))} Intervals, tests and edits follow~\cite{{{rest}}}."
    yield from (escape.latex(note) for note in results.run.notes)
    yield from (escape.latex(alarm) for alarm in page.alarms(results))


def _named(results: Results) -> set[str]:
    """Papers that are cited where the thing is named."""
    shown = ("models", "datasets", "attacks", "metrics")
    return {paper for kind, spec in citations.used(results) if kind in shown for paper in citations.papers(kind, spec)}


def _cited(text: str, kind: str, spec: str) -> str:
    key = citations.key_of(kind, spec)
    return rf"{escape.latex(text)}~\cite{{{key}}}" if key else escape.latex(text)


def _adversary(results: Results, task: Task) -> str:
    return threats.adversary_text(results, task, results.conditions(task, "attack"))


def _listed(names: Sequence[str] | dict[str, None]) -> str:
    every = list(names)
    return every[0] if len(every) == 1 else f"{', '.join(every[:-1])} and {every[-1]}"


def sentences(results: Results) -> Iterator[str]:
    """The numbers that a reader looks for first, in words."""
    for group in results.groups():
        made = page.headline(results, group)
        unit = " %" if reporting.unit_of(results, group.task, made.metric) == "rate" else ""
        said = "; ".join(f"{name}: {number.value}{unit}{f' {number.interval}' if number.interval else ''}" for name, number in made.numbers)
        yield f"{made.title} ({made.metric}): {said}."


def _supplement(results: Results) -> Iterator[str]:
    run = results.run
    yield f"Made by robustbench-cv {run.versions.get('robustbench-cv', '')} on {run.device}. Command: {run.command}"
