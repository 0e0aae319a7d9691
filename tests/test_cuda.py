"""On a GPU: every model builds there at its reduced size, and `raw` agrees with the CPU.

uv run pytest tests/test_cuda.py
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.models.build import build
from robustbench_cv.types import Candidates
from tests.laws.test_models import CHAOTIC, NAMED, calibrated, installed, photos

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
TWO_STAGE = ("rcnn", "rt-detr", "sppnet")
"""Which of two equally likely proposals or queries is the last to be looked at is a matter of rounding."""


@pytest.fixture(autouse=True)
def _exact() -> Any:
    """No TF32: it keeps 10 bits of a float, less than a thousandth."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def outputs(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Scores, and boxes where there are any, of what is valid; on the CPU."""
    with torch.no_grad():
        raw = model.raw(x)
    if not isinstance(raw, Candidates):
        return raw.values.cpu(), torch.empty(0)
    valid = raw.valid.cpu()
    return raw.log_score.cpu()[valid].clamp(min=-50), raw.boxes.cpu()[valid]


@pytest.mark.parametrize("name", sorted(NAMED))
def test_raw_on_the_gpu_is_that_on_the_cpu(name: str) -> None:
    installed(name)
    if name in CHAOTIC:
        pytest.skip("untrained and without shortcuts: rounding errors grow to a part of the output")
    model = calibrated(build(f"{name}({NAMED[name].facts.get('reduced', '')})"))
    x = photos()
    expected = outputs(model, x)
    model.module.cuda()
    found = outputs(model, x.cuda())
    for a, b in zip(found, expected, strict=True):
        if any(kind in name for kind in TWO_STAGE):
            assert a.shape == b.shape
            assert torch.isclose(a, b, rtol=1e-3, atol=1e-3).float().mean() > 0.98
        else:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", sorted(NAMED))
def test_it_builds_on_the_gpu_and_decodes_to_the_cpu(name: str) -> None:
    installed(name)
    model: Any = build(f"{name}({NAMED[name].facts.get('reduced', '')})", device="cuda")
    assert all(tensor.is_cuda for tensor in [*model.module.parameters(), *model.module.buffers()])
    raw = model.raw(photos(n=1).cuda().requires_grad_())
    for prediction in model.decode(raw):
        values = [prediction] if isinstance(prediction, Tensor) else [v for v in vars(prediction).values() if v is not None]
        assert all(value.device.type == "cpu" for value in values)
