"""What a model says as part of its identity: weights that no state dict shows, rounding, and models that cannot be asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.models.adapt import classifier
from robustbench_cv.run_folder import RunFolder
from robustbench_cv.runner.model_identity import identify
from robustbench_cv.types import AnyModel, Candidates, Dataset, Labels, ModelInfo

CLASSES = Labels(("a", "b", "c"))


class Listed(nn.Module):
    """Layers in a list, of which neither parameters nor buffers are registered."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = [nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            for layer in self.layers:
                x = layer(x)
        return x


class Plain(nn.Module):
    """Weights as a plain tensor, times 1 + `error`."""

    def __init__(self, seed: int, error: float = 0.0) -> None:
        super().__init__()
        self.weight = torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)) * (1 + error)

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) @ self.weight


class Configured(nn.Module):
    """A number from a file that nobody sees it read."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.gain = float(path.read_text())

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) * self.gain


class Random(nn.Module):
    """Other noise at each call, of a generator that nobody can seed."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = numpy.random.default_rng()

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) + float(self.rng.normal())


class Dropped(nn.Module):
    """Noise of torch's global generator."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) + torch.randn(3)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    numpy.savez(tmp_path / "d.npz", images=numpy.zeros((2, 10, 14, 3), numpy.uint8), labels=numpy.array([0, 1]))
    return DATASETS.build(f"npz:{tmp_path / 'd.npz'}")


Ask = Callable[[nn.Module], str]


@pytest.fixture
def ask(tmp_path: Path, dataset: Dataset) -> Ask:
    def ask(module: nn.Module) -> str:
        model = classifier(module, name="m", classes=CLASSES)
        return identify(RunFolder(tmp_path / "run"), "m", model, dataset, [0, 1], "cpu")

    return ask


def test_weights_that_no_state_dict_shows_are_told_apart(ask: Ask, tmp_path: Path) -> None:
    assert ask(Listed(0)) == ask(Listed(0)) != ask(Listed(1))
    assert ask(Plain(0)) == ask(Plain(0)) != ask(Plain(1))
    config = tmp_path / "gain.txt"
    config.write_text("1.0")
    before = ask(Configured(config))
    config.write_text("1.01")
    assert ask(Configured(config)) != before
    assert len({ask(Listed(0)), ask(Listed(1)), ask(Plain(0)), ask(Plain(1)), before}) == 5


def test_rounding_does_not_count_and_a_small_change_does(ask: Ask) -> None:
    first = ask(Plain(0))
    assert ask(Plain(0, 3e-6)) == ask(Plain(0, -2e-5)) == first
    assert ask(Plain(0, 1e-3)) != first
    assert ask(Plain(0)) == first, "the answers of both are kept"


def test_a_model_that_cannot_be_asked_is_named_so(ask: Ask) -> None:
    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("no such layer")

    assert ask(Fails()) == "no answer: KeyError"
    assert ask(Random()) == "unsteady"
    assert ask(Dropped()) == ask(Dropped()) != "unsteady"


def test_asking_leaves_the_generator_alone(ask: Ask) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    ask(Dropped())
    assert torch.rand(1) == expected


def test_a_model_for_one_size_is_asked_about_images_of_that_size(ask: Ask) -> None:
    class Sized(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1:] == (3, 10, 14)
            return x.mean((2, 3))

    assert not ask(Sized()).startswith("no answer")


class Boxes:
    """A detector of two candidates, in an order of its own."""

    def __init__(self, scores: tuple[float, float], order: tuple[int, int] = (0, 1), shift: float = 0.0) -> None:
        self.info = ModelInfo(name="boxes", task="detection", classes=Labels(("a",)), weights_sha256="")
        self.scores, self.order, self.shift = torch.tensor(scores)[list(order)], list(order), shift

    def raw(self, images: Tensor, /) -> Candidates:
        n = len(images)
        boxes = torch.tensor([[1.0, 1, 5, 5], [2, 2, 8, 9]])[self.order] + self.shift
        return Candidates(boxes[None, :, None].expand(n, 2, 1, 4), self.scores.log()[None, :, None].expand(n, 2, 1), torch.ones(n, 2) > 0)

    def decode(self, raw: Any, /) -> list[Any]:
        raise NotImplementedError


def test_of_a_detector_scores_and_boxes_count_and_their_order_does_not(tmp_path: Path, dataset: Dataset) -> None:
    def ask(model: AnyModel | Boxes) -> str:
        return identify(RunFolder(tmp_path / "run"), "m", model, dataset, [0], "cpu")  # type: ignore[arg-type]

    first = ask(Boxes((0.9, 0.3)))
    assert ask(Boxes((0.9, 0.3), order=(1, 0))) == first
    assert ask(Boxes((0.9, 0.31))) != first
    assert ask(Boxes((0.9, 0.3), shift=0.5)) != first


class Masked(nn.Module):
    """Classes that are not in use are masked, as many models do; the weight is a plain tensor."""

    def __init__(self, change: float, mask: float) -> None:
        super().__init__()
        weight = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
        self.weight, self.mask = weight + change * torch.randn(3, 100, generator=torch.Generator().manual_seed(1)), mask

    def forward(self, x: Tensor) -> Tensor:
        scores = x.mean((2, 3)) @ self.weight
        scores[:, 4:] = self.mask
        return scores


@pytest.mark.parametrize("mask", [-1e9, -1e4, -100.0])
def test_one_huge_number_hides_no_change(mask: float, tmp_path: Path, dataset: Dataset) -> None:
    def ask(change: float) -> str:
        model = classifier(Masked(change, mask), name="m", classes=Labels.numbered(100))
        return identify(RunFolder(tmp_path / "run"), "m", model, dataset, [0, 1], "cpu")

    assert ask(0.0) == ask(1e-7) != ask(0.1)


def test_a_model_that_fails_on_one_image_is_known_by_its_other_answers(ask: Ask) -> None:
    class Picky(Plain):
        def forward(self, x: Tensor) -> Tensor:
            if float((x - 0.5).abs().max()) < 1e-6:
                raise ValueError("a blank image")
            return super().forward(x)

    assert ask(Picky(0)) == ask(Picky(0)) != ask(Picky(1))


def test_a_detector_with_nothing_to_say_of_noise_is_known_by_what_it_says_of_the_data(tmp_path: Path) -> None:
    white = numpy.full((2, 10, 14, 3), 255, numpy.uint8)
    numpy.savez(tmp_path / "d.npz", images=white, labels=numpy.array([0, 1]))
    data = DATASETS.build(f"npz:{tmp_path / 'd.npz'}")

    class White(Plain):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if float(x.min()) > 0.99 else torch.zeros(len(x), 3)

    def ask(seed: int) -> str:
        model = classifier(White(seed), name="m", classes=CLASSES)
        return identify(RunFolder(tmp_path / "run"), "m", model, data, [0, 1], "cpu")

    assert ask(0) == ask(0) != ask(1)
