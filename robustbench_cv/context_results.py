"""What context analysis makes of a run's records: which evidence goes into its numbers, and under which conditions. Nothing here writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import pyarrow

from robustbench_cv.arrow_compute import compute
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.metrics.class_matrix import ids_holding, merged, removed_alone
from robustbench_cv.metrics.compatibility_bins import ByCompatibility, ShiftBin
from robustbench_cv.metrics.compatibility_bins import by_compatibility as bins_of_recall
from robustbench_cv.metrics.compatibility_bins import shift_by_compatibility as bins_of_shift
from robustbench_cv.metrics.context_compatibility import COMPATIBILITY, CONTEXT_COMPATIBILITY
from robustbench_cv.metrics.context_index import ContextReliance, Sides, context_reliance
from robustbench_cv.metrics.context_shift import ContextShift, context_shift
from robustbench_cv.metrics.context_violations import Violations, violations
from robustbench_cv.metrics.domain_shift import DomainShift, domain_shift
from robustbench_cv.metrics.evidence import Column, Side, shared_ids
from robustbench_cv.metrics.fill_fidelity import Fidelity, fill_fidelity
from robustbench_cv.metrics.hallucination import REPORTED
from robustbench_cv.metrics.intervals import difference_in_differences, estimate, paired_difference
from robustbench_cv.metrics.label_probability import NAME as LABEL_PROBABILITY
from robustbench_cv.metrics.mean_over_placements import Cell, OverPlaces, by_place, label_entropy, over_places, ring_change
from robustbench_cv.metrics.metric import Estimate, Metric
from robustbench_cv.metrics.object_recall import NAME as OBJECT_RECALL
from robustbench_cv.metrics.occlusion_gap import OcclusionGap, occlusion_gap
from robustbench_cv.metrics.occlusion_robustness import OcclusionRobustness, occlusion_robustness
from robustbench_cv.metrics.ratios import Background, Ratio
from robustbench_cv.metrics.removal_response import Affected, affected_images
from robustbench_cv.results import Effect, Group, Results, undefined


@dataclass(frozen=True)
class ClassEffect:
    """What removing one class did to the number of another, over the n images from which it alone was removed and that hold the other.

    score: of detectors, what it did to the score of the other's objects; None where the run measures no detection score. affected: of
    segmenters, how many of the images it changed.
    """

    removed: str
    changed: str
    effect: Effect
    score: Effect | None = None
    affected: Affected | None = None


class Presence(NamedTuple):
    """Of clean images with a class, of clean images without it, and of the first after its removal."""

    with_class: Estimate
    without_class: Estimate
    class_removed: Estimate


def reliance(results: Results, group: Group, removal: str, swap: str, of: str | None = None) -> ContextReliance:
    """Object reliance, context sensitivity and the context index, from a removal, a swap of contexts and the placebo of each.

    of: over the objects of one class alone. NotApplicable where one of the two has no placebo in the run. Blocked: all undefined.
    """
    metric = OBJECT_RECALL if of is None else f"class-{OBJECT_RECALL}(of={of!r})"
    pairs = [(name, next(iter(results.controls(group.task, name)), None)) for name in (removal, swap)]
    for name, control in pairs:
        if control is None:
            raise NotApplicable(f"{name!r} has no placebo in this run")
        if blocked := results.stop_reason(group, name):
            return ContextReliance(*[undefined(blocked)] * 3)
    names = [name for pair in pairs for name in pair if name is not None]

    def make() -> ContextReliance:
        each = [results.evidence(group, name, metric, reference=reference) for name in names for reference in (False, True)]
        if of is not None:
            each = [side.only(ids_holding(side, results.model_row(group).classes.index(of))) for side in each]
        failed = results.failed_under(group, names)
        made = context_reliance(results.metric(group, metric), Sides(*each[:4]), Sides(*each[4:]))
        return ContextReliance(*(replace(one, failed=failed) for one in made))

    return results.remember("context reliance", group, names, metric, ContextReliance, make)


def matrix(results: Results, group: Group, conditions: Sequence[str], fewest: int) -> list[ClassEffect]:
    """What removing each class does to each other one, by class name: IoU of segmenters, recall and scores of detectors.

    conditions: removals of one class from each image, each of another one, all with a placebo. Only of pairs with at least `fewest`
    images. Empty for classifiers, and where the run keeps nothing of which class was removed.
    """
    metric = {"segmentation": "class-iou", "detection": "class-recall"}.get(group.task)
    if metric is None or results.first_stop(group, conditions):
        return []
    names = [name for condition in conditions for name in (condition, *results.controls(group.task, condition))]

    def make() -> list[ClassEffect]:
        return list(_class_effects(results, group, conditions, metric, fewest))

    return results.remember("class matrix", group, names, metric, list[ClassEffect], make, fewest)


def _class_effects(results: Results, group: Group, conditions: Sequence[str], metric: str, fewest: int) -> Iterator[ClassEffect]:
    classes = results.model_row(group).classes
    ids_by_condition = {condition: _removed_alone(results, group, condition) for condition in conditions}
    for index in sorted({index for ids in ids_by_condition.values() for index in ids}):
        removals = {condition: ids[index] for condition, ids in ids_by_condition.items() if index in ids}
        if sum(map(len, removals.values())) < fewest:
            continue
        sides = _merged_sides(results, group, removals, results.metric(group, f"{metric}(of={classes[index]!r})"))
        scores = _merged_sides(results, group, removals, results.metric(group, "detection-score")) if group.task == "detection" else None
        for changed in classes:
            place = classes.index(changed)
            holding = ids_holding(sides[1], place)
            chosen = [one.only(holding) for one in sides]
            if changed == classes[index] or len(shared_ids(chosen)) < fewest:
                continue
            effect = _effect(results, group, f"{metric}(of={changed!r})", chosen)
            score = None
            if scores is not None and len(scores[0]):
                score = _effect(results, group, f"class-score(of={changed!r})", [one.only(holding) for one in scores])
            affected = affected_images(chosen, place) if group.task == "segmentation" else None
            yield ClassEffect(classes[index], changed, effect, score, affected)


def _effect(results: Results, group: Group, metric: str, sides: Sequence[Column]) -> Effect:
    return Effect(*difference_in_differences(results.metric(group, metric), *sides))


def _merged_sides(results: Results, group: Group, removals: Mapping[str, pyarrow.Array], kind: Metric) -> list[Column]:
    """Evidence after the removals of one class, before them, and the same of their placebos. removals: the samples of each condition."""
    return [
        merged(
            [
                results.rows(group, name).evidence(kind.evidence_key, kind.evidence_type, reference=reference).only(ids)
                for condition, ids in removals.items()
                for name in (condition if side == 0 else results.controls(group.task, condition)[0],)
            ]
        )
        for side in (0, 1)
        for reference in (False, True)
    ]


def _removed_alone(results: Results, group: Group, condition: str) -> dict[int, pyarrow.Array]:
    """The samples from which a condition removed one class alone, by the class's index; none where the run keeps nothing of that."""
    backgrounds = [getattr(results.metric(group, name), "background", None) for name in results.metrics(group.task)]
    kept = next((b for b in backgrounds if isinstance(b, Background) and b.type == REPORTED), None)
    if kept is None or kept.key not in results.evidence_keys(group, condition):
        return {}
    return removed_alone(results.rows(group, condition).evidence(kept.key, kept.type))


def class_violations(results: Results, group: Group, removal: str, others: Sequence[str]) -> Violations:
    """V_min, V_mean and context reliance of a classifier, from the object's removal and those of other classes."""
    names, metric = [removal, *others], LABEL_PROBABILITY

    def make() -> Violations:
        before = results.evidence(group, removal, metric, reference=True)
        return violations(results.evidence(group, removal, metric), before, [results.evidence(group, name, metric) for name in others])

    return results.remember("violations", group, names, metric, Violations, make)


def fidelity(results: Results, group: Group, filled: str, exact: str) -> Fidelity:
    """How far a fill's effect on the recall of objects is from that of the exact counterfactual."""
    names, metric = [filled, exact], OBJECT_RECALL

    def make() -> Fidelity:
        sides = [results.evidence(group, name, metric, reference=reference) for reference in (False, True) for name in names]
        return fill_fidelity(results.metric(group, metric), *sides)

    return results.remember("fill fidelity", group, names, metric, Fidelity, make)


def occlusion(results: Results, group: Group, shares: Mapping[float, str], metric: str) -> OcclusionRobustness:
    """The area under a metric's curve over the covered share of the object, and occ50. shares: the conditions by covered share."""
    names = [shares[share] for share in sorted(shares)]

    def make() -> OcclusionRobustness:
        covered = {share: results.evidence(group, shares[share], metric) for share in sorted(shares)}
        return occlusion_robustness(results.metric(group, metric), results.evidence(group, names[0], metric, reference=True), covered)

    return results.remember("occlusion", group, names, metric, OcclusionRobustness, make, *sorted(shares))


def occlusion_recall(results: Results, group: Group, condition: str, by: Literal["masks", "boxes"]) -> OcclusionGap:
    """A detector's recall over whole, occluded and separated objects under a condition. NotApplicable where the run does not measure it."""
    names = [f"{state}-{'box-' if by == 'boxes' else ''}recall" for state in ("whole", "occluded", "separated")]
    built = [results.metric(group, name) for name in names]
    if built[0].evidence_key not in results.evidence_keys(group, condition):
        raise NotApplicable(f"the run does not measure the recall of occluded objects by {by}")

    def make() -> OcclusionGap:
        column = results.evidence(group, condition, names[0])
        excluded, failed = len(results.rows(group, condition)) - len(column), results.failed_under(group, [condition])
        made = occlusion_gap([metric for metric in built if isinstance(metric, Ratio)], column, excluded)
        (whole, occluded, separated), (first, second) = ([replace(e, failed=failed) for e in part] for part in made[:2])
        return OcclusionGap((whole, occluded, separated), (first, second), made.objects)

    return results.remember("occlusion recall", group, [condition], names[0], OcclusionGap, make)


def presence(results: Results, group: Group, condition: str, removed: str, metric: str) -> Presence:
    """A segmenter's metric on clean images with a class, on those without it, and on the first after the class's removal."""
    clean = results.conditions(group.task, "clean")[0].name
    if blocked := results.first_stop(group, [clean, condition]):
        return Presence(*[undefined(blocked)] * 3)

    def make() -> Presence:
        built, every = results.metric(group, metric), results.evidence(group, clean, metric)
        held = ids_holding(every, results.model_row(group).classes.index(removed))
        without = every.ids.filter(compute.invert(compute.is_in(every.ids, value_set=held)))
        sides = (every.only(held), every.only(without), results.evidence(group, condition, metric).only(held))
        failed = results.failed_under(group, [clean, condition])
        return Presence(*(replace(estimate(built, side.values), failed=failed) for side in sides))

    return results.remember("presence", group, [clean, condition], metric, Presence, make, removed)


def between_data_sets(results: Results, cis: Group, trans: Group, metric: str) -> DomainShift:
    """One model's metric on clean images of two data sets, the gap, and the increase of the error."""
    clean = results.conditions(cis.task, "clean")[0].name
    if blocked := results.stop_reason(cis, clean) or results.stop_reason(trans, clean):
        return DomainShift(*[undefined(blocked)] * 4)
    return domain_shift(results.metric(cis, metric), *(results.evidence(group, clean, metric) for group in (cis, trans)))


def between_models(results: Results, before: Group, after: Group, condition: str, metric: str) -> Estimate:
    """The second model's metric less the first's, under one condition, over the samples of which both have it."""
    if blocked := results.stop_reason(before, condition) or results.stop_reason(after, condition):
        return undefined(blocked)
    made = paired_difference(results.metric(after, metric), *(results.evidence(group, condition, metric) for group in (after, before)))
    failed = results.failed_samples(before, condition) | results.failed_samples(after, condition)
    return replace(made, failed=len(failed))


def by_compatibility(results: Results, group: Group, swap: str, edges: Sequence[float]) -> ByCompatibility:
    """What a swap does to the recall of objects, by how compatible they are with their new context; edges: of the bins of it, rising.

    NotApplicable where the run has no placebo of it, or keeps no compatibilities; where a check blocks one of the two.
    """
    names = _swap_and_placebo(results, group, swap)

    def make() -> ByCompatibility:
        sides = Sides(*(results.evidence(group, name, OBJECT_RECALL, reference=reference) for name in names for reference in (False, True)))
        made = bins_of_recall(results.metric(group, OBJECT_RECALL), sides, _compatibility(results, group, swap), edges)
        failed = results.failed_under(group, names)
        return made._replace(slope=replace(made.slope, failed=failed))

    return results.remember("by compatibility", group, names, OBJECT_RECALL, ByCompatibility, make, *edges)


def shift_by_compatibility(results: Results, group: Group, swap: str, edges: Sequence[float]) -> list[ShiftBin]:
    """What a swap does to a detector's misses, false boxes and boxes, by how compatible its objects are with their new context.

    NotApplicable as of `by_compatibility`, and where the run keeps no detection rate.
    """
    names, metric = _swap_and_placebo(results, group, swap), "detection-rate"
    if group.task != "detection" or results.metric(group, metric).evidence_key not in results.evidence_keys(group, swap):
        raise NotApplicable("the run measures no detection-rate")

    def make() -> list[ShiftBin]:
        sides = Sides(*(results.evidence(group, name, metric, reference=reference) for name in names for reference in (False, True)))
        return bins_of_shift(sides, _compatibility(results, group, swap), edges)

    return results.remember("shift by compatibility", group, names, metric, list[ShiftBin], make, *edges)


def _swap_and_placebo(results: Results, group: Group, swap: str) -> list[str]:
    names = [swap, *results.controls(group.task, swap)]
    if len(names) < 2:
        raise NotApplicable(f"{swap!r} has no placebo in this run")
    if blocked := results.first_stop(group, names):
        raise NotApplicable(f"blocked: {blocked}")
    if CONTEXT_COMPATIBILITY.key not in results.evidence_keys(group, swap):
        raise NotApplicable(f"the records of {swap!r} say nothing of how compatible objects and contexts are")
    return names


def _compatibility(results: Results, group: Group, swap: str) -> Column:
    return results.rows(group, swap).evidence(CONTEXT_COMPATIBILITY.key, COMPATIBILITY)


def error_counts(results: Results, group: Group, condition: str) -> ContextShift:
    """What a condition does to a detector's misses, false boxes and boxes. NotApplicable where the run keeps no detection rate."""
    metric = "detection-rate"
    if results.metric(group, metric).evidence_key not in results.evidence_keys(group, condition):
        raise NotApplicable("the run measures no detection-rate")

    def make() -> ContextShift:
        return context_shift(*(results.evidence(group, condition, metric, reference=reference) for reference in (False, True)))

    return results.remember("context shift", group, [condition], metric, ContextShift, make)


ANSWER_CHANGE = "nonlocal-change"
"""The metric whose evidence says what changed, and where the edit was."""


def over_transplants(results: Results, group: Group, conditions: Sequence[str], metric: str) -> OverPlaces:
    """A metric over the places at which an object was pasted, its placebo's, and the first less the second. conditions: one a place, each
    with a placebo. UserError for metrics that are no ratio of sums."""
    ratio = _ratio(results, group, metric)
    return _over(results, group, conditions, metric, "", lambda edited, placebo: over_places(ratio, edited, placebo))


def label_entropy_over_transplants(results: Results, group: Group, conditions: Sequence[str]) -> OverPlaces:
    """How much what is said of a pasted object changes with its place, in bits."""
    return _over(results, group, conditions, ANSWER_CHANGE, "label entropy", label_entropy)


def ring_over_transplants(results: Results, group: Group, conditions: Sequence[str], ring: int) -> OverPlaces:
    """The share of a segmenter's pixels in one ring around the pasted object that change."""
    return _over(
        results, group, conditions, ANSWER_CHANGE, f"ring {ring}", lambda edited, placebo: over_places(ring_change(ring), edited, placebo)
    )


def by_transplant_place(results: Results, group: Group, conditions: Sequence[str], metric: str, cells: int) -> list[Cell]:
    """A metric by where in the image the object was pasted; empty where a check blocks it."""
    if results.first_stop(group, conditions):
        return []
    ratio = _ratio(results, group, metric)

    def make() -> list[Cell]:
        sides = [[results.evidence(group, name, one) for name in conditions] for one in (metric, ANSWER_CHANGE)]
        return by_place(ratio, sides[0], sides[1], cells)

    return results.remember("by place", group, conditions, metric, list[Cell], make, cells)


def _over(
    results: Results,
    group: Group,
    conditions: Sequence[str],
    metric: str,
    what: str,
    make_of: Callable[[Sequence[Side], Sequence[Side]], OverPlaces],
) -> OverPlaces:
    placebos = [results.controls(group.task, name)[0] for name in conditions]
    names = [*conditions, *placebos]
    if blocked := results.first_stop(group, names):
        return OverPlaces(*[undefined(blocked)] * 3)

    def make() -> OverPlaces:
        made = make_of(*([results.evidence(group, name, metric) for name in each] for each in (conditions, placebos)))
        samples, failed = len(results.rows(group, conditions[0])), results.failed_under(group, names)
        return OverPlaces(*(replace(one, excluded=samples - one.n, failed=failed) for one in made))

    return results.remember("over places", group, names, metric, OverPlaces, make, what)


def _ratio(results: Results, group: Group, metric: str) -> Ratio:
    built = results.metric(group, metric)
    if not isinstance(built, Ratio):
        raise UserError(f"{metric!r} is no ratio of sums over images, which alone can be summed over places")
    return built
