"""Two runs of one protocol, sample by sample: what the new one lost, what it gained, and whether that is a regression.

The comparisons of a run are one family: the chance that any of them is called a regression although no model lost more than the margin is
5 % at most (Holm 1979).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from robustbench_cv.arrow_compute import compute
from robustbench_cv.errors import UserError
from robustbench_cv.metrics.evidence import Column, aligned
from robustbench_cv.metrics.non_inferiority import Outcome, Regression, regression_of
from robustbench_cv.metrics.paired_tests import holm
from robustbench_cv.results import DatasetRow, Group, Results, TrackRow
from robustbench_cv.suite import Condition
from robustbench_cv.tasks import Task

MARGIN = 0.02
"""The loss that does not matter unless another is asked for: two points of a rate, of AP or of mIoU (project choice)."""


@dataclass(frozen=True)
class Spread:
    """A number in runs that differ in their seed alone: from low to high, in so many runs."""

    low: float
    high: float
    runs: int


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """One metric of a model under one condition, in both runs. adjusted: p_regression, corrected for all comparisons.

    broken, mended: ids of the samples that only the base, or only the new model has right; of rates alone. failed: samples that failed in
    either run: such a comparison never passes. unchanged: the same weights answered every sample alike, so that nothing was lost.
    """

    base: Group
    new: Group
    condition: str
    metric: str
    result: Regression
    adjusted: float
    broken: tuple[str, ...] = ()
    mended: tuple[str, ...] = ()
    failed: int = 0
    blocked: str = ""
    unchanged: bool = False
    base_seeds: Spread | None = None
    new_seeds: Spread | None = None

    @property
    def within_seeds(self) -> bool:
        """Whether another seed alone moves the number as far as the new model did."""
        change = self.result.change.value
        return change is not None and any(s is not None and s.high - s.low >= abs(change) for s in (self.base_seeds, self.new_seeds))

    @property
    def outcome(self) -> Outcome:
        """A comparison that a check forbids, or of which samples failed, decides nothing but a regression beyond doubt."""
        if self.blocked:
            return "inconclusive"
        outcome = "pass" if self.unchanged else self.result.outcome(self.adjusted)
        return "inconclusive" if self.failed and outcome == "pass" else outcome


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Every comparison of two runs. differences: what is not the same in both, and was left out on demand."""

    base: Results
    new: Results
    margin: float
    rows: Sequence[Comparison]
    differences: Sequence[str] = field(default=())

    @property
    def outcome(self) -> Outcome:
        """Regression where one is; else inconclusive where one is."""
        outcomes = {row.outcome for row in self.rows}
        return "regression" if "regression" in outcomes else "inconclusive" if "inconclusive" in outcomes or not outcomes else "pass"


def compare(
    base: Results,
    new: Results,
    *,
    margin: float = MARGIN,
    metrics: Sequence[str] = (),
    models: Mapping[str, str] | None = None,
    partial: bool = False,
    fewer: bool = False,
    repeats: Sequence[Results] = (),
) -> Comparisons:
    """The new run against the base.

    metrics: by name; unless some are given the primary one of each task, and where that means nothing (top-1 once the object is removed)
    the next one that does. models: names in the base by names in the new run, for models that are called something else; a single model of
    a task is compared with the single one there. partial: compare what both have where the protocols differ. fewer: the new run may be of
    some of the base's samples, as `--limit` chooses them. repeats: runs of the base's or the new one's models with other seeds; what those
    move is shown beside each comparison and decides nothing.

    UserError naming everything that differs (suite, version, seed, samples, conditions, budgets, metrics), unless partial; and where
    nothing can be compared.
    """
    if not 0 <= margin < 1:
        raise UserError(f"margin={margin} must be a loss from 0 up, below 1: 0.02 is two points of percent")
    pairs = list(_pairs(base, new, models or {}))
    differences = list(_differences(base, new, pairs, fewer=fewer))
    if differences and not partial:
        listed = "\n".join(f"  * {text}" for text in differences)
        rest = _comparable(base, new, pairs)
        way_out = f"--partial compares the rest: {rest}" if rest else "there is nothing that both have"
        way_out += _renaming(base, new, pairs)
        raise UserError(f"the two runs are not of one protocol:\n{listed}\n{way_out}")
    made = list(_rows(base, new, pairs, margin, metrics))
    if not made:
        raise UserError("the two runs have no model, data set, condition and metric in common; run the same suite on the same data")
    made = _with_spreads(base, new, made, repeats)
    adjusted = holm([row.result.p_regression for row in made])
    rows = [replace(row, adjusted=p) for row, p in zip(made, adjusted, strict=True)]
    return Comparisons(base, new, margin, rows, differences)


def compare_models(results: Results, *, margin: float = MARGIN) -> Comparisons:
    """Each further model of a run against the first one of its task, on the same data: the primary metric under every condition.

    Conditions under which no sample has the metric are left out. One family: the chance that any comparison is called a regression although
    no model lost more than the margin is 5 % at most.
    """
    if not 0 <= margin < 1:
        raise UserError(f"margin={margin} must be a loss from 0 up, below 1: 0.02 is two points of percent")
    groups = results.groups()
    pairs = [(next(g for g in groups if (g.task, g.dataset) == (group.task, group.dataset)), group) for group in groups]
    every = _rows(results, results, [(first, other) for first, other in pairs if first != other], margin, ())
    made = [row for row in every if row.result.change.n]
    adjusted = holm([row.result.p_regression for row in made])
    return Comparisons(results, results, margin, [replace(row, adjusted=p) for row, p in zip(made, adjusted, strict=True)])


def _pairs(base: Results, new: Results, models: Mapping[str, str]) -> Iterator[tuple[Group, Group]]:
    """Groups of both runs that belong together, in the order of the new one."""
    there = base.groups()
    for group in new.groups():
        name = models.get(group.model, group.model)
        same = [g for g in there if (g.task, g.dataset, g.model) == (group.task, group.dataset, name)]
        if not same and group.model not in models:
            alone = [g for g in there if (g.task, g.dataset) == (group.task, group.dataset)]
            only = [g for g in new.groups() if (g.task, g.dataset) == (group.task, group.dataset)]
            same = alone if len(alone) == len(only) == 1 else []
        yield from ((found, group) for found in same)


def _differences(base: Results, new: Results, pairs: Sequence[tuple[Group, Group]], *, fewer: bool) -> Iterator[str]:
    a, b = base.run, new.run
    if a.suite != b.suite:
        yield f"suite: {a.suite} in the base, {b.suite} in the new run"
    elif a.version != b.version:
        yield f"version of suite {a.suite}: {a.version} in the base, {b.version} in the new run, so that its numbers may be others"
    if a.seed != b.seed:
        yield f"seed: {a.seed} in the base, {b.seed} in the new run"
    for name, known in (("base", [p[0] for p in pairs]), ("new run", [p[1] for p in pairs])):
        results = base if name == "base" else new
        for group in results.groups():
            if group not in known:
                yield f"{group.model} on {group.dataset} ({group.task}) is in the {name} alone"
    for one, other in pairs:
        rows = [next((d for d in run.datasets if (d.name, d.task) == (g.dataset, g.task)), None) for run, g in ((a, one), (b, other))]
        if rows[0] and rows[1] and rows[0].ids_sha256 != rows[1].ids_sha256 and not (fewer and _is_part(base, new, one, other)):
            yield _said_of_samples(rows[0], rows[1])
    paired = {(group.dataset, group.task) for pair in pairs for group in pair}
    for row, same in ((d, next((e for e in b.datasets if (e.name, e.task) == (d.name, d.task)), None)) for d in a.datasets):
        if same is not None and (row.name, row.task) not in paired and row.ids_sha256 != same.ids_sha256:
            yield _said_of_samples(row, same)
    for track in b.tracks:
        earlier = next((t for t in a.tracks if t.task == track.task), None)
        if earlier is not None:
            yield from _track_differences(earlier, track)


def _said_of_samples(base: DatasetRow, new: DatasetRow) -> str:
    return f"samples of {new.name} ({new.task}): {base.n} in the base, {new.n} in the new run, and not the same ones"


def _renaming(base: Results, new: Results, pairs: Sequence[tuple[Group, Group]]) -> str:
    """How to say which model belongs to which, where some of one task and data set are in one run alone."""
    there, here = [g for g in base.groups() if g not in [p[0] for p in pairs]], [g for g in new.groups() if g not in [p[1] for p in pairs]]
    for group in here:
        other = next((g for g in there if (g.task, g.dataset) == (group.task, group.dataset)), None)
        if other is not None:
            return f"; --model NEW=BASE says what a model is called in the base, as in --model {group.model}={other.model}"
    return ""


def _is_part(base: Results, new: Results, one: Group, other: Group) -> bool:
    """Whether the base has every sample of the new run."""
    conditions = _shared_conditions(base, new, other.task)
    if not conditions:
        return False
    here, there = new.rows(other, conditions[0].name).samples, base.rows(one, conditions[0].name).samples
    return len(here) > 0 and bool(compute.all(compute.is_in(here, value_set=there)).as_py())


def protocol_differences(base: Results, new: Results) -> Iterator[str]:
    """What keeps two runs of different models out of one table: suite, version, seed, samples, conditions, budgets, metrics."""
    a, b = base.run, new.run
    if (a.suite, a.version) != (b.suite, b.version):
        yield f"suite: {a.suite}, version {a.version}, and {b.suite}, version {b.version}"
    if a.seed != b.seed:
        yield f"seed: {a.seed} and {b.seed}"
    for track in a.tracks:
        other = next((t for t in b.tracks if t.task == track.task), None)
        if other is None:
            continue
        for name in sorted({*track.datasets} ^ {*other.datasets}):
            yield f"{track.task} data set {name!r} is in one of the runs alone"
        for row in (d for d in a.datasets if d.task == track.task):
            same = next((d for d in b.datasets if (d.name, d.task) == (row.name, row.task)), None)
            if same is not None and same.ids_sha256 != row.ids_sha256:
                yield f"samples of {row.name} ({row.task}): {row.n} and {same.n}, and not the same ones"
        yield from _track_differences(track, other)


def _track_differences(base: TrackRow, new: TrackRow) -> Iterator[str]:
    there = {c.name: c for c in base.conditions}
    here = {c.name: c for c in new.conditions}
    for name in sorted(there.keys() ^ here.keys()):
        yield f"{new.task} condition {name!r} is in the {'base' if name in there else 'new run'} alone"
    for name in (n for n in here if n in there and here[n] != there[n]):
        yield f"{new.task} condition {name!r}: {spelled(there[name])} in the base, {spelled(here[name])} in the new run"
    for name in sorted({m.name for m in base.metrics} ^ {m.name for m in new.metrics}):
        yield f"{new.task} metric {name!r} is in one of the runs alone"


def spelled(condition: Condition) -> str:
    """What a condition does, as specs."""
    return ", ".join([*condition.interventions, *([condition.attack] if condition.attack else [])]) or "clean"


def _shared_conditions(base: Results, new: Results, task: Task) -> list[Condition]:
    there = {c.name: c for c in base.conditions(task)}
    return [c for c in new.conditions(task) if c.kind != "control" and there.get(c.name) == c]


def _comparable(base: Results, new: Results, pairs: Sequence[tuple[Group, Group]]) -> str:
    parts = []
    for one, other in pairs:
        conditions = _shared_conditions(base, new, other.task)
        if conditions:
            sides = [results.rows(g, conditions[0].name).samples for results, g in ((base, one), (new, other))]
            shared = int(compute.is_in(sides[0], value_set=sides[1]).true_count)
            if shared:
                parts.append(f"{other.model} on {other.dataset} under {len(conditions)} conditions, {shared} samples")
    return "; ".join(parts)


def _rows(base: Results, new: Results, pairs: Sequence[tuple[Group, Group]], margin: float, metrics: Sequence[str]) -> Iterator[Comparison]:
    for one, other in pairs:
        known = [m for m in new.metrics(other.task) if m in base.metrics(one.task)]
        wanted = [m for m in metrics if m in known] if metrics else known
        for condition in _shared_conditions(base, new, other.task):
            measured = (m for m in wanted if has_evidence(((base, one), (new, other)), condition.name, m))
            some = list(measured if metrics else itertools.islice(measured, 1))
            if not some and not all(_is_meaningless(r, g, condition.name) for r, g in ((base, one), (new, other))):
                some = wanted[:1]  # nothing was measured that should have been
            for metric in some:
                yield _row(base, new, one, other, condition.name, metric, margin)


def has_evidence(sides: Sequence[tuple[Results, Group]], condition: str, metric: str) -> bool:
    """Whether a metric means something under a condition for any sample of any side: top-1 does not once the object is removed."""
    return any(len(results.evidence(group, condition, metric)) for results, group in sides)


def _is_meaningless(results: Results, group: Group, condition: str) -> bool:
    """Of a condition without evidence: whether its samples are there, none failed, and no check stopped them."""
    there = len(results.rows(group, condition)) > 0 and not results.failed_samples(group, condition)
    return there and results.stop_reason(group, condition) is None


def _row(base: Results, new: Results, one: Group, other: Group, condition: str, metric: str, margin: float) -> Comparison:
    sides = base.evidence(one, condition, metric), new.evidence(other, condition, metric)
    built = new.metric(other, metric)
    result = regression_of(built, *sides, margin=margin)
    broken, mended = _moved(*sides, higher_is_better=built.higher_is_better) if built.is_rate else ((), ())
    failed = base.failed_samples(one, condition) | new.failed_samples(other, condition)
    blocked = base.stop_reason(one, condition) or new.stop_reason(other, condition) or ""
    return Comparison(
        base=one,
        new=other,
        condition=condition,
        metric=metric,
        result=result,
        adjusted=1.0,
        broken=broken,
        mended=mended,
        failed=len(failed),
        blocked=blocked,
        unchanged=_is_unchanged(base, new, one, other, sides),
    )


def _is_unchanged(base: Results, new: Results, one: Group, other: Group, sides: tuple[Column, Column]) -> bool:
    """Of the same weights, each sample of the new run; the base may have more of them."""
    weights = base.model_row(one).weights_sha256, new.model_row(other).weights_sha256
    if not weights[0] or weights[0] != weights[1]:
        return False
    known = sides[0].only(sides[1].ids)
    return len(known) > 0 and known.ids.equals(sides[1].ids) and known.values.equals(sides[1].values)


def _moved(base: Column, new: Column, *, higher_is_better: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ids that only the base has right, and that only the new model has right."""
    a, b = aligned([base, new])
    only = [tuple(a.ids.filter(compute.and_(one.values, compute.invert(other.values))).to_pylist()) for one, other in ((a, b), (b, a))]
    return (only[0], only[1]) if higher_is_better else (only[1], only[0])


def _with_spreads(base: Results, new: Results, rows: Sequence[Comparison], repeats: Sequence[Results]) -> list[Comparison]:
    """Each comparison with what the repeats of either side say. UserError for a run that repeats neither."""
    if not repeats:
        return list(rows)
    used: set[int] = set()
    spread = []
    for row in rows:
        sides = []
        for results, group in ((base, row.base), (new, row.new)):
            found = [(i, other) for i, run in enumerate(repeats) if (other := _repeat_of(results, group, run, row.condition, row.metric))]
            used |= {i for i, _ in found}
            values = [results.estimate(group, row.condition, row.metric).value]
            values += [repeats[i].estimate(other, row.condition, row.metric).value for i, other in found]
            known = [value for value in values if value is not None]
            sides.append(Spread(min(known), max(known), len(known)) if len(known) > 1 else None)
        spread.append(replace(row, base_seeds=sides[0], new_seeds=sides[1]))
    for i, run in enumerate(repeats):
        if i not in used:
            raise UserError(
                f"the run with seed {run.run.seed} of suite {run.run.suite} repeats neither side: a repeat is of the same suite, samples, "
                f"conditions and weights as one of them, with another seed than {base.run.seed}"
            )
    return spread


def _repeat_of(results: Results, group: Group, repeat: Results, condition: str, metric: str) -> Group | None:
    """The same weights in a run that differs in the seed; None where there are none."""
    one, other = results.run, repeat.run
    if (one.suite, one.version) != (other.suite, other.version) or one.seed == other.seed:
        return None
    wanted = results.model_row(group).weights_sha256
    for found in repeat.groups():
        if (found.task, found.dataset) != (group.task, group.dataset) or not wanted or repeat.model_row(found).weights_sha256 != wanted:
            continue
        same = any(c.name == condition for c in _shared_conditions(results, repeat, group.task))
        if (
            same
            and metric in repeat.metrics(group.task)
            and results.rows(group, condition).samples.equals(repeat.rows(found, condition).samples)
        ):
            return found
    return None
