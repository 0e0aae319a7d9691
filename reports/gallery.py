"""The gallery: samples before and after each condition, with their truth, what the model said and where the pixels changed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from robustbench_cv.arguments import PositiveInt
from robustbench_cv.catalogue import report
from robustbench_cv.rendering import reporting
from robustbench_cv.rendering.escape import slug
from robustbench_cv.rendering.film_strips import Frame, Gallery, Outcome, Strip
from robustbench_cv.rendering.prediction_text import answer
from robustbench_cv.rendering.report_items import Report
from robustbench_cv.results import Group, Picture, Results

_CAPTION = (
    "each image clean and under every condition, the samples that most conditions broke first, of those whose pictures the run kept. The "
    "difference is signed (grey: no change) and amplified. Broken: by an attack, what meets its criterion; by any other condition, where "
    "less than half as much of the answer is right as on the clean image (right pixels, F1 of boxes at IoU 0.5)."
)

_LEFT = 0.5
"""Of what was right on the clean image: with less, an edit has broken the answer (project choice)."""


@report()
def gallery(samples: PositiveInt = 3) -> Report:
    """Truth, predictions and amplified difference of the samples that broke most often, of those that the run kept; more where a condition
    needs others."""
    return lambda results: [_gallery(results, group, samples) for group in results.groups() if _of(results, group)]


def _of(results: Results, group: Group) -> list[Picture]:
    order = {c.name: i for i, c in enumerate(reporting.ordered_conditions(results, group.task))}
    mine = [p for p in results.pictures() if p.group == group and p.condition in order]
    return sorted(mine, key=lambda p: (p.sample, order[p.condition]))


def _gallery(results: Results, group: Group, samples: int) -> Gallery:
    pictures, threshold = _of(results, group), results.model_row(group).operating_score
    shown = dict.fromkeys(p.condition for p in pictures)
    conditions = [c.name for c in reporting.ordered_conditions(results, group.task) if c.name in shown and c.name != "clean"]
    attacks = {c.name for c in results.conditions(group.task, "attack")}
    broken = {name: results.broken(group, name).to_dict() for name in conditions if name in attacks}
    by_sample = [(sample, list(own)) for sample, own in groupby(pictures, key=lambda p: p.sample)]
    removals = {c.name for c in results.conditions(group.task, "intervention") if reporting.is_removal(results, group.task, c)}
    # A removal's placebo is scored without the objects that the removal takes; in its picture they are all still there.
    placebos = {c.name for c in results.conditions(group.task, "control") if c.control_of in removals}
    strips = [_strip(sample, _whole(own, placebos), conditions, broken, threshold) for sample, own in by_sample]
    chosen = _enough(sorted(strips, key=_rank), samples)
    boxes = (f"Boxes with a score of at least {threshold:g} are drawn.",) if group.task == "detection" else ()
    stops = dict.fromkeys(results.stop_reason(group, name) for name in shown)
    blocked = tuple(f"Numbers of these pictures are blocked by {reason}: the predictions may be wrong too." for reason in stops if reason)
    label, title = slug(f"gallery {group.task} {group.model} {group.dataset}"), f"Gallery: {group.model}"
    return Gallery(
        strips=tuple(chosen),
        caption=f"{reporting.title_of(group)}: {_CAPTION}",
        label=label,
        notes=(*blocked, *boxes),
        task=group.task,
        title=title,
        model=group.model,
    )


def _whole(pictures: Sequence[Picture], placebos: Collection[str]) -> list[Picture]:
    """The pictures, those of placebos of removals with all objects that were there before."""
    return [replace(p, after_truth=p.before_truth) if p.condition in placebos and "boxes" in p.before_truth else p for p in pictures]


def _rank(strip: Strip) -> tuple[int, int, float, str]:
    """Those with pictures of most conditions, of these the most often broken, the least right."""
    kept = [frame for frame in strip.frames if frame.image is not None]
    right = [value for frame in kept if (value := strip.answer(frame).right) is not None]
    return -len(kept), -strip.broken, sum(right) / len(right) if right else 1.0, strip.title


def _enough(ranked: Sequence[Strip], samples: int) -> list[Strip]:
    """The first `samples`, and after them the first of those that alone show a condition: few images hold what a sticker is put on."""
    chosen: list[Strip] = []
    seen: set[str] = set()
    for strip in ranked:
        new = {frame.heading for frame in strip.frames if frame.image is not None} - seen
        if len(chosen) < samples or new:
            chosen.append(strip)
            seen |= new
    return chosen


def _strip(
    sample: str,
    pictures: Sequence[Picture],
    conditions: Sequence[str],
    broken: Mapping[str, Mapping[str, object]],
    threshold: float,
) -> Strip:
    """A frame for every condition, in one order for all samples, so that the columns of two strips are the same."""
    first, by_condition = pictures[0], {p.condition: p for p in pictures}
    before = answer(first.before_prediction, first.before_truth, first.class_names, first.before.parent, threshold).right
    frames = [Frame("clean", first.before, first.before_prediction, truth=first.before_truth)]
    for name in conditions:
        p = by_condition.get(name)
        if p is None:
            frames.append(Frame(name, None, {}))
            continue
        after = answer(p.after_prediction, p.after_truth, p.class_names, p.after.parent, threshold).right
        outcome = _attacked(broken[name].get(sample)) if name in broken else _edited(before, after)
        frames.append(Frame(name, p.after, p.after_prediction, p.before, p.after_truth, outcome))
    return Strip(sample, tuple(frames), first.class_names, threshold)


def _attacked(success: object) -> Outcome:
    return "" if success is None else "broken" if success else "held"


def _edited(before: float | None, after: float | None) -> Outcome:
    """ "" too where nothing was right before: an edit cannot break that."""
    return "" if not before or after is None else "broken" if after < _LEFT * before else "held"
