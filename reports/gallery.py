"""The gallery: samples before and after each condition, with what the model said and where the pixels changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.film_strips import Frame, Gallery, Strip
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.results import Group, Picture, Results

_CAPTION = "each image before and after, with the model's predictions. The difference is signed (grey: no change) and amplified."


@report()
def gallery(samples: PositiveInt = 3) -> Report:
    """Before, after, amplified difference and predictions of the first samples that the run saved; more where a condition needs others."""
    return lambda results: [_gallery(results, group, samples) for group in results.groups() if _of(results, group)]


def _of(results: Results, group: Group) -> list[Picture]:
    order = {c.name: i for i, c in enumerate(reporting.ordered_conditions(results, group.task))}
    mine = [p for p in results.pictures() if p.group == group and p.condition in order]
    return sorted(mine, key=lambda p: (p.sample, order[p.condition]))


def _gallery(results: Results, group: Group, samples: int) -> Gallery:
    by_sample = [(sample, list(pictures)) for sample, pictures in groupby(_of(results, group), key=lambda p: p.sample)]
    richest = _enough(sorted(by_sample, key=lambda item: (-len(item[1]), item[0])), samples)
    threshold = results.model_row(group).operating_score
    strips = tuple(_strip(sample, pictures, threshold) for sample, pictures in richest)
    caption = f"{reporting.title_of(group)}: {_CAPTION}"
    boxes = (f"Boxes with a score of at least {threshold:g} are drawn.",) if group.task == "detection" else ()
    stops = dict.fromkeys(results.stop_reason(group, p.condition) for _, pictures in richest for p in pictures)
    blocked = tuple(f"Numbers of these pictures are blocked by {reason}: the predictions may be wrong too." for reason in stops if reason)
    label, title = slug(f"gallery {group.task} {group.model} {group.dataset}"), f"Gallery: {group.model}"
    return Gallery(strips=strips, caption=caption, label=label, notes=(*blocked, *boxes), task=group.task, title=title)


def _enough(ranked: list[tuple[str, list[Picture]]], samples: int) -> list[tuple[str, list[Picture]]]:
    """The first `samples`, and after them the first of those that alone show a condition: few images hold what a sticker is put on."""
    chosen: list[tuple[str, list[Picture]]] = []
    shown: set[str] = set()
    for sample, pictures in ranked:
        new = {p.condition for p in pictures} - shown
        if len(chosen) < samples or new:
            chosen.append((sample, pictures))
            shown |= new
    return chosen


def _strip(sample: str, pictures: Sequence[Picture], threshold: float) -> Strip:
    first = pictures[0]
    edited = [Frame(p.condition, p.after, p.after_prediction, p.before) for p in pictures if p.condition != "clean"]
    return Strip(sample, (Frame("clean", first.before, first.before_prediction), *edited), first.class_names, threshold)
