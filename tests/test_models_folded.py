"""The faster twin: the same function, made without touching the model; what an attack finds on it holds on the model."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FrozenBatchNorm2d

from robustbench_cv.adversary import run
from robustbench_cv.catalogue import ATTACKS, MODELS
from robustbench_cv.models.adapt import classifier, weights_sha256
from robustbench_cv.models.batch_norm_folding import Folded, fold, fold_batch_norms
from robustbench_cv.noise import Noise
from robustbench_cv.types import ClassTarget, Labels, Logits, Model
from tests.adversary_models import images


def filled(module: nn.Module) -> nn.Module:
    """Batch norms as training leaves them, not the identity that they are at first."""
    draw = torch.Generator().manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d | FrozenBatchNorm2d):
            for values, low in ((part.running_mean, -0.5), (part.running_var, 0.5), (part.weight, 0.5), (part.bias, -0.5)):
                cast(Tensor, values).data.copy_(low + torch.rand(values.shape, generator=draw))  # type: ignore[union-attr]
    return module.eval().requires_grad_(False)


class Wired(nn.Module):
    """A convolution and its norm, wired so that they may or may not be folded."""

    def __init__(self, wiring: str) -> None:
        super().__init__()
        self.wiring = wiring
        self.conv, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.other = nn.Conv2d(3, 3, 1)
        if wiring == "frozen norm":
            self.norm = FrozenBatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        match self.wiring:
            case "one after the other" | "frozen norm":
                if y.shape[-1] > 2:  # a choice that symbolic tracing cannot follow
                    y = self.norm(y)
            case "called twice":
                y = self.norm(self.conv(self.norm(y)))
            case "also read elsewhere":
                y = self.norm(y) + y
            case "also read by a function":
                y = self.norm(y) + F.relu(y)
            case "norm of two":
                y = self.norm(y) + self.norm(self.other(x))
            case "norm of a sum":
                y = self.norm(y + x)
            case "once without norm":
                y = self.norm(y) + self.conv(x)
            case _:
                y = self.norm(self.other(y))
        return y.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("wiring", "folded"),
    [
        ("one after the other", 1),
        ("frozen norm", 1),
        ("called twice", 1),
        ("by the second", 1),
        ("also read elsewhere", 0),
        ("also read by a function", 0),
        ("norm of two", 0),
        ("norm of a sum", 0),
        ("once without norm", 0),
    ],
)
def test_only_a_norm_that_alone_reads_one_convolution_is_folded(wiring: str, folded: int) -> None:
    module, x = filled(Wired(wiring)), images(2)
    before = module(x)
    assert fold_batch_norms(module, lambda: module(x)) == folded
    torch.testing.assert_close(module(x), before, rtol=0, atol=1e-5)
    assert isinstance(module.norm, nn.Identity) == bool(folded)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_training_mode_and_norms_of_the_batch_are_left_alone() -> None:
    x = images(2)
    module = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)).eval()
    assert fold_batch_norms(module, lambda: module(x)) == 0
    training = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)).train()
    assert fold_batch_norms(training, lambda: training(x)) == 0


SPECS = ["cifar-resnet20.scenes", "densenet-mini.scenes", "mobilenet-v2-mini.scenes", "unet.scenes", "yolov3-small.scenes", "ssd300.scenes"]


@pytest.mark.parametrize("spec", SPECS)
def test_values_and_gradients_are_the_models_own(spec: str) -> None:
    model: Any = MODELS.build(spec.partition(".")[0], weights="scenes")
    x = images(2, side=64)
    held = weights_sha256(model.module)
    made = fold(model, x[:1])
    assert isinstance(made, Folded)
    norms, left = ([m for m in module.modules() if isinstance(m, nn.BatchNorm2d)] for module in (model.module, made.module))
    assert len(left) < len(norms)

    def value_and_grad(m: Any) -> tuple[Tensor, Tensor]:
        leaf = x.clone().requires_grad_()
        raw = m.raw(leaf)
        values = raw.values if hasattr(raw, "values") else raw.log_score.clamp(min=-20)
        (grad,) = torch.autograd.grad(values.square().mean(), leaf)
        return values.detach(), grad

    (a, da), (b, db) = value_and_grad(model), value_and_grad(made)
    torch.testing.assert_close(b, a, rtol=1e-3, atol=1e-3)
    # Rounding turns a few rectifiers and maxima at their kinks, so gradients are near each other, not equal.
    assert float(F.cosine_similarity(da.flatten(), db.flatten(), dim=0)) > 0.98
    assert weights_sha256(model.module) == held


@dataclass(frozen=True, eq=False)
class Wavering:
    """A model that adds noise of its own: no twin can be compared with it."""

    module: nn.Module
    info: Any

    def raw(self, x: Tensor, /) -> Logits:
        return Logits(self.module(x) + torch.rand(len(x), 5))

    def decode(self, raw: Logits, /) -> Any:
        raise NotImplementedError


def test_a_model_that_cannot_be_compared_serves_itself() -> None:
    model = Wavering(nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), None)
    assert fold(cast("Model[Logits]", model), images(1)) is cast(Any, model)

    class Bare:
        info = None

        def raw(self, x: Tensor, /) -> Logits:
            return Logits(x.mean(dim=(2, 3)))

        def decode(self, raw: Logits, /) -> Any:
            raise NotImplementedError

    bare = cast("Model[Logits]", Bare())
    assert fold(bare, images(1)) is bare


def small(seed: int) -> Any:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5))
    return classifier(filled(net), name="small", classes=Labels.numbered(5))


def test_what_holds_on_another_function_only_is_searched_for_again() -> None:
    """A twin of another function finds images that mean nothing to the model: every verdict is the model's own all the same."""
    model, stranger, x = small(0), small(1), images(6)
    truth = [ClassTarget(int(v)) for v in model.raw(x).values.argmax(dim=1)]
    attack, streams = ATTACKS.build("pgd(eps=24/255, steps=10)"), Noise(0, tuple("abcdef"))
    asked = []
    stranger.module.register_forward_pre_hook(lambda module, given: asked.append(len(given[0])))
    alone, helped = run(attack, model, x, truth, streams), run(attack, model, x, truth, streams, stranger)
    assert asked[0] == 6, "the search begins on the twin"
    predicted = model.raw(helped.images).values.argmax(dim=1)
    assert helped.success.tolist() == [int(p) != t.label for p, t in zip(predicted, truth, strict=True)]
    assert bool((helped.forwards > 0).all())
    assert int(helped.success.sum()) >= int(alone.success.sum()) - 1


def test_the_same_samples_break_on_the_twin() -> None:
    """At most one in 300 differs from the plain path, at a radius where a third of the samples break."""
    folder = os.environ.get("ROBUSTBENCH_CV_DATA")
    if not folder:
        pytest.skip("ROBUSTBENCH_CV_DATA names no folder with CIFAR-10 images and weights")
    path = Path(folder) / "cifar10"
    with numpy.load(path / "test_2000.npz") as data:
        x = torch.from_numpy(data["images"][:300]).permute(0, 3, 1, 2).contiguous().float() / 255
        truth = [ClassTarget(int(v)) for v in data["labels"][:300]]
    model: Any = MODELS.build(f"cifar-resnet20(checkpoint='{path / 'resnet20.safetensors'}')")
    attack, streams = ATTACKS.build("pgd(eps=0.4/255, steps=5)"), Noise(0, tuple(f"cifar/{i}" for i in range(300)))
    plain, fast = run(attack, model, x, truth, streams), run(attack, model, x, truth, streams, fold(model, x[:1]))
    assert 0.2 < float(plain.success.float().mean()) < 0.9
    assert int((plain.success != fast.success).sum()) <= 1


def test_a_copy_is_not_needed_to_hold_its_original() -> None:
    model = small(0)
    made = fold(model, images(1))
    again = copy.deepcopy(made)
    torch.testing.assert_close(again.raw(images(2)).values, made.raw(images(2)).values)
    assert replace(model).info is made.info
