"""The page: what the checks say, the question that was asked, the numbers a reader looks for first, and every report."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustbench_cv import gates, palette
from robustbench_cv.rendering import context_sentences, escape, reporting
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.rendering.table_html import in_words
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.thumbnails import without_repeats
from robustbench_cv.results import Group, Results
from robustbench_cv.tasks import Task

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_FOLDED_FROM, _FOLDED_FROM_OF_THE_RUN = 12, 24
"""Rows from which on a table that is not its section's first is folded; what an auditor looks for stays open longer."""


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

    @property
    def galleries(self) -> tuple[Gallery, ...]:
        """Those of all its models, which share one filter."""
        return tuple(item for item in self.items if isinstance(item, Gallery))

    @property
    def others(self) -> tuple[Item, ...]:
        return tuple(item for item in self.items if not isinstance(item, Gallery))

    def is_folded(self, item: Item) -> bool:
        """Whether an item is shown only on demand: long tables behind the first, so that the page can be looked over."""
        first = next((other for other in self.items if isinstance(other, Table)), None)
        shown = 0 if not isinstance(item, Table) else len(item.frame) - _hidden_rows(item)
        return item is not first and shown >= (_FOLDED_FROM_OF_THE_RUN if item.task is None else _FOLDED_FROM)


@dataclass(frozen=True)
class Banner:
    """What the checks and the gates say of the run in one line. tone: "good", "warn" or "bad"."""

    tone: str
    title: str
    text: str


_MOST_CARDS = 9
"""Headline cards that stand open: more would hide the tables below them (project choice)."""


def page(results: Results, items: Sequence[Item], template: str) -> str:
    """A template of reports/templates filled: "index.html" is one self-contained file, "report.md" points at figures/."""
    words, chapters = reporting.metric_words(results), sections(results, items)
    environment = templates(words)
    source, _, _ = environment.loader.get_source(environment, "script.js")  # type: ignore[union-attr]
    made = environment.get_template(f"{template}.j2").render(
        run=results.run,
        colours=palette.css(),
        night=palette.css(dark=True),
        script=source,
        script_sha256=base64.b64encode(hashlib.sha256(source.encode()).digest()).decode(),
        banner=banner(results),
        scope=scope(results),
        answers=context_sentences.answers(results),
        alarms=alarms(results),
        sections=chapters,
        folds_cards=sum(len(chapter.headlines) for chapter in chapters) > _MOST_CARDS,
        verdicts=gates.judge(results),
        groups=results.groups(),
        samples=reporting.count_records(results),
        kind=lambda item: type(item).__name__.lower(),
        files=files_of,
        higher=lambda verdict: results.metric_row(verdict.group.task, verdict.gate.metric).higher_is_better,
        hues={task: reporting.model_hues(results, task) for task in reporting.tasks_of(results)},
    )
    return without_repeats(made) if template == "index.html" else made


def templates(words: Mapping[str, str] | None = None) -> Environment:
    """Of reports/templates: html is escaped, and `latex`, `markdown`, `plain`, `words` (metrics as people call them) and `made` (an
    item as html) are filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    from markupsafe import Markup

    known = words or {}

    def made(item: Item) -> Markup:
        # to_html escapes every text
        return Markup(item.to_html() if isinstance(item, Gallery) else item.to_html(known))  # noqa: S704 # nosec B704

    environment = Environment(
        loader=PackageLoader("robustbench_cv.reports"),
        autoescape=select_autoescape(("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = escape.markdown
    environment.filters["latex"] = escape.latex
    environment.filters["plain"] = escape.plain
    environment.filters["words"] = lambda text: in_words(escape.plain(text), known)
    environment.filters["made"] = made
    return environment


def files_of(item: Item) -> list[tuple[str, str]]:
    """What an item is written to beside the page: what it is, and where."""
    if isinstance(item, Table):
        return [("csv", f"tables/{item.label}.csv"), ("LaTeX", f"tables/{item.label}.tex")]
    if isinstance(item, Chart):
        return [(kind, f"figures/{item.label}.{kind}") for kind in ("csv", "pdf", "png")]
    return [("png", f"figures/{item.label}.png")]


def scope(results: Results) -> str:
    """What was run, on what, in a sentence."""
    parts = []
    for task in reporting.tasks_of(results):
        groups = reporting.groups_of(results, task)
        models, data = (dict.fromkeys(getattr(group, name) for group in groups) for name in ("model", "dataset"))
        sizes = {d.name: d.n for d in results.run.datasets if d.task == task or len(results.run.datasets) == 1}
        on = " and ".join(f"{name} ({sizes[name]} images)" if name in sizes else name for name in data)
        kinds: Counter[str] = Counter(c.kind for c in results.conditions(task))
        under = [
            _count(kinds[kind], word)
            for kind, word in (("attack", "attack"), ("intervention", "edit"), ("control", "placebo"))
            if kinds[kind]
        ]
        said = f"{_count(len(models), _WHO[task])} on {on}: clean"
        parts.append(said + (f" and under {', '.join(under)}" if under else ""))
    return "; ".join(parts) + "." if parts else ""


_WHO: dict[Task, str] = {"classification": "classifier", "segmentation": "segmenter", "detection": "detector"}


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


def _hidden_rows(table: Table) -> int:
    """Rows of blocks that are folded already."""
    return sum(table.blocks is not None and str(row.get(table.blocks)) in table.folded for _, row in table.frame.iterrows())


def headline(results: Results, group: Group) -> Headline:
    """Clean, the worst that the attacks of one budget did, and a context effect beyond its control: what was asked, or the strongest."""
    metric, notes = results.metrics(group.task)[0], Footnotes()
    numbers = [("clean", reporting.metric_cell(results, group, c.name, metric, notes)) for c in results.conditions(group.task, "clean")[:1]]
    attacks = [(c.name, reporting.metric_cell(results, group, c.name, metric, notes)) for c in results.conditions(group.task, "attack")]
    worst = reporting.leading_worst_case(results, group, metric, notes)
    if worst is not None:
        numbers.append((f"worst case {reporting.budget_name(worst[0])}, over {_count(len(worst[0].conditions), 'attack')}", worst[1]))
    elif attacks:
        numbers.append(_furthest([(f"under {name}", number) for name, number in attacks], results, group, metric))
    return Headline(reporting.title_of(group), metric, (*numbers, *_effect(results, group, metric, notes)))


def _effect(results: Results, group: Group, metric: str, notes: Footnotes) -> Iterator[tuple[str, Number]]:
    """Of the edit that the run asks about; else the one of the strongest effect beyond its control."""
    asked = context_sentences.lead(results, group.task)
    if asked is not None and (name := context_sentences.leading_metric(results, group, asked.name)) is not None:
        difference = reporting.shown_effect(results, group, asked.name, name, notes)[2]
        if difference is not None:
            of = "" if name == metric else f" of {results.metric_row(group.task, name).words}"
            yield f"{asked.name}, effect{of} − control", difference
            return
    effects = [
        (f"{c.name}, effect − control", difference)
        for c in results.conditions(group.task, "intervention")
        if (difference := reporting.shown_effect(results, group, c.name, metric, notes)[2]) is not None
    ]
    if effects:
        yield _furthest(effects, results, group, metric)


def _furthest(numbers: Sequence[tuple[str, Number]], results: Results, group: Group, metric: str) -> tuple[str, Number]:
    """The worst of several, blocked ones first: a headline must not be chosen from what is left."""
    sign = 1 if results.metric(group, metric).higher_is_better else -1
    blocked = [pair for pair in numbers if pair[1].blocked]
    defined = [pair for pair in numbers if pair[1].estimate.value is not None]
    return (blocked or sorted(defined, key=lambda pair: sign * (pair[1].estimate.value or 0.0)) or list(numbers))[0]


def banner(results: Results) -> Banner:
    """The verdict on top of the page: what is unfinished, stopped, below its gate, warned of or judged by nobody, in this order."""
    counts: Counter[str] = Counter(f.verdict for f in results.findings)
    expected, there = sum(cell.n for cell in results.run.cells), reporting.count_records(results)
    rest = " ".join(part for part in (_rest(counts), *_doubts(results)) if part)
    failed = [f"{v.gate.metric} under {v.gate.condition} of {v.group.model}" for v in gates.judge(results) if v.outcome == "fail"]
    if there < expected:
        return Banner("warn", "Unfinished", f"{there} of {expected} records are there; the same command again goes on.")
    if counts["stop"]:
        return Banner("bad", "Numbers are blocked", f"{_count(counts['stop'], 'check')} said stop: what they touch is not shown. {rest}")
    if failed:
        title = "A gate failed" if len(failed) == 1 else f"{len(failed)} gates failed"
        return Banner("bad", title, f"{'; '.join(failed)}. {rest}")
    if counts["warn"]:
        return Banner("warn", "Numbers are marked", f"{_count(counts['warn'], 'check')} warned: what they touch carries a dagger. {rest}")
    if not results.findings:
        return Banner("warn", "No check has run", "Nothing here says that the numbers are right: run robustbench-cv doctor.")
    if _doubts(results):
        return Banner("warn", "No check objects, but not everything was judged", rest)
    return Banner("good", "Every check passed", rest)


def _doubts(results: Results) -> list[str]:
    """What no check says: samples without an outcome, attacks that nobody judged, and gates that cannot be decided."""
    failed, every = reporting.count_records(results, "failed"), reporting.count_records(results)
    doubts = [f"{failed} of {every} records failed: what they touch is inconclusive."] if failed else []
    unjudged, attacks = reporting.unjudged_attacks(results)
    if unjudged:
        doubts.append(f"{unjudged} of {_count(attacks, 'attack')} not judged: nothing says whether they are strong (--strength 8).")
    undecided = [
        f"{v.gate.metric} under {v.gate.condition} of {v.group.model}" for v in gates.judge(results) if v.outcome == "inconclusive"
    ]
    if undecided:
        doubts.append(f"{_count(len(undecided), 'gate')} inconclusive: {'; '.join(undecided)}.")
    return doubts


def alarms(results: Results) -> list[str]:
    """What a reader must know of a model before any number of it: that it is near chance."""
    return [text for group in results.groups() if (text := reporting.chance_text(results, group))]


def _rest(counts: Counter[str]) -> str:
    parts = [f"{counts[name]} {word}" for name, word in (("warn", "warned"), ("pass", "passed"), ("note", "noted")) if counts[name]]
    return ", ".join(parts) + "." if parts else ""


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
