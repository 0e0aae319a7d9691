"""The page: what the checks say, the numbers a reader looks for first, and every report, through a template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_cv import gates, palette
from robustbench_cv.rendering import escape, reporting
from robustbench_cv.rendering.cells import Footnotes, Number
from robustbench_cv.rendering.items import Item
from robustbench_cv.results import Group, Results

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Headline:
    """The few numbers a reader looks for first, of one model on one data set."""

    title: str
    metric: str
    numbers: tuple[tuple[str, Number], ...]


@dataclass(frozen=True)
class Section:
    """A chapter of the page: one task, or the run as a whole."""

    title: str
    anchor: str
    items: tuple[Item, ...]
    headlines: tuple[Headline, ...] = ()


@dataclass(frozen=True)
class Banner:
    """What the checks say of the run in one line. tone: "good", "warn" or "bad"."""

    tone: str
    title: str
    text: str


def page(results: Results, items: Sequence[Item], template: str) -> str:
    """A template of reports/templates filled: "index.html" is one self-contained file, "report.md" points at figures/."""
    return (
        _templates()
        .get_template(f"{template}.j2")
        .render(
            run=results.run,
            colours=palette.css(),
            banner=banner(results),
            sections=sections(results, items),
            verdicts=gates.judge(results),
            groups=results.groups(),
            samples=sum(len(results.rows(g, c.name)) for g in results.groups() for c in results.conditions(g.task)),
            kind=lambda item: type(item).__name__.lower(),
        )
    )


def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    made = Environment(
        loader=PackageLoader("robustbench_cv.reports"),
        autoescape=select_autoescape(("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["markdown"] = escape.markdown
    made.filters["made"] = lambda item: Markup(item.to_html())  # noqa: S704  (to_html escapes every text)
    return made


def sections(results: Results, items: Sequence[Item]) -> list[Section]:
    """Each task's items under its headline numbers, then those of the run as a whole."""
    made = [
        Section(
            reporting.TASK_TITLES[task],
            task,
            tuple(item for item in items if item.task == task),
            tuple(headline(results, group) for group in reporting.groups_of(results, task)),
        )
        for task in reporting.tasks_of(results)
    ]
    whole = tuple(item for item in items if item.task is None)
    return [*made, *([Section("The run", "run-as-a-whole", whole)] if whole else [])]


def headline(results: Results, group: Group) -> Headline:
    """Clean, the worst that attacks did, and the strongest context effect beyond its control."""
    metric, notes = results.metrics(group.task)[0], Footnotes()
    numbers = [("clean", reporting.shown(results, group, c.name, metric, notes)) for c in results.conditions(group.task, "clean")[:1]]
    attacks = [(c.name, reporting.shown(results, group, c.name, metric, notes)) for c in results.conditions(group.task, "attack")]
    worst = reporting.shown_worst_case(results, group, metric, notes) if attacks else None
    if worst is not None:
        numbers.append(("worst case over attacks", worst))
    elif attacks:
        numbers.append(_furthest([(f"under {name}", number) for name, number in attacks], results, group, metric))
    effects = [
        (f"{c.name}, effect − control", difference)
        for c in results.conditions(group.task, "intervention")
        if (difference := reporting.shown_effect(results, group, c.name, metric, notes)[2]) is not None
    ]
    return Headline(reporting.title_of(group), metric, (*numbers, *([_furthest(effects, results, group, metric)] if effects else [])))


def _furthest(numbers: Sequence[tuple[str, Number]], results: Results, group: Group, metric: str) -> tuple[str, Number]:
    """The worst of several, blocked ones first: a headline must not be chosen from what is left."""
    sign = 1 if results.metric(group, metric).higher_is_better else -1
    blocked = [pair for pair in numbers if pair[1].blocked]
    defined = [pair for pair in numbers if pair[1].estimate.value is not None]
    return (blocked or sorted(defined, key=lambda pair: sign * (pair[1].estimate.value or 0.0)) or list(numbers))[0]


def banner(results: Results) -> Banner:
    """The verdict on top of the page."""
    counts: Counter[str] = Counter(f.verdict for f in results.findings)
    expected, found = sum(cell.n for cell in results.run.cells), len(results.records)
    if found < expected:
        return Banner("warn", "Unfinished", f"{found} of {expected} records are there; the same command again goes on.")
    if counts["stop"]:
        return Banner(
            "bad", "Numbers are blocked", f"{_count(counts['stop'], 'check')} said stop: what they touch is not shown. {_rest(counts)}"
        )
    if counts["warn"]:
        return Banner(
            "warn", "Numbers are marked", f"{_count(counts['warn'], 'check')} warned: what they touch carries a dagger. {_rest(counts)}"
        )
    if not results.findings:
        return Banner("warn", "No check has run", "Nothing here says that the numbers are right: run robustbench-cv doctor.")
    return Banner("good", "Every check passed", _rest(counts))


def _rest(counts: Counter[str]) -> str:
    parts = [f"{counts[name]} {word}" for name, word in (("warn", "warned"), ("pass", "passed"), ("note", "noted")) if counts[name]]
    return ", ".join(parts) + "." if parts else ""


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
