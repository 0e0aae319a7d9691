"""The doctor on trained models: the bundled ones on Scenes, a published one on CIFAR-10; right, and with the usual mistakes."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.checks.check import Finding
from robustbench_cv.checks.doctor import examine
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.models.build import build
from robustbench_cv.types import Candidates, Dataset, ModelInfo, Prediction
from tests.checked_models import normalise

BUNDLED = ("cifar-resnet20.scenes", "lenet5.scenes", "unet.scenes", "yolov3-small.scenes")


def same(x: Tensor) -> Tensor:
    return x


@dataclass(eq=False)
class Mistaken:
    """A model with something done to its images, and its classes moved on by some."""

    model: Any
    before: Callable[[Tensor], Tensor] = same
    shift: int = 0

    @property
    def info(self) -> ModelInfo:
        return self.model.info  # type: ignore[no-any-return]

    @property
    def module(self) -> torch.nn.Module:
        return self.model.module  # type: ignore[no-any-return]

    def raw(self, images: Tensor, /) -> Any:
        raw = self.model.raw(self.before(images))
        if isinstance(raw, Candidates):
            return replace(raw, log_score=raw.log_score.roll(self.shift, 2))
        return type(raw)(raw.values.roll(self.shift, 1))

    def decode(self, raw: Any, /) -> list[Prediction]:
        return list(self.model.decode(raw))


def accused(model: Any, data: Dataset) -> dict[str, Finding]:
    findings = examine(model, data, ClassMap.match(data.labels, model.info.classes), range(len(data)))
    return {f.check: f for f in findings if f.verdict in ("stop", "warn")}


@pytest.mark.parametrize("spec", BUNDLED)
def test_bundled_models_are_right_and_their_mistakes_are_named(spec: str) -> None:
    model = build(spec)
    data = DATASETS.build("scenes(samples=160)", task=model.info.task)
    assert accused(model, data) == {}
    assert list(accused(Mistaken(model, shift=1), data)) == ["S19"]
    assert "S02" in accused(Mistaken(model, before=lambda x: x * 255), data)
    if spec != "lenet5.scenes":  # which hardly minds
        assert "ImageNet's mean and std only once" in accused(Mistaken(model, before=normalise), data)["S02"].remedy


@pytest.fixture(scope="module")
def cifar() -> tuple[Any, Dataset]:
    folder = os.environ.get("ROBUSTBENCH_CV_DATA")
    if not folder:
        pytest.skip("real images: set ROBUSTBENCH_CV_DATA to a folder with cifar10/")
    root = Path(folder) / "cifar10"
    model = build(f"cifar-resnet20(checkpoint='{root / 'resnet20.safetensors'}')")
    return model, DATASETS.build(f"npz:{root / 'test_2000.npz'}", task="classification")


@pytest.mark.parametrize(
    ("mistake", "check"),
    [
        ({}, None),
        ({"before": normalise}, "S02"),
        ({"before": lambda x: x.flip(1)}, "S21"),
        ({"shift": 1}, "S19"),
        ({"shift": -1}, "S19"),
    ],
    ids=["right", "normalised twice", "BGR", "shifted by one", "shifted back by one"],
)
def test_a_published_model_on_real_images(cifar: tuple[Any, Dataset], mistake: dict[str, Any], check: str | None) -> None:
    model, data = cifar
    assert list(accused(Mistaken(model, **mistake), data)) == ([] if check is None else [check])


UNTRAINED = {
    "classification": ("cifar-resnet20", "lenet5", "timm:test_resnet", "torchvision:shufflenet_v2_x0_5"),
    "segmentation": ("unet(width=16)", "torchvision:lraspp_mobilenet_v3_large"),
    "detection": ("yolov3-small", "torchvision:ssdlite320_mobilenet_v3_large"),
}


SLOW = ("yolov3-small", "torchvision:lraspp_mobilenet_v3_large")


@pytest.mark.parametrize("spec", [pytest.param(s, marks=[pytest.mark.slow] * (s in SLOW)) for specs in UNTRAINED.values() for s in specs])
def test_untrained_models_are_bad_and_not_wrong(spec: str) -> None:
    task = next(t for t, specs in UNTRAINED.items() if spec in specs)
    data = DATASETS.build("scenes(samples=24)", task=task)
    torch.manual_seed(0)
    model = build(spec, classes=",".join(data.labels.names))
    assert [f for f in accused(model, data).values() if f.verdict == "stop"] == []
