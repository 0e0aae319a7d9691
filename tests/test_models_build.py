"""From a spec to a model: tags, devices, users' files, and errors that say what to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from robustbench_cv.errors import ForeignError, UserError
from robustbench_cv.models.adapt import Classifier, Segmenter
from robustbench_cv.models.build import build, describe
from robustbench_cv.models.labels import class_names
from robustbench_cv.registry import Spec
from robustbench_cv.types import ClassPrediction, predict

FILE = '''
import torch
from torch import nn

def net(width=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))

def masks():
    return nn.Conv2d(3, 2, 1)

def text():
    return "no model"

def detector():
    from torchvision.models.detection import fcos_resnet50_fpn
    return fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=64)

class Own:
    """Satisfies the protocol and imports nothing."""
    class info:
        name, task, weights_sha256, parameters, operating_score = "own", "classification", "abc", 0, 0.25
        class classes:
            names = ("a", "b")
            are_numbered = False
            def __len__(self): return 2
        classes = classes()
    def raw(self, images): return images.mean((2, 3))
    def decode(self, raw): return ["decoded"]

def own(): return Own()
'''


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(FILE)
    return str(tmp_path / "mine.py")


def test_a_bare_module_is_adapted_by_what_is_said_about_it(file: str) -> None:
    model = build(
        f"{file}:net(task='classification', classes='car,boat,cow', width=6, mean='0.5,0.5,0.5', std='0.2,0.2,0.2', input_size=12)"
    )
    assert isinstance(model, Classifier)
    assert model.info.classes.names == ("car", "boat", "cow")
    assert model.module.prepare.size == (12, 12)
    assert not model.module.training
    prediction = predict(model, torch.rand(1, 3, 20, 30))[0]
    assert isinstance(prediction, ClassPrediction)
    assert prediction.probs.sum().item() == pytest.approx(1)


def test_facts_come_as_arguments_too(file: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("road\nsky\n")
    model = build(Spec.parse(f"{file}:masks"), task="segmentation", classes=str(tmp_path / "names.txt"))
    assert isinstance(model, Segmenter)
    assert model.info.classes.names == ("road", "sky")
    assert model.info.name.endswith("mine.py:masks")


def test_a_checkpoint_goes_into_a_bare_module(file: str, tmp_path: Path) -> None:
    state = {k: torch.ones_like(v) for k, v in build(f"{file}:net(task='classification', classes='a,b,c')").module.net.state_dict().items()}  # type: ignore[union-attr]
    torch.save(state, tmp_path / "w.pt")
    model: Any = build(f"{file}:net(task='classification', classes='a,b,c', checkpoint={str(tmp_path / 'w.pt')!r})")
    assert (model.module.net[0].weight == 1).all()


def test_a_torchvision_detector_of_one_s_own_is_adapted(file: str) -> None:
    model: Any = build(f"{file}:detector(task='detection', classes='a,b')")
    assert model.info.task == "detection"
    assert model.raw(torch.rand(1, 3, 40, 50)).log_score.shape[-1] == 2


def test_a_model_is_taken_as_it_is(file: str) -> None:
    model = build(f"{file}:own")
    assert model.info.name == "own"
    assert model.decode(model.raw(torch.rand(1, 3, 4, 4))) == ["decoded"]  # type: ignore[arg-type, comparison-overlap]
    assert describe(model)["device"] == "unknown"
    with pytest.raises(UserError, match="leave out task"):
        build(f"{file}:own", task="classification")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("net", "bare Sequential; say what it is: task='classification'"),
        ("net(task='classification')", "classes=None"),
        ("net(task='classify', classes='a,b,c')", "task='classify'"),
        ("net(task='classification', classes='a,b,c', depth=3)", r"nothing takes depth; the factory is \(width=4\)"),
        ("net(task='detection', classes='a,b,c')", "raw\\(images\\) -> Candidates"),
        ("net(task='classification', classes='a,b,c', mean='red', std='1')", "mean='red' is not a list of numbers"),
        ("net(task='classification', classes='a,a,c')", "'a' twice"),
        ("nett", r"no function 'nett'"),
    ],
)
def test_what_is_missing_is_said(file: str, call: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(f"{file}:{call}")


def test_a_factory_that_returns_no_model_is_named(file: str) -> None:
    with pytest.raises(ForeignError, match=r"function text must return a model .* or a torch module; it returned a str, which has no info"):
        build(f"{file}:text(task='classification', classes='a')")


@pytest.mark.parametrize("spec", [f"lenet5(checkpoint='{'a' * 400}')", f"{'a' * 400}.py:build"])
def test_a_path_that_no_system_takes_is_refused(spec: str) -> None:
    with pytest.raises(UserError, match="cannot be looked for: File name too long"):
        build(spec)
    with pytest.raises(UserError, match="cannot be looked for"):
        class_names(f"{'a' * 400}.txt")


def test_a_tag_is_the_weights_argument() -> None:
    with pytest.raises(UserError, match="lenet5 has no bundled weights 'no-such-tag'"):
        build("lenet5.no-such-tag")


def test_unknown_names_suggest() -> None:
    with pytest.raises(UserError, match="did you mean 'lenet5'"):
        build("lenet")
    with pytest.raises(UserError, match="did you mean 'lenet5'"):
        build("lenett.scenes")


def test_unknown_arguments_are_refused() -> None:
    with pytest.raises(UserError, match="nonsense"):
        build("lenet5", nonsense=3)


def test_arguments_beside_the_spec_count() -> None:
    assert len(build("lenet5", num_classes=7).info.classes) == 7
    assert len(build("lenet5(num_classes=5)", num_classes=7).info.classes) == 7


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="no device 'nowhere' here"):
        build("lenet5", device="nowhere")


def test_a_description_counts_what_is_there() -> None:
    model: Any = build("lenet5")
    row = describe(model)
    assert row["parameters"] == sum(p.numel() for p in model.module.parameters())
    assert row["task"] == "classification"
    assert row["classes"] == len(model.info.classes)
    assert row["device"] == "cpu"


@pytest.mark.parametrize("text", ["a,,b", "a,b,a", ""])
def test_class_names_are_one_each(text: str) -> None:
    with pytest.raises(UserError, match="a name of its own"):
        class_names(text)


def test_a_missing_class_file_is_named() -> None:
    with pytest.raises(UserError, match=r"no file nowhere\.txt"):
        class_names("nowhere.txt")
