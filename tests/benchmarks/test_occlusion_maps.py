"""What an occlusion map costs beside captum's of the same squares, and beside the passes alone, in one run, in turns.

    OMP_NUM_THREADS=1 uv run --with captum pytest tests/benchmarks/test_occlusion_maps.py -m benchmark -s -n 0

Process CPU time on one thread; ratios are between neighbours in time. ROUNDS=1 for a quick look, else 5.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator

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
SIDE, STRIDE, SIZE = 16, 5, 96
GRID = [Square(y, x, y + SIDE, x + SIDE) for y in range(0, SIZE - SIDE + 1, STRIDE) for x in range(0, SIZE - SIDE + 1, STRIDE)]
"""Squares inside the image alone, since captum knows no others."""

EXPLAINED: dict[str, Explained] = {
    "cifar-resnet20.scenes": ClassScore(7),
    "unet.scenes": RegionScore(19, torch.ones(SIZE, SIZE, dtype=torch.bool)),
    "yolov3-small.scenes": DetectionScore(7, torch.tensor([41.0, 31.0, 67.0, 45.0])),
}

pytestmark = pytest.mark.benchmark


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


@pytest.mark.parametrize("spec", EXPLAINED)
def test_a_map_costs_less_than_captums_and_is_the_same(spec: str) -> None:
    if importlib.util.find_spec("captum") is None:
        pytest.skip("captum is not installed: uv run --with captum pytest ...")
    from captum.attr import Occlusion  # type: ignore[import-not-found,unused-ignore]

    model, explained, image = build(spec), EXPLAINED[spec], DATASETS.build("scenes")[0].image
    score = score_of(model, explained, "probability")
    peer = Occlusion(lambda x: score(x))

    def theirs() -> Tensor:
        with torch.no_grad():
            found: Tensor = peer.attribute(
                image[None], sliding_window_shapes=(3, SIDE, SIDE), strides=(3, STRIDE, STRIDE), baselines=0.5, perturbations_per_eval=BATCH
            )
        return found[0, 0]

    def ours() -> Tensor:
        return spread(drops(model, explained, image, GRID, fill="gray"), GRID, SIZE, SIZE)

    def passes() -> Tensor:
        with torch.no_grad():
            return torch.cat([score(image[None].repeat(min(BATCH, len(GRID) - i), 1, 1, 1)) for i in range(0, len(GRID), BATCH)])

    ours()
    rounds = [(seconds(ours), seconds(theirs), seconds(passes)) for _ in range(ROUNDS)]
    torch.testing.assert_close(rounds[0][0][1], rounds[0][1][1], atol=1e-5, rtol=1e-3)
    own, captum, floor = (statistics.median(round_[i][0] for round_ in rounds) for i in range(3))
    print(f"\n{spec}, {len(GRID)} squares: {own:.2f} s; captum {captum:.2f} s; the passes alone {floor:.2f} s")
    assert own < 1.1 * captum
