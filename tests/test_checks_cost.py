"""Checks ask less of a model whose passes take long: by the image that its network sees, not by the one that it is handed."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import CHECKS, DATASETS
from robustbench_cv.checks import input_search
from robustbench_cv.checks.check import HUGE, LARGE, Preflight
from robustbench_cv.checks.doctor import SAMPLES_OF_HUGE, examine
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.models.adapt import classifier
from robustbench_cv.types import ClassTarget
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


def test_what_checks_share_is_asked_once() -> None:
    net = Resized(64)
    subject = Preflight(model(64, net), "classification", scenes("classification")[:16])
    assert len(subject.alone) == 8
    asked = net.images
    for check in ("s32-class-count", "s04-probabilities"):
        assert CHECKS.build(check)(subject).verdict == "pass"
    assert net.images == asked


def test_a_search_leaves_what_cannot_win_and_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose answers change with every touch of an image: each change of it mends mistakes, and breaks as many right answers."""
    labels = [s.target.label for s in scenes("classification") if isinstance(s.target, ClassTarget)]
    asked, found = [], []
    for watched in (True, False):
        net = Fickle(dict(zip((_trace(s.image) for s in scenes("classification")), labels, strict=True)))
        subject = Preflight(model(64, net), "classification", scenes("classification"))
        if not watched:
            monkeypatch.setattr(input_search, "_is_futile", lambda *given: False)
        found.append(replace(CHECKS.build("s02-normalisation")(subject), evidence=""))
        asked.append(net.images)
    assert found[0] == found[1]
    assert found[0].verdict == "pass"
    assert asked[0] < 0.8 * asked[1]


def _trace(image: Tensor) -> int:
    return int(1e4 * float(image.double().mean()))


class Fickle(nn.Module):
    """Right of three in four images that it knows, by a hash of each; of others it knows the class as little as of the rest."""

    def __init__(self, labels: dict[int, int]) -> None:
        super().__init__()
        self.labels, self.images, self.weight = labels, 0, nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        scores = torch.zeros(len(x), len(DATA.labels.names))
        for row, image in zip(scores, x, strict=True):
            trace = _trace(image)
            near = min(self.labels, key=lambda known: abs(known - trace))
            row[self.labels[near] if trace % 4 else (self.labels[near] + 1) % len(row)] = 3
        return scores + self.weight


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
