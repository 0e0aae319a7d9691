"""The context index: toy models come out where they must, edits that do nothing have no effect, and its interval holds."""

from pathlib import Path

import numpy
import pyarrow
import pytest

from robustbench_cv import context_results
from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.context_index import NO_EFFECT, RISES, Sides, context_reliance
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.object_recall import RECALLED
from robustbench_cv.rendering.context_edits import disagreeing_fills, edit_pairs
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.results import Results
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.tasks import Task
from robustbench_cv.types import Labels
from tests.toy_context import Toy

TASKS: tuple[Task, ...] = ("classification", "segmentation", "detection")
TOY = f"{Path(__file__).parent / 'toy_context.py'}:toy"

CONDITIONS = (
    CLEAN,
    *(Condition(f"removed, {fill}", (f"remove(fill={fill!r})",)) for fill in ("telea", "blur", "tile")),
    Condition("swapped", ("swap-context(to='random')",)),
)
REPORTS = ("context-index", "context-index-by-class", "fill-fidelity", "removal-matrix", "context-violations")


def run(tmp_path: Path, task: Task) -> Results:
    """Both toy models under removals and a swap."""
    primary = {"classification": "top-1", "segmentation": "miou", "detection": "ap"}[task]
    track = Track(task, (), (TOY,), CONDITIONS, (primary, "object-recall", "hallucination-rate"), 40)
    models = (Toy(task, "object"), Toy(task, "context"))
    return run_suite(Suite("toys", 1, (track,), reports=REPORTS), tmp_path, Options(models=models, strength=0)).results  # type: ignore[arg-type]


@pytest.mark.parametrize("task", TASKS)
def test_what_reads_the_object_is_near_0_and_what_reads_the_context_near_1(task: Task, tmp_path: Path) -> None:
    results = run(tmp_path, task)
    by_model = {}
    for group in results.groups():
        pairs = edit_pairs(results, task)
        assert [pair.name for pair in pairs] == ["telea", "blur", "tile"]
        made = context_results.reliance(results, group, pairs[0].removal, pairs[0].swap)
        by_model[group.model] = made
        assert made.context_index.n == 40
        assert disagreeing_fills(results, group, pairs[0].removal, "object-recall") == ""
        one = context_results.reliance(results, group, pairs[0].removal, pairs[0].swap, of="boat")
        assert one.object_reliance.n == 10
    sees, guesses = by_model["reads-object"], by_model["reads-context"]
    assert sees.context_index.value == pytest.approx(0, abs=0.02)
    assert sees.context_index.high < 0.25
    assert sees.object_reliance.value > 0.7
    assert abs(sees.context_sensitivity.value) < 0.02
    assert guesses.context_index.value == pytest.approx(1, abs=0.02)
    assert guesses.context_index.low > 0.75
    assert guesses.context_sensitivity.value > 0.7
    assert abs(guesses.object_reliance.value) < 0.02
    labels = [item.label for item in build_items(results, REPORTS)]
    assert labels[:2] == [f"context-index-{task}", f"context-index-chart-{task}"]
    assert f"context-index-by-class-{task}" in labels


def columns(shares: numpy.ndarray) -> list[Column]:
    """(sides, images) of recall -> evidence."""
    ids = pyarrow.array([f"{i:06}" for i in range(shares.shape[1])])
    return [Column(ids, pyarrow.array([{"share": float(v), "classes": []} for v in side], RECALLED)) for side in shares]


METRIC = METRICS.build("object-recall", labels=Labels(("a",)), operating_score=0.25)


def index(shares: numpy.ndarray):  # type: ignore[no-untyped-def]
    """Of (8, n): removal after, before, placebo after, before; swap the same."""
    made = columns(shares)
    return context_reliance(METRIC, Sides(*made[:4]), Sides(*made[4:]))


def test_the_index_is_the_share_of_the_context_in_what_is_lost() -> None:
    shares = numpy.ones((8, 200))
    shares[0, :120] = 0  # removal loses 60 %
    shares[2, :20] = 0  # of which the placebo loses 10 %
    shares[4, :80] = 0  # the swap loses 40 %
    shares[6, :20] = 0  # of which the placebo loses 10 %
    made = index(shares)
    assert made.object_reliance.value == pytest.approx(0.5)
    assert made.context_sensitivity.value == pytest.approx(0.3)
    assert made.context_index.value == pytest.approx(0.3 / 0.8)
    assert made.context_index.low < 0.3 / 0.8 < made.context_index.high


def test_edits_that_do_nothing_have_no_effect_and_no_index() -> None:
    made = index(numpy.tile(numpy.random.default_rng(0).random(100) > 0.2, (8, 1)).astype(float))
    for effect in (made.object_reliance, made.context_sensitivity):
        assert effect.value == 0
        assert effect.low < 0 < effect.high
    assert made.context_index.value is None
    assert made.context_index.reason == NO_EFFECT


def test_a_recall_that_rises_without_its_context_has_index_0_and_says_so() -> None:
    shares = numpy.ones((8, 200))
    shares[0, :160] = 0
    shares[5, :60] = 0  # before the swap the context stood in the way
    made = index(shares).context_index
    assert (made.value, made.low, made.high) == (0, 0, 0)
    assert made.caution == RISES


def test_images_that_one_edit_cannot_serve_are_left_out_of_both() -> None:
    sides = columns(numpy.ones((8, 30)))
    sides[4] = sides[4].only(sides[4].ids[:20])
    made = context_reliance(METRIC, Sides(*sides[:4]), Sides(*sides[4:]))
    assert (made.object_reliance.n, made.object_reliance.excluded) == (20, 10)


def world(rng: numpy.random.Generator, n: int, object_part: float, context_part: float) -> numpy.ndarray:
    """Recall that rests on the object in some images, on the context in others, and on neither in the rest; the placebos harm a few."""
    draw = rng.random(n)
    by_object, by_context = draw < object_part, draw > 1 - context_part
    harmed = rng.random((2, n)) < 0.06
    shares = numpy.ones((8, n))
    shares[0] = ~(by_object | harmed[0])
    shares[2] = ~harmed[0]
    shares[4] = ~(by_context | harmed[1])
    shares[6] = ~harmed[1]
    return shares


@pytest.mark.parametrize(("object_part", "context_part"), [(0.6, 0.1), (0.4, 0.4), (0.15, 0.6)])
def test_the_interval_of_the_index_holds(object_part: float, context_part: float) -> None:
    """In 93-97 of 100 data sets, within the chance of 400 of them. The full run: `python -m tests.benchmarks.interval_coverage`."""
    rng, held, wide = numpy.random.default_rng(7), 0, 0
    # what a placebo harms too is not lost by the edit alone
    kept = 1 - 0.06
    truth = context_part * kept / (context_part * kept + object_part * kept)
    for _ in range(400):
        made = index(world(rng, 100, object_part, context_part)).context_index
        assert made.value is not None
        held += made.low <= truth <= made.high
        wide += made.high - made.low > 0.4
    assert 0.92 <= held / 400 <= 0.985
    assert wide < 20
