"""Assembles what a run hands to people and machines: summary.csv, junit.xml and the report folder. The same results, the same bytes."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from robustbench_cv.catalogue import REPORTS, build_stored
from robustbench_cv.files import write_bytes
from robustbench_cv.rendering import citations, comments_and_cards, drawing_cache, escape, paper, pdf_report, reporting
from robustbench_cv.rendering.figures import Chart, save
from robustbench_cv.rendering.film_strips import Gallery
from robustbench_cv.rendering.junit import junit_xml
from robustbench_cv.rendering.page import page
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.rendering.table_cells import Footnotes, Number
from robustbench_cv.rendering.tables import Table
from robustbench_cv.rendering.venues import VENUES, Venue
from robustbench_cv.results import Group, Results
from robustbench_cv.run_folder import RunFolder

_SUMMARY = (
    "model",
    "task",
    "dataset",
    "condition",
    "metric",
    "value",
    "low",
    "high",
    "n",
    "excluded",
    "flags",
    "failed",
    "all_wrong",
    "all_right",
    "caution",
)


def publish(results: Results, out: Path, reports: Sequence[str], venue: Venue = VENUES["two-column"]) -> list[Path]:
    """Write summary.csv, junit.xml and report/ (index.html, report.md, main.tex, tables/, figures/) under `out`; the paths written.

    reports: specs of registered reports, in the order of the page. venue: for what is printed. UserError for a report that is unknown.
    """
    items = drawing_cache.with_kept(paper.for_venue(build_items(results, reports), venue), results, reports)
    folder = RunFolder(out)
    tables, figures = folder.report / "tables", folder.report / "figures"
    texts = {
        folder.summary: summary_csv(results),
        folder.junit: junit_xml(results),
        folder.report_page: page(results, items, "index.html"),
        folder.report / "report.md": page(results, items, "report.md"),
    }
    printed = [*(item for item in build_items(results, PRINTED) if item.label not in {i.label for i in items}), *items]
    texts[folder.report / "main.tex"] = paper.main_tex(results, printed, venue)
    texts[folder.report / "references.bib"] = citations.bibtex(citations.of_run(results))
    for item in printed:
        if isinstance(item, Table):
            texts[tables / f"{item.label}.tex"] = item.to_latex(venue)
            texts[tables / f"{item.label}.csv"] = item.to_csv()
    pictures = {figures / f"{item.label}.png": item.to_png() for item in items if isinstance(item, Gallery)}
    pictures |= {folder.report / "summary.parquet": comments_and_cards.summary_parquet(texts[folder.summary])}
    texts[folder.report / "pull-request.md"] = comments_and_cards.short_markdown(results, printed)
    texts |= {folder.report / "model-cards" / name: text for name, text in comments_and_cards.model_cards(results).items()}
    results.save_estimates()
    for path, content in ({path: text.encode("utf-8") for path, text in texts.items()} | pictures).items():
        write_bytes(path, content)
    charts = [path for item in items if isinstance(item, Chart) for path in save(item, figures)]
    if pdf_report.is_available():
        charts.append(folder.report / "report.pdf")
        write_bytes(charts[-1], pdf_report.pdf_report(results, printed))
    drawing_cache.keep(items, results, reports)
    return [*texts, *pictures, *charts]


PRINTED = ("robustness",)
"""Reports that a paper has besides those of the page."""


def build_items(results: Results, reports: Sequence[str], typed: Collection[str] = ()) -> list[Item]:
    """Every table, chart and gallery of some reports, with labels made unique.

    typed: those of them that the user typed now. UserError for one that is unknown, or that is a file of code named by a run folder.
    """
    made: list[Item] = []
    for spec in reports:
        items = build_stored(REPORTS, spec, {*results.typed, *typed})(results)
        made += items if isinstance(items, list | tuple) else [items]
    seen: Counter[str] = Counter()
    unique: list[Item] = []
    for item in made:
        label = escape.slug(item.label)[: escape.LONGEST_SLUG]
        while (name := label if not seen[label] else f"{label}-{seen[label] + 1}") in {one.label for one in unique}:
            seen[label] += 1
        seen[label] += 1
        unique.append(replace(item, label=name))
    return unique


def summary_csv(results: Results) -> str:
    """Every metric under every condition, tidy: rates 0-1, empty where blocked or undefined, with the checks that touch it in `flags`.

    failed: samples that should have an outcome and have none; all_wrong, all_right: a rate with all of these wrong, and all right.
    caution: why the interval may hold less often than it says.
    """
    out = io.StringIO()
    rows = ([escape.csv_cell(v) if isinstance(v, str) else v for v in row] for row in _summary_rows(results))
    csv.writer(out, lineterminator="\n").writerows([_SUMMARY, *rows])
    return out.getvalue()


def _summary_rows(results: Results) -> Iterator[tuple[object, ...]]:
    for group in results.groups():
        clean = [c.name for c in results.conditions(group.task, "clean")[:1]]
        for metric in results.metrics(group.task):
            for condition in reporting.ordered_conditions(results, group.task):
                number = reporting.metric_cell(results, group, condition.name, metric, Footnotes())
                yield _summary_row(results, group, condition.name, metric, number, [condition.name])
            for budget, worst in reporting.worst_cases(results, group, metric, Footnotes()):
                name = f"worst case {reporting.budget_name(budget)}"
                yield _summary_row(results, group, name, metric, worst, [*clean, *budget.conditions])


def _summary_row(results: Results, group: Group, name: str, metric: str, number: Number, under: Sequence[str]) -> tuple[object, ...]:
    """under: the conditions whose records the number is made of."""
    e = number.estimate
    flags = " ".join(dict.fromkeys(f"{f.check}:{f.verdict}" for condition in under for f in results.flags(group, condition)))
    digits = ["" if v is None or number.blocked else repr(float(v)) for v in (e.value, e.low, e.high, e.all_wrong, e.all_right)]
    head = (group.model, group.task, group.dataset, name, metric)
    return *head, *digits[:3], e.n, e.excluded, flags, e.failed, *digits[3:], e.caution
