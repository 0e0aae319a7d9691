"""Is any number going to be wrong? Every check on one model and one data set, before anything is computed."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy

from robustbench_cv.catalogue import CHECKS
from robustbench_cv.check_findings import SEVERITY, Finding
from robustbench_cv.checks.check import Preflight
from robustbench_cv.checks.check_declarations import check_names, held, id_and_title
from robustbench_cv.checks.d04_sizes import odd_image
from robustbench_cv.checks.data_survey import SKIP_BAD, refused_shapes, survey
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import BadSample, ForeignError, NotApplicable, RobustBenchError
from robustbench_cv.foreign_errors import is_ours, read_sample
from robustbench_cv.model_from_predictions import NEEDS_MODEL, ClosedModel
from robustbench_cv.suite import CLEAN
from robustbench_cv.types import AnyModel, Dataset, Sample

SAMPLES, SAMPLES_OF_HUGE = 64, 12
MOST_SAMPLES = 512
_RESERVED_PIXELS = SAMPLES * 224 * 224

_HANDICAP = {"S19": 0.2, "S21": 0.05, "S37": 0.2}
"""A renaming of classes has many free choices, and a change of channels may hold one of values (BGR of 0-255): they must explain more than
a change of values does to be named as the cause. Boxes with swapped or mirrored coordinates fit an image that is turned, too: the format is
the likelier mistake."""


def diagnose(
    model: AnyModel,
    dataset: Dataset,
    class_map: ClassMap,
    indices: Sequence[int],
    *,
    device: str = "cpu",
    bad: Literal["stop", "warn", "raise"] = "stop",
    begins: Callable[[str], None] = lambda step: None,
) -> list[Finding]:
    """Every check of the data, then every check of the model on samples that it can use; the severest first.

    bad: what a sample is that cannot be read, or that is of a size on which the model fails: a finding that stops; one that warns, for runs
    that go on without it; or a BadSample that names it, for runs that would not. begins: hears of each of the `step_count()` steps.
    """
    begins(_READS)
    seen = survey(dataset, indices, skip_bad=bad == "warn", raises=bad == "raise")
    seen = seen if isinstance(model, ClosedModel) else replace(seen, refused=refused_shapes(model, seen, device))
    if bad == "raise" and seen.refused:
        raise BadSample(f"{odd_image(seen)}; {SKIP_BAD}")
    where = {"model": model.info.name, "dataset": dataset.name, "task": model.info.task}
    of_data = []
    for name in check_names("data"):
        begins(" ".join(id_and_title(name)))
        of_data.append(replace(held(name, [CHECKS.build(name)(seen)])[0], **where))
    unusable = seen.unusable()
    usable = [i for i in indices if i not in unusable]
    if not usable:
        return _severest_first(of_data)
    return _severest_first([*of_data, *examine(model, dataset, class_map, usable, device=device, begins=begins)])


_READS = "reads the data"


def step_count() -> int:
    """How many steps `diagnose` has: reading the data, and the checks of them and of a model."""
    return 1 + len(check_names("data")) + len(check_names("before"))


def examine(
    model: AnyModel,
    dataset: Dataset,
    class_map: ClassMap,
    indices: Sequence[int],
    *,
    device: str = "cpu",
    begins: Callable[[str], None] = lambda step: None,
) -> list[Finding]:
    """Every check that precedes a run, on up to 64 readable samples drawn from `indices` of the data set, or up to 512 where 64 do not
    decide; the severest first.

    A check is not tried where one that it needs says stop. Of several that would mend the same fault, only the one that explains most
    accuses.
    """
    info = model.info
    first, later = draw(indices)
    samples, faults = _readable(dataset, class_map, first)
    if not samples:
        evidence = f"no sample could be read{f', the first because {faults[0]}' if faults else ': there is none'}"
        finding = Finding("S01", "image range", "stop", evidence, "give samples that can be read")
        return [replace(finding, model=info.name, dataset=dataset.name, task=info.task)]
    if isinstance(model, ClosedModel):
        samples = _answered(model, samples)
    if not samples:
        evidence = "no sample has a prediction without an edit"
        return [Finding("S00", "better than chance", "not applicable", evidence, model=info.name, dataset=dataset.name, task=info.task)]
    subject = Preflight(
        model,
        info.task,
        samples,
        dataset.name,
        device,
        reserve=lambda: _reserve(model, dataset, class_map, later, samples),
        class_map=class_map,
    )
    if subject.is_huge and len(samples) > SAMPLES_OF_HUGE:
        few = sorted(numpy.random.default_rng(0).permutation(len(samples))[:SAMPLES_OF_HUGE].tolist())
        subject = replace(subject, samples=[samples[i] for i in few], reserve=tuple)
    findings = _one_cause(_examine_all(subject, begins))
    return _severest_first([replace(f, model=info.name, dataset=dataset.name, task=info.task) for f in findings])


def _severest_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: (SEVERITY.index(f.verdict), f.check))


def draw(indices: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which samples are looked at first, and which later: up to 64, and 448 more, one of each stretch of the data, at random.

    A fixed seed, but never every second or every tenth sample: data are often sorted by class, or their classes take turns.
    """
    rng = numpy.random.default_rng(0)
    stretches = numpy.array_split(numpy.asarray(indices), max(1, min(len(indices), MOST_SAMPLES)))
    drawn = rng.permutation([int(rng.choice(stretch)) for stretch in stretches if len(stretch)]).astype(int).tolist()
    return sorted(drawn[:SAMPLES]), drawn[SAMPLES:]


def _readable(dataset: Dataset, class_map: ClassMap, indices: Sequence[int]) -> tuple[list[Sample], list[str]]:
    """Samples in the model's class indices, and why others cannot be had; those are left to the run, which records them."""
    samples, faults = [], []
    for i in indices:
        try:
            samples.append(class_map.sample(read_sample(dataset, i)))
        except (BadSample, ForeignError, NotApplicable) as fault:
            faults.append(str(fault))
    return samples, faults


def _reserve(model: AnyModel, dataset: Dataset, class_map: ClassMap, later: Sequence[int], first: Sequence[Sample]) -> list[Sample]:
    """More samples, as many as together have no more pixels than 64 images of 224 x 224: what a laptop predicts in seconds."""
    pixels = max(s.image.shape[-1] * s.image.shape[-2] for s in first)
    samples, _ = _readable(dataset, class_map, later[: _RESERVED_PIXELS // pixels])
    return _answered(model, samples) if isinstance(model, ClosedModel) else samples


def _answered(model: ClosedModel, samples: Sequence[Sample]) -> list[Sample]:
    """The samples of which the model's answer is there, as they are."""
    if CLEAN.name not in model.answers:
        return []
    answered = []
    for sample in samples:
        try:
            if model.answer(CLEAN.name, sample) is not None:
                answered.append(sample)
        except BadSample:
            continue  # left to the run, which refuses or records it
    return answered


def _examine_all(subject: Preflight, begins: Callable[[str], None]) -> list[Finding]:
    """One finding of each check, those that others need first."""
    findings: dict[str, Finding] = {}
    waiting = check_names("before")
    while waiting:
        name = next(n for n in waiting if not set(_needs(n)) & set(waiting))
        waiting.remove(name)
        begins(" ".join(id_and_title(name)))
        stopped = next((findings[n] for n in _needs(name) if n in findings and findings[n].verdict == "stop"), None)
        findings[name] = _not_tried(name, stopped) if stopped else _examine_one(name, subject)
    return list(findings.values())


def _needs(name: str) -> list[str]:
    """The checks without which this one means nothing, those that these need before them."""
    named = str(CHECKS.entry(name).facts.get("needs", "")).split()
    return list(dict.fromkeys([*(first for n in named for first in _needs(n)), *named]))


def _not_tried(name: str, stopped: Finding) -> Finding:
    id_, title = id_and_title(name)
    return Finding(id_, title, "not applicable", f"not tried, since {stopped.check} says stop", f"mend {stopped.check}, then check again")


def _examine_one(name: str, subject: Preflight) -> Finding:
    try:
        finding: Finding = CHECKS.build(name)(subject)
    except NotApplicable as missing:
        if missing.code != NEEDS_MODEL:
            raise
        return Finding(*id_and_title(name), "not applicable", str(missing))
    except RobustBenchError:
        raise
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        what = f"raised {type(error).__name__}: {reason} ({Path(frame.filename).name}, line {frame.lineno})"
        if _is_the_checks(error):
            remedy = (
                "a bug of robustbench-cv, not of the model: please report it; until it is mended, nothing is known of what this check asks"
            )
            return Finding(*id_and_title(name), "warn", f"the check itself {what}", remedy)
        return Finding(*id_and_title(name), "stop", f"the model {what}", "let the model take any image of this data set")
    return held(name, [finding])[0]


def _is_the_checks(error: BaseException) -> bool:
    """Whether this package failed at its own work: not the model's code, whoever wrote it, and not a sample's reader."""
    return is_ours(error) and not any(
        str(frame.f_globals.get("__name__", "")).startswith("robustbench_cv.models.") for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _one_cause(findings: Sequence[Finding]) -> list[Finding]:
    """The findings, where several would raise the quality of the predictions, with one cause: the others become notes."""
    rivals = [f for f in findings if f.gain is not None and f.verdict in ("stop", "warn")]
    cause = max(rivals, key=lambda f: (f.verdict == "stop", (f.gain or 0.0) - _HANDICAP.get(f.check, 0.0)), default=None)
    if cause is None or cause.verdict != "stop":
        return list(findings)
    return [_follows(f, cause) if f in rivals and f is not cause else f for f in findings]


def _follows(finding: Finding, cause: Finding) -> Finding:
    return replace(finding, verdict="note", remedy=f"probably follows from {cause.check}: mend that, then check again", fix=None)
