"""What an occlusion map costs beside captum's of the same squares, and beside the passes alone, in one run, in turns.

    OMP_NUM_THREADS=1 uv run --with captum pytest tests/benchmarks/test_occlusion_maps.py -m benchmark -s -n 0

captum's is timed as it comes (one square a pass) and with 64 squares a pass, which its user has to ask for. Process CPU time on one thread;
ratios are between neighbours in time. ROUNDS=1 for a quick look, else 5.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.explain.occlusion import drops, spread
from robustbench_cv.explain.targets import ClassScore, DetectionScore, Explained, RegionScore, score_of
from robustbench_cv.interventions.slide_patch import Square
from robustbench_cv.models.build import build

BATCH = 64
ROUNDS = int(os.environ.get("ROUNDS", "5"))


class Case(NamedTuple):
    """A model and what is explained of it; the side of the image and of the squares, and their stride, in px.

    least: times that captum's map costs at least what ours does, with 64 squares a pass, and as it comes.
    """

    explained: Explained
    size: int
    side: int
    stride: int
    least: tuple[float, float]


CASES = {
    "cifar-resnet20.scenes": Case(ClassScore(7), 96, 16, 5, (0.9, 1.5)),
    "unet.scenes": Case(RegionScore(19, torch.ones(96, 96, dtype=torch.bool)), 96, 16, 5, (0.9, 1.0)),
    "yolov3-small.scenes": Case(DetectionScore(7, torch.tensor([41.0, 31.0, 67.0, 45.0])), 96, 16, 5, (1.2, 1.5)),
    "torchvision:resnet18": Case(ClassScore(7), 224, 32, 12, (1.2, 1.5)),
    "torchvision:resnet50": Case(ClassScore(7), 224, 32, 12, (1.2, 1.5)),
    "torchvision:vgg11": Case(ClassScore(7), 224, 32, 12, (3.0, 3.0)),
}
"""Squares lie inside the image alone, since captum knows no others. Weights of torchvision's are random, which costs the same."""

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seconds(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.process_time()
    made = work()
    return time.process_time() - start, made


@pytest.mark.parametrize("spec", CASES)
def test_a_map_costs_less_than_captums_and_is_the_same(spec: str) -> None:
    if importlib.util.find_spec("captum") is None:
        pytest.skip("captum is not installed: uv run --with captum pytest ...")
    from captum.attr import Occlusion  # type: ignore[import-not-found,unused-ignore]

    explained, size, side, stride, least = CASES[spec]
    starts = range(0, size - side + 1, stride)
    grid = [Square(y, x, y + side, x + side) for y in starts for x in starts]
    model, image = build(spec), DATASETS.build(f"scenes(size={size})")[0].image
    score = score_of(model, explained, "probability")
    peer = Occlusion(lambda x: score(x))

    def theirs(at_once: int) -> Tensor:
        with torch.no_grad():
            found: Tensor = peer.attribute(
                image[None],
                sliding_window_shapes=(3, side, side),
                strides=(3, stride, stride),
                baselines=0.5,
                perturbations_per_eval=at_once,
            )
        return found[0, 0]

    def ours() -> Tensor:
        return spread(drops(model, explained, image, grid, fill="gray"), grid, size, size)

    def passes() -> Tensor:
        with torch.no_grad():
            return torch.cat([score(image[None].repeat(min(BATCH, len(grid) - i), 1, 1, 1)) for i in range(0, len(grid), BATCH)])

    ours()
    rounds = [(seconds(ours), seconds(lambda: theirs(BATCH)), seconds(lambda: theirs(1)), seconds(passes)) for _ in range(ROUNDS)]
    covered = (spread(torch.ones(len(grid)), grid, size, size) > 0).float()
    torch.testing.assert_close(rounds[0][0][1], rounds[0][1][1] * covered, atol=1e-5, rtol=1e-3)
    own, batched, single, floor = (statistics.median(round_[i][0] for round_ in rounds) for i in range(4))
    print(
        f"\n{spec}, {len(grid)} squares: {own:.2f} s; captum {batched / own:.2f} x (64 a pass), {single / own:.2f} x (as it comes); "
        f"the passes alone {floor / own:.2f} x"
    )
    assert batched > least[0] * own
    assert single > least[1] * own
