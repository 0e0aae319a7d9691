"""Laws of every registered metric."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy
import pyarrow
import pyarrow.parquet
import pytest

from robustbench_cv.catalogue import METRICS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.evidence import Column, array_of
from robustbench_cv.types import Labels, Sample
from tests.reference import calibration, coco, occlusion, plain, tide, voc, worlds

SCORE = 0.3


@dataclass(frozen=True)
class Case:
    spec: str
    task: str
    reference: object
    edited: bool = False
    sparse: bool = False
    """Whether it means nothing for some images: those are left out."""
    world: str = ""
    """Of which made-up samples, where those of the task hold nothing for it."""
    compared: bool = False
    """Whether it compares the answers to the edited and to the unedited image."""

    def __str__(self):
        return f"{self.spec}-{self.task}"


def coco_recall(of):
    """Share of a class's objects that are matched at IoU 0.5, by the reference's matching, with a box of at least SCORE."""

    def value(pairs):
        found = total = 0
        for prediction, sample in pairs:
            hits, truths = coco.matched(prediction, sample, of, 0.5)
            found += sum(score >= SCORE for score in hits)
            total += truths
        return found / total

    return value


def _average_precision(**options):
    return functools.partial(coco.average_precision, **options)


CASES = [
    Case("top-1", "classification", plain.top(1)),
    Case("top-5", "classification", plain.top(5)),
    Case("miou", "segmentation", plain.miou),
    Case("miou-foreground", "segmentation", functools.partial(plain.miou, without=0)),
    Case("class-iou(of='cow')", "segmentation", lambda pairs: plain.class_ious(pairs)[3]),
    Case("pixel-accuracy", "segmentation", plain.pixel_accuracy),
    Case("ap", "detection", _average_precision()),
    Case("ap50", "detection", _average_precision(thresholds=[0.5])),
    Case("ap75", "detection", _average_precision(thresholds=[0.75])),
    Case("class-ap(of='cow')", "detection", lambda pairs: coco.average_precision([coco.only(*pair, 3) for pair in pairs])),
    Case("ap-small", "detection", _average_precision(size="small")),
    Case("ap-medium", "detection", _average_precision(size="medium")),
    Case("ap-large", "detection", _average_precision(size="large")),
    Case("ap-voc07", "detection", functools.partial(voc.average_precision, eleven_points=True)),
    Case("ap-voc10", "detection", voc.average_precision),
    Case("mask-ap", "detection", _average_precision(masks=True)),
    Case("mask-ap50", "detection", _average_precision(thresholds=[0.5], masks=True)),
    Case("shape-bias", "classification", functools.partial(plain.shape_bias, names=worlds.NAMES)),
    *(
        Case(name, task, reference(SCORE), world=world)
        for name, reference in (("ece", calibration.ece), ("debiased-calibration-error", calibration.debiased))
        for task, world in (("classification", ""), ("segmentation", "unsure pixels"), ("detection", ""))
    ),
    *(
        Case(name, task, reference, world=world)
        for name, reference in (("brier", calibration.brier), ("nll", calibration.nll))
        for task, world in (("classification", ""), ("segmentation", "unsure pixels"))
    ),
    Case("label-probability", "classification", plain.label_probability),
    *(Case("object-recall", task, plain.object_recall(SCORE), sparse=True) for task in ("classification", "segmentation", "detection")),
    *(
        Case("class-object-recall(of='boat')", task, plain.object_recall(SCORE, of=2), sparse=True)
        for task in ("classification", "segmentation", "detection")
    ),
    Case("class-recall(of='cow')", "detection", coco_recall(3)),
    *(Case(f"ap50-lost(to='{kind}')", "detection", tide.lost(kind)) for kind in tide.KINDS),
    Case("errors-per-image", "detection", tide.per_image("any", SCORE)),
    *(Case(f"errors-per-image(kind='{kind}')", "detection", tide.per_image(kind, SCORE)) for kind in tide.KINDS),
    *(
        Case(f"{state}-{by}recall", "detection", occlusion.recall(state, by, SCORE), world="occlusion")
        for state in ("whole", "occluded", "separated")
        for by in ("", "box-")
    ),
    Case("detection-score", "detection", plain.detection_score()),
    Case("class-score(of='cow')", "detection", plain.detection_score(of=3)),
    Case("detection-rate", "detection", plain.share("found", SCORE)),
    Case("vanished", "detection", plain.share("vanished", SCORE)),
    Case("mislabelled", "detection", plain.share("mislabelled", SCORE)),
    Case("fabricated-per-image", "detection", plain.fabricated_per_image(SCORE)),
    *(
        Case("nonlocal-change", task, plain.nonlocal_change(SCORE), edited=True, compared=True)
        for task in ("classification", "segmentation", "detection")
    ),
    *(
        Case(f"nonlocal-{name}", "detection", plain.fate(name, SCORE), edited=True, compared=True)
        for name in ("lost", "relabelled", "moved")
    ),
    Case("nonlocal-boxes", "detection", plain.fate("", SCORE, by_box=True), edited=True, compared=True),
    Case("new-classes", "detection", plain.new_classes(SCORE), edited=True, compared=True),
    Case("misnamed", "detection", plain.misnamed(SCORE), edited=True, compared=True),
    Case("hallucination-rate", "classification", plain.hallucination("any", worlds.NAMES, SCORE), edited=True),
    Case("hallucinated-area", "segmentation", plain.hallucinated_area(worlds.NAMES), edited=True),
    *(
        Case(name, task, plain.hallucination(where, worlds.NAMES, SCORE), edited=True)
        for task in ("segmentation", "detection")
        for name, where in (("hallucination-rate", "any"), ("hallucination-inside", "inside"), ("hallucination-outside", "outside"))
    ),
]

every_metric = pytest.mark.parametrize("case", CASES, ids=str)


def pairs(case, n=12, **options):
    """The pairs that a case is measured on."""
    made = worlds.pairs(case.world or case.task, n, edited=case.edited, **options)
    if case.compared:
        return worlds.compared(made)
    return [pair for pair in made if _serves(build(case), pair)] if case.sparse else made


def _serves(metric, pair):
    try:
        metric.measure(*pair)
    except NotApplicable:
        return False
    return True


def build(case):
    return METRICS.build(case.spec, labels=Labels(worlds.NAMES), operating_score=SCORE)


def measured(case, **options):
    metric = build(case)
    return metric, [metric.measure(*pair) for pair in pairs(case, **options)]


def test_every_registered_metric_has_a_case():
    assert {case.spec.partition("(")[0] for case in CASES} == set(METRICS.names())


@every_metric
def test_the_name_builds_the_same_metric(case):
    assert build(case).name == case.spec


@every_metric
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_obvious_implementation(case, seed):
    metric, evidence = measured(case, n=20, seed=seed)
    expected = case.reference(pairs(case, 20, seed=seed))
    assert metric.reduce(evidence) == pytest.approx(expected, abs=1e-12)


@every_metric
def test_values_vary_and_are_neither_best_nor_worst(case):
    values = {build(case).reduce(measured(case, n=40, seed=seed)[1]) for seed in range(5)}
    assert len(values) > 1
    assert values != {0.0, 1.0}


@every_metric
def test_order_does_not_matter(case):
    metric, evidence = measured(case)
    ids = [pair[1].id for pair in pairs(case)]
    order = numpy.random.default_rng(1).permutation(len(evidence))
    shuffled = Column.of({ids[i]: evidence[i] for i in order}, metric.evidence_type)
    assert metric.reduce(shuffled.values) == metric.reduce(evidence)


@every_metric
def test_a_perfect_prediction_scores_best(case):
    metric = build(case)
    best = worlds.unchanged if case.compared else worlds.perfect
    evidence = [metric.measure(*best(pair)) for pair in pairs(case, 40)]
    assert metric.reduce(evidence) == pytest.approx(1.0 if metric.higher_is_better else 0.0, abs=1e-12)


@every_metric
def test_evidence_survives_storage(case, tmp_path):
    metric, evidence = measured(case)
    stored = array_of(evidence, metric.evidence_type)
    assert stored.to_pylist() == evidence
    pyarrow.parquet.write_table(pyarrow.table({"evidence": stored}), tmp_path / "evidence.parquet")
    again = pyarrow.parquet.read_table(tmp_path / "evidence.parquet")["evidence"].combine_chunks()
    assert again.type == metric.evidence_type
    assert metric.reduce(again) == metric.reduce(evidence)


@every_metric
def test_a_slice_of_evidence_is_what_it_holds(case):
    """Arrow's slices share the memory of the whole."""
    metric, evidence = measured(case)
    whole = array_of(evidence, metric.evidence_type)
    assert metric.reduce(whole.slice(3, 7)) == metric.reduce(evidence[3:10])


@every_metric
def test_drawing_every_sample_once_is_the_reduction(case):
    metric, evidence = measured(case)
    once = metric.resample(evidence, numpy.ones((2, len(evidence)), dtype=int))
    assert once == pytest.approx([metric.reduce(evidence)] * 2, abs=1e-12)


@every_metric
def test_a_sample_drawn_twice_counts_twice(case):
    metric, evidence = measured(case)
    evidence = [_without_ties(e, k) for k, e in enumerate(evidence)]
    counts = numpy.random.default_rng(3).multinomial(len(evidence), numpy.full(len(evidence), 1 / len(evidence)), size=50)
    for value, row in zip(metric.resample(evidence, counts), counts, strict=True):
        drawn = [e for e, times in zip(evidence, row, strict=True) for _ in range(times)]
        try:
            expected = metric.reduce(drawn)
        except NotApplicable:
            expected = numpy.nan
        assert value == pytest.approx(expected, abs=1e-12, nan_ok=True)


@every_metric
def test_nothing_is_undefined_not_zero(case):
    with pytest.raises(NotApplicable):
        build(case).reduce([])


@every_metric
def test_a_rate_keeps_zeros_and_ones(case):
    metric, evidence = measured(case, n=60)
    if metric.is_rate:
        assert set(evidence) == {0, 1}
        assert metric.reduce(evidence) == sum(evidence) / len(evidence)


@every_metric
def test_another_tasks_prediction_is_refused(case):
    other = {"classification": "detection", "segmentation": "classification", "detection": "segmentation"}[case.task]
    prediction, _ = worlds.pairs(other, 1)[0]
    sample = pairs(case, 1)[0][1]
    with pytest.raises(NotApplicable):
        build(case).measure(prediction, sample)


def test_metrics_with_one_evidence_key_measure_the_same():
    kept: dict[tuple[str, str], tuple[str, object]] = {}
    for case in CASES:
        metric, evidence = measured(case)
        first, other = kept.setdefault(
            (metric.evidence_key, f"{case.task} {case.edited} {case.sparse} {case.compared}"), (case.spec, evidence)
        )
        assert evidence == other, f"{case.spec} and {first}"
    assert len(kept) < len(CASES)


def test_samples_are_left_as_they_were():
    for case in CASES:
        for prediction, sample in pairs(case, 3):
            before = [t.clone() for t in _tensors(prediction, sample)]
            build(case).measure(prediction, sample)
            assert all((a == b).all() for a, b in zip(before, _tensors(prediction, sample), strict=True))


def _without_ties(evidence, image):
    """Equal scores rank by image, of which a copy is another one."""
    if not isinstance(evidence, dict) or "scores" not in evidence:
        return evidence
    return evidence | {"scores": [s - 1e-6 * (100 * image + d) for d, s in enumerate(evidence["scores"])]}


def _tensors(prediction, sample: Sample):
    return [v for part in (prediction, sample.target) for v in vars(part).values() if hasattr(v, "clone")]
