"""A weights file that says which network it holds: it may name what is installed here, never code, a file or a download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from robustbench_cv.bundled_weights import FOLDER
from robustbench_cv.cli import main
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.weights.description import KEY
from robustbench_cv.registry import Spec
from robustbench_cv.training.finetune import Settings, finetune
from tests.test_training import Squares

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = tuple("abcdefghij")
FACTORY = """
import torch
from torch import nn
from pathlib import Path
Path({proof!r}).touch()
class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.features, self.fc = nn.Conv2d(3, 8, 3, 2, 1), nn.Linear(8, n)
    def forward(self, x):
        return self.fc(self.features(x).relu().mean((2, 3)))
def build(num_classes: int = 10):
    torch.manual_seed(0)
    return Net(num_classes)
"""


def described(path: Path, *, whole: bool = True, text: str | None = None, **said: Any) -> Path:
    """A LeNet-5 whose file says something else; whole: with the names of the whole model, as fine-tuning writes it."""
    model: Any = build("lenet5.scenes")
    state = (model.module if whole else model.module.net).state_dict()
    about = {"architecture": "lenet5", "classes": CLASSES, "input_size": (32, 32), "mean": None, "std": None, "arguments": {}} | said
    save_file({name: tensor.clone() for name, tensor in state.items()}, path, {KEY: json.dumps(about) if text is None else text})
    return path


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A module that leaves a mark when it runs."""
    (tmp_path / "mine.py").write_text(FACTORY.format(proof=str(tmp_path / "ran")))
    return tmp_path / "mine.py"


def test_a_file_that_names_an_architecture_is_its_network(tmp_path: Path) -> None:
    model: Any = build(f"finetuned:{described(tmp_path / 'a.safetensors')}")
    expected: Any = build("lenet5.scenes")
    assert model.info.classes.names == CLASSES
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.raw(x).values, expected.module.net(x))


@pytest.mark.parametrize("call", ["", ":build", ":build(num_classes=3)"])
def test_a_file_that_names_code_runs_none(call: str, code: Path, tmp_path: Path) -> None:
    path = described(tmp_path / "a.safetensors", architecture=f"{code}{call}")
    with pytest.raises(UserError, match=r"which is code.*architecture='\.\.\.'"):
        build(f"finetuned:{path}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("timm:resnet18(pretrained=True)", "with pretrained=True"),
        ("torchvision:resnet18(weights='DEFAULT')", "with weights='DEFAULT'"),
        ("smp:Unet(encoder_weights='imagenet')", "with encoder_weights='imagenet'"),
        ("lenet5(checkpoint='/etc/passwd')", "with checkpoint="),
        ("hf:facebook/detr-resnet-50", "reads files of its own"),
        ("darknet:yolov3.cfg", "reads files of its own"),
        ("gallery:facenet", "reads files of its own"),
        ("finetuned:other.safetensors", "reads files of its own"),
        ("ultralytics:best.pt", "names a file or an address"),
        ("ultralytics:runs/best", "names a file or an address"),
        ("detr(backbone='hf-hub:someone/something')", "names a file or an address"),
        ("timm:mine.py", "which is code"),
        ("nothing-of-ours", "not registered in this package"),
        ("lenet5(", "no spec|not registered"),
        (" ", "no spec"),
    ],
)
def test_a_file_names_no_file_and_no_download(architecture: str, reason: str, tmp_path: Path) -> None:
    path = described(tmp_path / "a.safetensors", architecture=architecture)
    with pytest.raises(UserError, match=reason):
        build(f"finetuned:{path}")


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        ("unet(width=100000)", "which has .* numbers where the file holds 61,150"),
        ("unet(width=100000000)", "cannot be built"),
        ("unet(width=-3)", "cannot be built"),
        ("unet(width='x')", r"a\.safetensors says.*width"),
        ("lenet5(depth=3)", r"a\.safetensors says that its network is lenet5\(depth=3\)"),
        ("yolov3(width=0.5)", r"a\.safetensors says"),
        ("cifar-resnet20", "has 271,117 numbers"),
    ],
)
def test_sizes_that_cannot_be_are_an_error_before_memory_is_filled(architecture: str, reason: str, tmp_path: Path) -> None:
    path = described(tmp_path / "a.safetensors", architecture=architecture)
    with pytest.raises(UserError, match=reason):
        build(f"finetuned:{path}")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"input_size": "abc"}, r"input_size='abc' is not a height and a width"),
        ({"input_size": [-1, -1]}, "not a height and a width"),
        ({"input_size": [10**9, 10**9]}, "not a height and a width"),
        ({"mean": "abc", "std": [1, 1, 1]}, "mean='abc' is not three numbers"),
        ({"mean": [0.0, 0, 0], "std": [0, 0, 0]}, r"std=\[0, 0, 0\] is not three numbers.*above 0"),
        ({"mean": [float("nan")] * 3, "std": [1, 1, 1]}, "is not three numbers"),
        ({"arguments": {"depth": 3}}, "says depth=3, which lenet5 does not have"),
        ({"arguments": {"depth": "3"}}, "depth='3' is no whole number"),
        ({"classes": "abc"}, "classes are no list of names"),
        ({"classes": ["a"] * 10}, "classes name 'a' twice"),
        ({"architecture": 3}, "architecture=3 is no text"),
        ({"text": "[" * 100_000}, "nested too deeply"),
        ({"text": "[]"}, "cannot be read"),
        ({"text": "{}"}, "has no 'architecture'"),
    ],
)
def test_metadata_that_say_what_cannot_be_are_named(said: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = described(tmp_path / "a.safetensors", whole=False, **said)
    with pytest.raises(UserError, match=reason):
        build(f"lenet5(checkpoint={str(path)!r})")


@pytest.mark.filterwarnings("ignore::UserWarning")  # loading into the meta device keeps no number
def test_what_bundled_files_say_is_what_their_architectures_take() -> None:
    for path in sorted(FOLDER.glob("*.safetensors")):
        name = path.name.removesuffix(".safetensors")
        assert build(name, device="meta").info.parameters > 0, name


def test_a_checkpoint_that_says_a_width_it_does_not_have_fills_no_memory(tmp_path: Path) -> None:
    path = described(tmp_path / "a.safetensors", whole=False, architecture="unet", arguments={"width": 100_000})
    with pytest.raises(UserError, match=r"unet\(width=100000\), which has .* numbers where the file holds 61,150"):
        build(f"unet(checkpoint={str(path)!r})")


def test_the_command_line_answers_with_one_sentence(code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = described(tmp_path / "a.safetensors", architecture=f"{code}:build")
    with pytest.raises(SystemExit) as stopped:
        main(["profile", f"finetuned:{path}", "--device", "cpu"])
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_a_network_of_ones_own_is_finetuned_and_named_by_the_user(code: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.safetensors"
    spec = f"{code}:build(task='classification', classes='{','.join(CLASSES)}')"
    card = finetune(spec, data=Squares("classification", count=40), out=out, settings=Settings(epochs=2, batch=8, size=32))
    network = f"{code}:build(task='classification')"
    assert card.name == f"finetuned:out.safetensors(architecture={network!r})"
    with pytest.raises(UserError, match="which is code"):
        build(f"finetuned:{out}")
    model: Any = build(str(Spec("finetuned", {"architecture": network}, str(out))))
    assert model.info.classes == Squares("classification").labels
    assert model.module.net.fc.out_features == len(model.info.classes)
    assert not torch.equal(model.module.net.features.weight, build(spec).module.net.features.weight)  # type: ignore[union-attr]
