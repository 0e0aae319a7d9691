"""COCO AP against pycocotools and hotcoco, and the values that the literature agrees on."""

from __future__ import annotations

import contextlib
import io
import itertools
import resource
import time

import numpy
import pytest
import torch

from robustbench_cv.catalogue import METRICS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.average_precision import AveragePrecision, coverage
from robustbench_cv.metrics.intervals import estimate
from robustbench_cv.types import BoxPrediction, BoxTarget, Sample
from tests.reference import worlds

NAMES = ("ap", "ap50", "ap75", "ap-small", "ap-medium", "ap-large")
METRIC = {name: METRICS.build(name) for name in NAMES}


def coco_files(pairs):
    """The pairs in the form of COCO's two files; image ids follow the order of the sample ids."""
    images, truths, found = [], [], []
    for k, (prediction, sample) in enumerate(sorted(pairs, key=lambda p: p[1].id), start=1):
        images.append({"id": k})
        t = sample.target
        for box, label, crowd, area in zip(t.boxes.tolist(), t.labels.tolist(), t.crowd.tolist(), t.area.tolist(), strict=True):
            annotation = {"image_id": k, "category_id": label, "bbox": _xywh(box), "area": area, "iscrowd": int(crowd)}
            truths.append({"id": len(truths) + 1, **annotation})
        for box, label, score in zip(prediction.boxes.tolist(), prediction.labels.tolist(), prediction.scores.tolist(), strict=True):
            found.append({"image_id": k, "category_id": label, "bbox": _xywh(box), "score": score})
    categories = [{"id": c} for c in sorted({a["category_id"] for a in [*truths, *found]})]
    return {"images": images, "annotations": truths, "categories": categories, "info": {}}, found


def _xywh(box):
    return [box[0], box[1], box[2] - box[0], box[3] - box[1]]


def pycocotools_values(pairs):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, found = coco_files(pairs)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truths
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(NAMES, evaluation.stats[:6].tolist(), strict=True))


def our_values(pairs):
    """-1 for undefined, as the others have it."""
    evidence = [METRIC["ap"].measure(*pair) for pair in pairs]
    return {name: _or_minus_one(metric, evidence) for name, metric in METRIC.items()}


def _or_minus_one(metric, evidence):
    try:
        return metric.reduce(evidence)
    except NotApplicable:
        return -1.0


@pytest.mark.parametrize("seed", range(25))
def test_equals_pycocotools(seed):
    """With ties within and across images, crowds, all sizes, empty images, and classes without objects or without detections."""
    pairs = worlds.pairs("detection", 5 + 2 * seed, seed=seed)
    assert our_values(pairs) == pytest.approx(pycocotools_values(pairs), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_equals_hotcoco(seed):
    hotcoco = pytest.importorskip("hotcoco", reason="the optional second evaluator is not installed")
    pairs = worlds.pairs("detection", 30, seed=100 + seed)
    truths, found = coco_files(pairs)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = hotcoco.COCO(truths)
        evaluation = hotcoco.COCOeval(coco, coco.load_res(found), "bbox")
        evaluation.run()
    assert our_values(pairs) == pytest.approx(dict(zip(NAMES, list(evaluation.stats)[:6], strict=True)), abs=1e-12)


def test_keeps_a_hundred_detections_of_a_class():
    """130 detections: the object is found by the 120th only, and by the 99th in the other image."""
    boxes = torch.tensor([[0.0, 0, 20, 20]]).repeat(130, 1) + 100
    pairs = []
    for name, right in (("a", 119), ("b", 98)):
        found = boxes.clone()
        found[right] -= 100
        prediction = BoxPrediction(found, torch.linspace(0.9, 0.1, 130), torch.ones(130, dtype=torch.long))
        pairs.append((prediction, _sample(name, [[0, 0, 20, 20]], [1])))
    values = our_values(pairs)
    assert values == pytest.approx(pycocotools_values(pairs), abs=1e-12)
    assert 0 < values["ap"] < 0.01


def test_of_equal_overlaps_the_later_object_is_taken():
    """The first box lies midway between two objects; the second is the later one, which is gone by then."""
    sample = _sample("a", [[0, 0, 10, 10], [4, 0, 14, 10]], [1, 1])
    boxes = torch.tensor([[2.0, 0, 12, 10], [4, 0, 14, 10]])
    pairs = [(BoxPrediction(boxes, torch.tensor([0.9, 0.8]), torch.ones(2, dtype=torch.long)), sample)]
    assert our_values(pairs) == pytest.approx(pycocotools_values(pairs), abs=1e-12)
    assert our_values(pairs)["ap50"] == pytest.approx(51 / 101)


def test_equal_scores_rank_as_the_model_lists_them():
    """Sixty detections of one score, more than any sort keeps in order by chance; every third is right."""
    corner = torch.arange(60.0)[:, None] * torch.tensor([[20.0, 0, 20, 0]])
    boxes = corner + torch.tensor([[0.0, 0, 10, 10]])
    sample = _sample("a", boxes[::3].tolist(), [1] * 20)
    scores = torch.tensor([0.5, 0.9, 0.5]).repeat_interleave(20)
    pairs = [(BoxPrediction(boxes, scores, torch.ones(60, dtype=torch.long)), sample)]
    assert our_values(pairs) == pytest.approx(pycocotools_values(pairs), abs=1e-12)


def test_an_object_of_exactly_32_x_32_is_small_and_medium():
    sample = _sample("a", [[0, 0, 32, 32]], [1])
    values = our_values([(BoxPrediction(sample.target.boxes, torch.tensor([0.9]), torch.tensor([1])), sample)])
    assert (values["ap-small"], values["ap-medium"], values["ap-large"]) == (pytest.approx(1), pytest.approx(1), -1)


def test_right_wrong_right_of_three_objects():
    sample = _sample("a", [[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], [1, 1, 1])
    boxes = torch.tensor([[0.0, 0, 9, 9], [80, 0, 89, 9], [20, 0, 29, 9]])
    evidence = METRIC["ap"].measure(BoxPrediction(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.ones(3, dtype=torch.long)), sample)
    assert METRIC["ap50"].reduce([evidence]) == pytest.approx(0.5544554, abs=1e-7)


def test_what_is_reported_of_a_class_without_objects_costs_nothing_and_is_counted():
    sample = _sample("a", [[0, 0, 9, 9]], [1])
    boxes = torch.tensor([[0.0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]])
    evidence = METRIC["ap"].measure(BoxPrediction(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([1, 2, 2])), sample)
    assert METRIC["ap"].reduce([evidence]) == pytest.approx(1.0)
    assert coverage([evidence]) == ((1,), 2)


def test_no_object_at_all_is_undefined_with_a_reason_not_minus_one():
    evidence = METRIC["ap"].measure(
        BoxPrediction(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long)), _sample("a", [], [])
    )
    made = estimate(METRIC["ap"], [evidence, evidence])
    assert (made.value, made.low, made.high, made.n) == (None, None, None, 2)
    assert "no class has an annotated object" in made.reason
    assert "of size small" in estimate(METRIC["ap-small"], [evidence]).reason


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(NotApplicable, match="NaN"):
        METRIC["ap"].measure(BoxPrediction(torch.zeros(1, 4), torch.tensor([float("nan")]), torch.tensor([1])), _sample("a", [], []))


def test_float32_scores_keep_their_order_and_their_ties():
    scores = torch.tensor([0.1, 0.1, 0.10000001, 0.3, 0.29999998]).sort(descending=True).values
    sample = _sample("a", [[0, 0, 9, 9]], [1])
    evidence = METRIC["ap"].measure(BoxPrediction(torch.zeros(5, 4), scores, torch.ones(5, dtype=torch.long)), sample)
    kept = evidence["scores"]
    assert torch.tensor(kept, dtype=torch.float32).equal(scores)
    assert [a == b for a, b in itertools.pairwise(kept)] == [False, False, False, True]


def test_the_chunks_in_which_it_is_computed_do_not_show(monkeypatch):
    evidence = [METRIC["ap"].measure(*pair) for pair in worlds.pairs("detection", 20)]
    counts = numpy.random.default_rng(0).integers(0, 3, (40, 20))
    whole = METRIC["ap"].resample(evidence, counts)
    monkeypatch.setattr("robustbench_cv.metrics.average_precision.CELLS", 70)
    numpy.testing.assert_array_equal(METRIC["ap"].resample(evidence, counts), whole)


@pytest.mark.benchmark
def test_an_interval_of_ap_takes_seconds():
    """150 images, 8 classes, 20 detections an image, 2,000 resamples: under 2 s and 300 MB on one core."""
    rng = numpy.random.default_rng(0)
    evidence = [METRIC["ap"].measure(*_crowded(rng, f"{k:03}")) for k in range(150)]
    memory, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert estimate(AveragePrecision("ap"), evidence).low is not None
    seconds, grown = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    print(f"{seconds:.2f} s, {grown / 1024:.0f} MB")
    assert seconds < 2
    assert grown < 300 * 1024


def _crowded(rng, name):
    corner = rng.uniform(0, 60, (4, 2))
    truth = torch.from_numpy(numpy.concatenate([corner, corner + rng.uniform(5, 36, (4, 2))], axis=1)).float()
    labels = torch.from_numpy(rng.integers(0, 8, 4))
    pick = torch.from_numpy(rng.integers(0, 4, 20))
    boxes = truth[pick] + torch.from_numpy(rng.normal(0, 1.5, (20, 4))).float()
    found = BoxPrediction(boxes, torch.from_numpy(rng.random(20)).float(), labels[pick])
    return found, Sample(name, torch.zeros(3, 1, 1), BoxTarget.of(truth, labels))


def _sample(name, boxes, labels):
    target = BoxTarget.of(torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels, dtype=torch.long))
    return Sample(name, torch.zeros(3, 1, 1), target)


def test_a_region_of_no_evaluated_class_scores_no_class() -> None:
    """A dropped class arrives as a crowd labelled -1: a box of any class inside it is neither right nor wrong."""
    truth = BoxTarget.of(torch.tensor([[0.0, 0, 10, 10], [20, 20, 40, 40]]), torch.tensor([0, -1]), crowd=torch.tensor([False, True]))
    sample = Sample("a", torch.zeros(3, 50, 50), truth)
    inside = BoxPrediction(torch.tensor([[21.0, 21, 39, 39], [0, 0, 10, 10]]), torch.tensor([0.9, 0.8]), torch.tensor([0, 0]))
    outside = BoxPrediction(torch.tensor([[21.0, 0, 39, 18], [0, 0, 10, 10]]), torch.tensor([0.9, 0.8]), torch.tensor([0, 0]))
    ap = METRICS.build("ap")
    assert ap.reduce([ap.measure(inside, sample)]) == pytest.approx(1)
    assert ap.reduce([ap.measure(outside, sample)]) == pytest.approx(0.5)
