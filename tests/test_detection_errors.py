"""The kinds of a detector's mistakes one by one, what they cost, and the report of them."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy
import pytest
import torch

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.detection_errors import MISTAKES, detection_errors
from robustbench_cv.metrics.influence_functions import left_out
from robustbench_cv.registry import load_file
from robustbench_cv.rendering.figures import Chart
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.types import BoxPrediction, BoxTarget, Sample
from tests.benchmarks import interval_coverage

synthetic: ModuleType = load_file(Path(__file__).parent / "synthetic_results.py")

CAR, BOAT = 0, 1
SQUARE = [0.0, 0, 10, 10]


def pair(found, objects=((SQUARE, CAR),), crowd=()):
    """found: (box, score, class) each; objects: (box, class) each. crowd: positions of objects that are crowds."""
    rows = torch.tensor([[*b, s, c] for b, s, c in found], dtype=torch.float32).reshape(-1, 6)
    truth = torch.tensor([[*b, c] for b, c in objects], dtype=torch.float32).reshape(-1, 5)
    is_crowd = torch.tensor([k in crowd for k in range(len(objects))], dtype=torch.bool)
    target = BoxTarget.of(truth[:, :4], truth[:, 4], is_crowd)
    return BoxPrediction(rows[:, :4], rows[:, 4], rows[:, 5].long()), Sample("a", torch.zeros(3, 1, 1), target)


def costs(*pairs):
    metrics = {kind: METRICS.build(f"ap50-lost(to={kind!r})") for kind in MISTAKES}
    return {kind: metric.reduce([metric.measure(*one) for one in pairs]) for kind, metric in metrics.items()}


@pytest.mark.parametrize(
    ("box", "label", "kind"),
    [
        ([0, 0, 10, 10], BOAT, "confused"),
        ([0, 0, 10, 4], CAR, "mislocalised"),
        ([0, 0, 10, 4], BOAT, "both"),
        ([0, 0, 10, 1], CAR, "mislocalised"),  # IoU of exactly 0.1
        ([0, 0, 10, 1], BOAT, "hallucinated"),
        ([50, 50, 60, 60], CAR, "hallucinated"),
    ],
)
def test_a_wrong_box_is_of_one_kind(box: list[float], label: int, kind: str) -> None:
    evidence = detection_errors(*pair([(box, 0.9, label)]))
    assert [MISTAKES[k] for k in evidence["kinds"]] == [kind]


def test_the_less_confident_of_two_boxes_on_an_object_is_duplicated_and_costs_what_stands_below_it() -> None:
    made = pair([(SQUARE, 0.9, CAR), ([0, 0, 10, 9], 0.8, CAR), ([20, 0, 30, 10], 0.7, CAR)], [(SQUARE, CAR), ([20, 0, 30, 10], CAR)])
    assert detection_errors(*made)["kinds"] == [0, MISTAKES.index("duplicated"), 0]
    assert costs(made) == dict.fromkeys(MISTAKES, 0.0) | {"duplicated": pytest.approx(50 / 101 / 3)}


def test_a_box_of_the_wrong_class_would_find_its_object_so_that_it_is_not_missed() -> None:
    evidence = detection_errors(*pair([(SQUARE, 0.9, BOAT)]))
    assert (evidence["found"], evidence["claimed"]) == ([-1.0], [pytest.approx(0.9)])
    made = costs(pair([(SQUARE, 0.9, BOAT)]))
    assert (made["confused"], made["missed"]) == (pytest.approx(1.0), 0.0)


def test_only_the_most_confident_claim_is_mended() -> None:
    evidence = detection_errors(*pair([(SQUARE, 0.9, BOAT), ([0, 0, 10, 4], 0.8, CAR)]))
    assert list(zip(evidence["labels"], evidence["mended"], strict=True)) == [(CAR, -1), (BOAT, CAR)]


def test_a_detector_that_says_nothing_loses_everything_to_the_missed() -> None:
    assert costs(pair([])) == dict.fromkeys(MISTAKES, 0.0) | {"missed": pytest.approx(1.0)}


def test_boxes_in_a_crowd_are_no_mistakes() -> None:
    made = pair([(SQUARE, 0.9, CAR), ([20, 20, 30, 30], 0.8, CAR)], [(SQUARE, CAR), ([15, 15, 60, 60], CAR)], crowd={1})
    assert detection_errors(*made)["kinds"] == [0, -1]
    assert set(costs(made).values()) == {0.0}


def test_what_counts_as_reported_does_not_change_the_kinds() -> None:
    """The confident box of the wrong class claims the object that an unsure right one finds: at the higher score it is no miss either."""
    made = pair([(SQUARE, 0.9, BOAT), (SQUARE, 0.2, CAR), ([50, 50, 60, 60], 0.3, CAR)])
    at = {score: {k: _per_image(k, score, made) for k in ("missed", "hallucinated", "confused", "any")} for score in (0.1, 0.5, 0.95)}
    assert at[0.1] == {"missed": 0, "hallucinated": 1, "confused": 1, "any": 2}
    assert at[0.5] == {"missed": 0, "hallucinated": 0, "confused": 1, "any": 1}
    assert at[0.95] == {"missed": 1, "hallucinated": 0, "confused": 0, "any": 1}


def _per_image(kind, score, made):
    metric = METRICS.build(f"errors-per-image(kind={kind!r})", operating_score=score)
    return metric.reduce([metric.measure(*made)])


@pytest.mark.parametrize("kind", ["missed", "hallucinated", "confused"])
def test_the_derivative_is_what_leaving_images_out_shows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifteenth at a time: of single images the 101 recall points make steps, which the derivative does not have."""
    metric = METRICS.build(f"ap50-lost(to={kind!r})")
    evidence = interval_coverage.mistakes(numpy.random.default_rng(0), 300, shifts=(0.0,))[0]
    derived = numpy.bincount(numpy.arange(300) % 15, weights=metric.influence(evidence))
    monkeypatch.setattr("robustbench_cv.metrics.influence_functions.GROUPS", 15)
    exact = left_out(metric, evidence, metric.reduce(evidence))
    assert derived.sum() == pytest.approx(0, abs=1e-12)
    assert numpy.corrcoef(derived, exact)[0, 1] > 0.7


def test_the_report_says_which_kind_an_attack_adds() -> None:
    """The boxes of the made-up detector move away under attack: what was found is missed, and boxes stand on nothing."""
    results = synthetic.make()
    chart, counts, prices = build_items(results, ["detection-errors"])
    assert isinstance(chart, Chart)
    rows = {row[1]: row[2:] for row in counts.frame.itertuples(index=False, name=None)}
    assert rows["clean"][-3] is None
    assert rows["pgd-8"][-3].split()[0] in ("missed", "hallucinated", "mislocalised")
    group = next(g for g in results.groups() if g.task == "detection")
    for kind, cell in zip(MISTAKES, rows["pgd-8"], strict=False):
        assert cell.estimate == results.estimate(group, "pgd-8", f"errors-per-image(kind={kind!r})")
    added = results.difference(group, "pgd-8", "clean", f"errors-per-image(kind={rows['pgd-8'][-3].split()[0]!r})")
    assert f"+{added.value:.2f}" in rows["pgd-8"][-3]
    assert [row[1] for row in prices.frame.itertuples(index=False, name=None)] == [c for c in rows if not c.startswith("↳")]
