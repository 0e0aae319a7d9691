"""Checks ask less of a model whose passes take long: by the image that its network sees, not by the one that it is handed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.checks.check import HUGE, LARGE, Preflight
from robustbench_cv.checks.doctor import SAMPLES_OF_HUGE, examine
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.models.adapt import classifier
from tests.test_checks_families import scenes


class Resized(nn.Module):
    """Sees the image at another size."""

    def __init__(self, side: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.side, self.images = nn.Conv2d(3, len(DATA.labels.names), 3, stride=8), side, 0

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        return self.conv(nn.functional.interpolate(x, (self.side, self.side))).mean((2, 3))


DATA = DATASETS.build("scenes(samples=64)", task="classification")


def model(side: int, net: nn.Module | None = None) -> Any:
    return classifier(net or Resized(side), name="resized", classes=DATA.labels, input_size=None)


@pytest.mark.parametrize(("side", "large", "huge"), [(64, False, False), (200, True, False), (600, True, True)])
def test_what_the_network_sees_decides(side: int, large: bool, huge: bool) -> None:
    subject = Preflight(model(side), "classification", scenes("classification")[:8])
    assert subject.seen_pixels == side * side
    assert (subject.is_large, subject.is_huge) == (large, huge) == (side * side >= LARGE, side * side >= HUGE)
    assert len(subject.few) == len(subject.alone) == (2 if huge else 4 if large else 8)
    assert len(subject.few_images(1)) == 1


def test_a_model_that_raises_is_of_the_size_of_its_images() -> None:
    class Raises(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError

    samples = scenes("classification")[:2]
    assert Preflight(model(0, Raises()), "classification", samples).seen_pixels == samples[0].image[0].numel()


def test_a_huge_model_is_asked_of_few_images_and_says_what_was_not_tried() -> None:
    asked, found = {}, []
    for side in (64, 520):
        net = Resized(side)
        built = model(side, net)
        found = examine(built, DATA, ClassMap.match(DATA.labels, built.info.classes), range(64))
        asked[side] = net.images
    assert SAMPLES_OF_HUGE <= asked[520] < asked[64] / 3
    (geometry,) = [f for f in found if f.check == "S37"]
    assert geometry.verdict == "not applicable"
    assert "a pass takes too long" in geometry.evidence
