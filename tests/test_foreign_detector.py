"""The detector that CONTRIBUTING shows: in a file of thirty lines, and every attack on detectors works on it."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from robustbench_cv.adversary import run
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.detector_adapter import detector
from robustbench_cv.noise import Noise
from robustbench_cv.types import BoxTarget, Candidates, Labels, ModelInfo, predict

ROOT = Path(__file__).parents[1]
CODE = next(
    block for block in re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL) if "detector(" in block
)
ATTACKS_ON_DETECTORS = [
    f"{name}({entry.facts.get('reduced', '')})"
    for name, entry in ATTACKS.entries().items()
    if entry.facts.get("task") in ("detection", "any") and not entry.facts.keys() & {"fitted", "needs"}
]


@pytest.fixture
def model(tmp_path: Path) -> Any:
    path = tmp_path / "my_detector.py"
    path.write_text(CODE)
    return build(f"{path}:build")


def test_it_is_a_file_of_thirty_lines() -> None:
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 30


@pytest.mark.parametrize("spec", ATTACKS_ON_DETECTORS)
def test_every_attack_on_detectors_works_on_it(spec: str, model: Any) -> None:
    images = torch.rand((3, 3, 80, 112), generator=torch.Generator().manual_seed(1))
    objects = [BoxTarget.of(torch.tensor([[10.0, 12, 40, 50]]), torch.tensor([i % 2])) for i in range(3)]
    attack = ATTACKS.build(spec)
    result = run(attack, model, images, objects, Noise(0, ("a", "b", "c")))
    assert not result.failed
    assert len(result.skipped) < 3
    served = [i for i in range(3) if i not in result.skipped]
    assert not torch.equal(result.images[served], images[served])
    assert (result.forwards[served] > 0).all()


def test_boxes_come_back_in_pixels_of_the_image(model: Any) -> None:
    raw = model.raw(torch.rand(1, 3, 48, 192))
    assert isinstance(raw, Candidates)
    centres = (raw.boxes[0, :, 0, :2] + raw.boxes[0, :, 0, 2:]) / 2
    assert 96 < float(centres[:, 0].max()) < 192
    assert 24 < float(centres[:, 1].max()) < 48
    assert len(predict(model, torch.rand(1, 3, 48, 192))[0].boxes) <= 100


def test_wrong_shapes_are_named(model: Any) -> None:
    wrong = detector(torch.nn.Identity(), lambda x: (x.new_zeros(1, 5, 4), x.new_zeros(1, 5, 2)), name="mine", classes=Labels(("a",)))
    with pytest.raises(UserError, match=r"must be \(N, K, 4\) and \(N, K, 1\)"):
        wrong.raw(torch.rand(1, 3, 8, 8))


def test_the_former_name_of_the_adapter_says_the_new_one() -> None:
    with pytest.warns(DeprecationWarning, match="is robustbench_cv.models.detector_adapter now"):
        former = importlib.import_module("robustbench_cv.models.detect")
    assert former.detector is detector


def test_what_a_users_own_model_says_of_itself_can_be_given_in_order() -> None:
    info = ModelInfo("oracle", "detection", Labels(("car",)), "0" * 64, 0, 0.5)
    assert (info.parameters, info.operating_score) == (0, 0.5)
