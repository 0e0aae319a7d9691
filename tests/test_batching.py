"""Batches: shapes apart, halved where memory runs out, and the same records whatever their size, up to rounding."""

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.batching import BatchSize, finite_rows, in_batches
from robustbench_cv.errors import UserError
from robustbench_cv.runner.cell import run_cell
from robustbench_cv.runner.job import build_job
from robustbench_cv.runner.plan import make_plan
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.suite import CLEAN, Suite, Track
from robustbench_cv.types import Candidates, ClassTarget, Logits, PixelLogits, Sample


def samples(*sides: int) -> list[Sample]:
    return [Sample(str(i), torch.full((3, side, side), float(i)), ClassTarget(0)) for i, side in enumerate(sides)]


def test_batches_hold_one_shape_and_results_keep_the_order() -> None:
    seen: list[tuple[int, int]] = []

    def work(images: Tensor, positions: list[int]) -> list[float]:
        seen.append((len(images), images.shape[-1]))
        assert [float(i) for i in positions] == images[:, 0, 0, 0].tolist()
        return images[:, 0, 0, 0].tolist()

    assert in_batches(samples(4, 8, 4, 4, 8, 4), BatchSize(3), work) == [0, 1, 2, 3, 4, 5]
    assert seen == [(3, 4), (1, 4), (2, 8)]
    seen.clear()
    in_batches(samples(4, 4, 4), BatchSize(), work, most=2)
    assert seen == [(2, 4), (1, 4)]


def test_the_size_follows_the_area_unless_a_number_is_asked_for() -> None:
    assert [BatchSize().at(side, side) for side in (16, 128, 256, 10_000)] == [64, 64, 16, 1]
    assert [BatchSize(5).at(side, side) for side in (16, 10_000)] == [5, 5]
    assert [BatchSize(limit=4, pixels=100).at(side, side) for side in (1, 5, 7, 100)] == [4, 4, 2, 1]


def test_a_batch_that_does_not_fit_is_halved_for_good() -> None:
    tried: list[int] = []

    def work(images: Tensor, _: list[int]) -> list[int]:
        tried.append(len(images))
        if len(images) > 3:
            raise torch.OutOfMemoryError("no room")
        return [0] * len(images)

    size = BatchSize(8)
    assert len(in_batches(samples(*[4] * 10), size, work)) == 10
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    with pytest.raises(UserError, match="one image does not fit"):
        size.shrink(1, RuntimeError("no room"))


def test_other_errors_are_no_lack_of_memory() -> None:
    def work(images: Tensor, _: list[int]) -> list[int]:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        in_batches(samples(4, 4), BatchSize(), work)


def test_rows_that_hold_no_number_are_named() -> None:
    nan, inf = float("nan"), float("inf")
    assert finite_rows(Logits(torch.tensor([[1.0, 2], [nan, 0], [0, -inf]]))).tolist() == [True, False, False]
    maps = torch.zeros(2, 3, 2, 2)
    maps[1, 2, 0, 1] = inf
    assert finite_rows(PixelLogits(maps)).tolist() == [True, False]
    boxes = torch.zeros(4, 2, 1, 4)
    scores, valid = torch.zeros(4, 2, 1), torch.ones(4, 2, dtype=torch.bool)
    scores[0, 1] = -inf  # impossible, and a number
    boxes[1, 0, 0, 2] = nan
    scores[2, 1] = nan
    scores[3, 1], valid[3, 1] = inf, False  # padding
    assert finite_rows(Candidates(boxes, scores, valid)).tolist() == [True, False, False, True]


def test_records_are_the_same_up_to_rounding_whatever_the_batch() -> None:
    """A detector's scores move by less than 1e-5, and no decision with them; a segmenter's counts and a classifier's classes not at all."""
    track = Track("detection", ("yolov3-small.scenes",), ("scenes",), (CLEAN,), ("ap", "hallucination-rate"))
    plan = make_plan(Suite("batches", 1, (track,)), Options(limit=6))
    (cell,) = plan.cells
    one, three, auto = ([asdict(r) for r in run_cell(build_job(plan, cell, BatchSize(n))).records] for n in (1, 3, None))
    assert _largest_gap(one, auto) < 1e-5
    assert _largest_gap(three, auto) < 1e-5


def _largest_gap(one: Any, other: Any) -> float:
    """The largest difference of two nested values' fractions; infinite where anything else differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((_largest_gap(one[k], other[k]) for k in one), default=0.0)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return max((_largest_gap(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    return 0.0 if one == other else float("inf")
