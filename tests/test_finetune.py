"""A model taken to other classes: what is taken over, what learns, when it stops, and that the file gives the same model back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.transfer_learning.replace_head import head, replace_head
from robustbench_cv.registry import Spec
from robustbench_cv.training.finetune import Settings, finetune
from robustbench_cv.training.loop import Run, fit
from robustbench_cv.training.recipe import Recipe, Schedule
from robustbench_cv.training.training_set import TrainingSet
from robustbench_cv.types import Labels, predict
from tests.test_training import COLOURS, Squares, Tiny

pytestmark = pytest.mark.usefixtures("one_thread")


def state(model: Any) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = model.module.state_dict()
    return found


@pytest.mark.parametrize(
    ("spec", "fresh"),
    [
        ("timm:test_resnet(input_size=64)", {"net.fc.weight", "net.fc.bias"}),
        ("torchvision:squeezenet1_1(input_size=64)", {"net.classifier.1.weight", "net.classifier.1.bias"}),
        ("cifar-resnet20.scenes", {"net.linear.weight", "net.linear.bias"}),
        ("unet.scenes", {"net.head.weight", "net.head.bias"}),
    ],
)
def test_all_but_the_head_is_taken_over(spec: str, fresh: set[str]) -> None:
    donor, found = build(spec), replace_head(spec, COLOURS)
    if not found.fresh >= fresh:
        assert found.fresh == {name for name in found.fresh if name.endswith((".weight", ".bias"))}
    assert len(found.fresh) == 2
    assert found.model.info.classes == COLOURS
    for name, tensor in state(found.model).items():
        if name not in found.fresh:
            assert torch.equal(tensor, state(donor)[name]), name


def test_the_same_classes_keep_the_head() -> None:
    donor = build("lenet5.scenes")
    found = replace_head("lenet5.scenes", donor.info.classes)
    assert not found.fresh
    assert all(torch.equal(tensor, state(donor)[name]) for name, tensor in state(found.model).items())


def test_a_network_keeps_the_arguments_that_its_weights_record() -> None:
    assert str(replace_head("cifar-resnet20.scenes", COLOURS).spec) == "cifar-resnet20(stem=2)"
    assert len(head(Spec.parse("timm:test_vit(input_size=64)"), 3)) == 2


def test_a_comma_in_a_class_name_is_refused() -> None:
    with pytest.raises(UserError, match="tench, tinca"):
        replace_head("lenet5", Labels(("tench, tinca", "car")))


@pytest.mark.parametrize(
    ("spec", "task", "size"),
    [("timm:test_resnet(input_size=64)", "classification", 32), ("unet(width=4)", "segmentation", "")],
)
def test_a_finetuned_model_learns_and_its_file_gives_it_back(spec: str, task: Any, size: Any, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    data = Squares(task, count=40)
    card = finetune(spec, data=data, out=out, settings=Settings(epochs=20, rate=1e-2, batch=4, size=size))
    assert min(card.metrics.values()) > 0.85
    model = build(f"finetuned:{out}")
    assert model.info.classes == COLOURS
    assert model.info.task == task
    sample = data[0]
    assert predict(model, sample.image[None])
    assert not (tmp_path / "mine.training").exists()
    again = replace_head(f"finetuned:{out}", COLOURS)
    assert not again.fresh
    assert all(torch.equal(tensor, state(model)[name]) for name, tensor in state(again.model).items())
    assert torch.equal(model.raw(sample.image[None]).values, build(f"finetuned:{out}").raw(sample.image[None]).values)  # type: ignore[union-attr]


def test_a_frozen_training_moves_the_head_alone(tmp_path: Path) -> None:
    spec = "timm:test_resnet(input_size=64)"
    out = tmp_path / "frozen.safetensors"
    finetune(spec, data=Squares("classification"), out=out, settings=Settings(frozen=True, epochs=2, batch=8))
    begun, after = replace_head(spec, COLOURS), state(build(f"finetuned:{out}"))
    moved = {name for name, tensor in state(begun.model).items() if not torch.equal(tensor, after[name])}
    assert moved == begun.fresh


def test_it_stops_when_held_out_data_say_so_and_keeps_the_best() -> None:
    pool = TrainingSet(COLOURS, torch.zeros(8, 3, 8, 8, dtype=torch.uint8), torch.tensor([0, 1] * 4), "")
    scores = iter([3.0, 1.0, 2.0, 2.0, 2.0])
    weights: list[dict[str, torch.Tensor]] = []

    def judge(network: torch.nn.Module) -> float:
        assert not network.training
        weights.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return next(scores)

    recipe = Recipe(
        name="tiny", architecture="tiny", task="classification", network=lambda pool: Tiny(),
        loss=lambda n, x, y: n(x).square().sum() + 1, augment=lambda x, y, rng: (x, y),
        schedule=Schedule(epochs=50, batch=4), metrics=(), size=(8, 8),
    )  # fmt: skip
    network = Tiny()
    fit(network, pool, Run(recipe=recipe, epochs=50, seed=0, judge=judge, patience=3))
    assert len(weights) == 5
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in network.state_dict().items())


def test_what_cannot_be_finetuned_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs data for classification"):
        finetune("lenet5", data=Squares("segmentation"), out=tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="leave out --frozen"):
        finetune(
            "lenet5(classes='red,blue')", data=Squares("classification"), out=tmp_path / "a.safetensors", settings=Settings(frozen=True)
        )
    save_file({"a": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(UserError, match=r"does not say what network"):
        build(f"finetuned:{tmp_path / 'b.safetensors'}")
