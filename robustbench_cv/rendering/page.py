"""The page: what the checks say, the numbers a reader looks for first, and every report, through a template."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_cv import gates, palette
from robustbench_cv.rendering import escape, reporting
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

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
        templates()
        .get_template(f"{template}.j2")
        .render(
            run=results.run,
            colours=palette.css(),
            banner=banner(results),
            alarms=alarms(results),
            sections=sections(results, items),
            verdicts=gates.judge(results),
            groups=results.groups(),
            samples=reporting.count_records(results),
            kind=lambda item: type(item).__name__.lower(),
        )
    )


def templates() -> Environment:
    """Of reports/templates: html is escaped, and `latex`, `markdown`, `plain` and `made` (an item as html) are filters."""
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
    made.filters["latex"] = escape.latex
    made.filters["plain"] = escape.plain
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
    """Clean, the worst that the attacks of one budget did, and the strongest context effect beyond its control."""
    metric, notes = results.metrics(group.task)[0], Footnotes()
    numbers = [("clean", reporting.metric_cell(results, group, c.name, metric, notes)) for c in results.conditions(group.task, "clean")[:1]]
    attacks = [(c.name, reporting.metric_cell(results, group, c.name, metric, notes)) for c in results.conditions(group.task, "attack")]
    worst = reporting.leading_worst_case(results, group, metric, notes)
    if worst is not None:
        numbers.append((f"worst case {reporting.budget_name(worst[0])}, over {_count(len(worst[0].conditions), 'attack')}", worst[1]))
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
    expected, there = sum(cell.n for cell in results.run.cells), reporting.count_records(results)
    rest = " ".join(part for part in (_rest(counts), *_doubts(results)) if part)
    if there < expected:
        return Banner("warn", "Unfinished", f"{there} of {expected} records are there; the same command again goes on.")
    if counts["stop"]:
        return Banner("bad", "Numbers are blocked", f"{_count(counts['stop'], 'check')} said stop: what they touch is not shown. {rest}")
    if counts["warn"]:
        return Banner("warn", "Numbers are marked", f"{_count(counts['warn'], 'check')} warned: what they touch carries a dagger. {rest}")
    if not results.findings:
        return Banner("warn", "No check has run", "Nothing here says that the numbers are right: run robustbench-cv doctor.")
    if _doubts(results):
        return Banner("warn", "No check objects", rest)
    return Banner("good", "Every check passed", rest)


def _doubts(results: Results) -> list[str]:
    """What no check says: samples without an outcome, and attacks that nobody judged."""
    failed, every = reporting.count_records(results, "failed"), reporting.count_records(results)
    doubts = [f"{failed} of {every} records failed: what they touch is inconclusive."] if failed else []
    attacks = [(g, c) for g in results.groups() for c in results.conditions(g.task, "attack") if not _is_control(results, g.task, c.name)]
    unjudged = sum(reporting.strength_of(results, group, c.name) not in ("strong", "weak", "nothing to break") for group, c in attacks)
    if unjudged:
        doubts.append(f"{unjudged} of {_count(len(attacks), 'attack')} not judged: nothing says whether they are strong (--strength 8).")
    return doubts


def _is_control(results: Results, task: Task, condition: str) -> bool:
    facts = results.facts(task, condition).attack
    return facts is not None and facts.is_control


def alarms(results: Results) -> list[str]:
    """What a reader must know of a model before any number of it: that it is near chance."""
    return [text for group in results.groups() if (text := reporting.chance_text(results, group))]


def _rest(counts: Counter[str]) -> str:
    parts = [f"{counts[name]} {word}" for name, word in (("warn", "warned"), ("pass", "passed"), ("note", "noted")) if counts[name]]
    return ", ".join(parts) + "." if parts else ""


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
