"""CPU time of ImageNet-C's 19 corruptions at 224 px, the mean over severities, beside imagecorruptions, one thread each.

imagecorruptions wants older libraries than this project's: name a Python that has it. It must be patched where its scikit-image is newer
(`multichannel=True` becomes `channel_axis=-1`):

    uv venv /tmp/peer
    uv pip install --python /tmp/peer/bin/python imagecorruptions "numpy<2" "scipy<1.13" "scikit-image<0.23" "setuptools<81"
    export OMP_NUM_THREADS=1 IMAGECORRUPTIONS_PYTHON=/tmp/peer/bin/python
    uv run pytest tests/benchmarks/test_corruption_speed.py -m benchmark -s -n 0
"""

from __future__ import annotations

import json
import os
import subprocess
import time

import numpy
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from robustbench_cv.interventions.corruption_facts import GROUPS
from robustbench_cv.interventions.corruptions.corruption import CORRUPTIONS

SIDE, ROUNDS = 224, 2
LEAST_RATIO = 5.0

PEER = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import numpy
from PIL import Image
from imagecorruptions import corruptions
picture = Image.fromarray(numpy.random.default_rng(0).integers(0, 256, ({side}, {side}, 3), dtype=numpy.uint8))
seconds = {{}}
for name in {names}:
    corrupt = getattr(corruptions, name)
    [corrupt(picture, k) for k in range(1, 6)]
    started = time.process_time()
    for _ in range({rounds}):
        [corrupt(picture, k) for k in range(1, 6)]
    seconds[name] = (time.process_time() - started) / (5 * {rounds})
print(json.dumps(seconds))
"""


def ours() -> dict[str, float]:
    """CPU seconds an image by corruption."""
    picture = numpy.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=numpy.uint8).astype(numpy.float32) / 255
    seconds = {}
    for name in GROUPS:
        for k in range(1, 6):
            CORRUPTIONS[name](picture, k, numpy.random.default_rng(k))
        started = time.process_time()
        for _ in range(ROUNDS):
            for k in range(1, 6):
                CORRUPTIONS[name](picture, k, numpy.random.default_rng(k))
        seconds[name] = (time.process_time() - started) / (5 * ROUNDS)
    return seconds


@pytest.mark.benchmark
def test_corrupting_is_at_least_five_times_faster_than_imagecorruptions(
    benchmark: BenchmarkFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    python = os.environ.get("IMAGECORRUPTIONS_PYTHON")
    if not python:
        pytest.skip("IMAGECORRUPTIONS_PYTHON names no Python with imagecorruptions")
    mine = benchmark.pedantic(ours, rounds=1, iterations=1)  # type: ignore[no-untyped-call]
    code = PEER.format(side=SIDE, names=list(GROUPS), rounds=ROUNDS)
    ran = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    theirs = json.loads(ran.stdout.splitlines()[-1])
    ratio = sum(theirs.values()) / sum(mine.values())
    with capsys.disabled():
        for name in GROUPS:
            print(f"\n{name:20} {1000 * mine[name]:7.1f} ms {1000 * theirs[name]:7.1f} ms", end="")
        print(f"\n{'all 19':20} {1000 * sum(mine.values()):7.1f} ms {1000 * sum(theirs.values()):7.1f} ms: {ratio:.1f} times faster")
    assert ratio >= LEAST_RATIO
