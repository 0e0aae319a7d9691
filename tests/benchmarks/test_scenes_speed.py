"""Scenes a second on one core, beside a fixed numpy workload of the same machine and moment."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from robustbench_cv.data.scenes.generate import generate

COUNT = 100
WORKLOAD_TO_SCENE = 5.0
"""A scene may take as long as this many workloads. On the machine that set it, one scene took about 2.4."""


def _workload() -> float:
    """400 elementwise operations on 96 x 96 float32 pixels in three channels, about what drawing one picture is."""
    picture = np.ones((3, 96, 96), np.float32)
    for _ in range(100):
        picture = np.sqrt(picture * np.float32(0.5) + np.float32(0.25)) - np.float32(0.1)
    return float(picture[0, 0, 0])


def _seconds(repeats: int) -> float:
    started = time.process_time()
    for _ in range(repeats):
        _workload()
    return (time.process_time() - started) / repeats


@pytest.mark.benchmark
def test_rendering_keeps_pace_with_plain_numpy(benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = [generate("train", i) for i in range(COUNT)]

    def render_all() -> None:
        for scene in scenes:
            scene.render()

    render_all()
    benchmark.pedantic(render_all, rounds=5, iterations=1)  # type: ignore[no-untyped-call]
    workload = min(_seconds(40) for _ in range(5))
    started = time.process_time()
    for i in range(COUNT):
        generate("train", 1000 + i).render()
    scene = (time.process_time() - started) / COUNT
    with capsys.disabled():
        print(f"\n{1 / scene:.0f} scenes a second on one core at 96 px; one takes {scene / workload:.2f} workloads")
    assert scene <= WORKLOAD_TO_SCENE * workload
