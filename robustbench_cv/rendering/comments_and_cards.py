"""What a run hands to other places: a short comment for a pull request, tidy Parquet, and a section for each model's card.

A model card's numbers are in Hugging Face's `model-index` metadata (https://github.com/huggingface/hub-docs/blob/main/modelcard.md): a
result for each task and data set, each with its metrics; values are shares, as in summary.csv. What a check blocked is not in it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow
import pyarrow.parquet
import yaml

from robustbench_cv import gates
from robustbench_cv.rendering import escape, page, reporting, threats
from robustbench_cv.rendering.report_items import Item
from robustbench_cv.rendering.tables import Table
from robustbench_cv.results import Results
from robustbench_cv.tasks import Task

_NUMBERS = ("value", "low", "high", "all_wrong", "all_right")
_COUNTS = ("n", "excluded", "failed")

PIPELINES: dict[Task, str] = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "detection": "object-detection",
}
"""Tasks as Hugging Face calls them."""


def summary_parquet(summary: str) -> bytes:
    """summary.csv with typed columns: numbers and counts, null where there are none; texts as they are."""
    rows = list(csv.DictReader(io.StringIO(summary)))
    names = list(csv.DictReader(io.StringIO(summary)).fieldnames or [])
    columns = {name: pyarrow.array([_typed(name, row[name]) for row in rows], _type(name)) for name in names}
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), out)
    return out.getvalue()


def _without_controls(value: Any) -> Any:
    """The same, its texts without characters that steer a terminal or the direction of writing."""
    if isinstance(value, dict):
        return {key: _without_controls(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_controls(part) for part in value]
    return escape.plain(value) if isinstance(value, str) else value


def _type(name: str) -> pyarrow.DataType:
    return pyarrow.float64() if name in _NUMBERS else pyarrow.int64() if name in _COUNTS else pyarrow.string()


def _typed(name: str, text: str) -> float | int | str | None:
    if name in _NUMBERS:
        return float(text) if text else None
    return int(text) if name in _COUNTS else text


def short_markdown(results: Results, items: Sequence[Item]) -> str:
    """The tables of a paper's text under one line of verdict, for a pull request: no picture, captions folded away."""
    said = page.banner(results)
    lines = [f"### {escape.markdown(results.run.suite)}: {escape.markdown(said.title)}", "", escape.markdown(said.text), ""]
    for verdict in gates.judge(results):
        gate = f"{verdict.gate.metric} under {verdict.gate.condition} of {verdict.group.model}"
        lines.append(f"- gate **{verdict.outcome}**: {escape.markdown(gate)} ({escape.markdown(verdict.evidence)})")
    for item in items:
        if isinstance(item, Table) and item.in_text:
            caption, _, rows = item.to_markdown().partition("\n\n")
            lines += ["", rows.split("\n\n")[0], "", f"<details><summary>About this table</summary>\n\n{caption.strip('*')}\n\n</details>"]
    return "\n".join([*lines, ""])


def model_cards(results: Results) -> dict[str, str]:
    """A section for the card of each model, by a file name: metadata, and the same in words."""
    models = list(dict.fromkeys(g.model for g in results.groups()))
    return {f"{name}.md": _card(results, model) for name, model in zip(escape.slugs(models), models, strict=True)}


def _card(results: Results, model: str) -> str:
    entry = {"name": model, "results": list(_index(results, model))}
    head = yaml.safe_dump({"tags": ["robustness"], "model-index": [_without_controls(entry)]}, sort_keys=False, allow_unicode=True)
    return "\n".join(["---", head.rstrip("\n"), "---", "", "## Robustness", "", *_words(results, model), ""])


def _index(results: Results, model: str) -> Iterator[dict[str, Any]]:
    for group in (g for g in results.groups() if g.model == model):
        spec = next((d.spec for d in results.run.datasets if (d.name, d.task) == (group.dataset, group.task)), group.dataset)
        metrics = []
        for condition in reporting.ordered_conditions(results, group.task):
            for metric in results.metrics(group.task):
                e = results.estimate(group, condition.name, metric)
                if e.value is not None:
                    interval = {} if e.low is None or e.high is None else {"low": float(e.low), "high": float(e.high)}
                    args = {"condition": condition.name, "n": e.n, **interval}
                    metrics.append({"type": metric, "value": float(e.value), "name": f"{metric}, {condition.name}", "args": args})
        if metrics:
            yield {
                "task": {"type": PIPELINES[group.task], "name": reporting.TASK_TITLES[group.task]},
                "dataset": {"type": spec, "name": group.dataset},
                "metrics": metrics,
            }


def _words(results: Results, model: str) -> Iterator[str]:
    for group in (g for g in results.groups() if g.model == model):
        made = page.headline(results, group)
        unit = " %" if reporting.unit_of(results, group.task, made.metric) == "rate" else ""
        yield f"**{escape.markdown(made.title)}** ({escape.markdown(made.metric)}, with 95 % intervals):"
        yield ""
        yield from (f"- {escape.markdown(name)}: {escape.markdown(f'{n.value}{unit} {n.interval}'.strip())}" for name, n in made.numbers)
        yield ""
        adversary = threats.adversary_text(results, group.task, results.conditions(group.task, "attack"))
        yield from ([escape.markdown(adversary), ""] if adversary else [])
    yield escape.markdown(threats.run_text(results))
    yield ""
    yield "A model that holds against these attacks may fall to others; what was not tried here is not claimed."
