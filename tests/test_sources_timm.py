"""timm's classifiers: the input size, crop and normalisation of their own configuration; weights from here or a clear error."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor
from torchvision.transforms import v2

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build

MODELS = ["test_resnet", "test_vit", "test_efficientnet", "test_convnext"]


def photo(n: int = 2, height: int = 181, width: int = 203) -> Tensor:
    return torch.rand((n, 3, height, width), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [*MODELS, "resnet18", "mobilenetv3_small_050.lamb_in1k"])
def test_preparation_follows_the_model_s_own_configuration(name: str) -> None:
    model: Any = build(f"timm:{name}")
    config = resolve_data_config({}, model=model.module.net)
    side = config["input_size"][-1]
    steps = [
        v2.Resize(int(side / config["crop_pct"]), v2.InterpolationMode(config["interpolation"]), antialias=True),
        v2.CenterCrop(side),
        v2.Normalize(config["mean"], config["std"]),
    ]
    x = photo()
    torch.testing.assert_close(model.module.prepare(x), v2.Compose(steps)(x))
    torch.testing.assert_close(model.raw(x).values, model.module.net(v2.Compose(steps)(x)), rtol=1e-4, atol=1e-4)


def test_squashing_models_see_the_whole_image() -> None:
    name = "caformer_s18.sail_in1k_384"
    model: Any = build(f"timm:{name}(num_classes=2)")
    squash = timm.get_pretrained_cfg(name).crop_mode == "squash"
    assert (model.module.prepare.short is None) == squash


def test_a_thousand_classes_are_imagenet_s() -> None:
    names = build("timm:test_resnet").info.classes.names
    assert names[:2] == ("tench", "goldfish")
    assert len(set(names)) == 1000
    assert build("timm:test_resnet").info.classes == build("torchvision:squeezenet1_1").info.classes


def test_other_classes_are_named_by_the_user_or_numbered() -> None:
    assert build("timm:test_resnet(classes='cat,dog')").info.classes.names == ("cat", "dog")
    assert build("timm:test_resnet(num_classes=7)").info.classes.are_numbered
    assert build("timm:test_resnet(num_classes=1000)").info.classes.are_numbered


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_an_input_size_of_one_s_own(name: str) -> None:
    model: Any = build(f"timm:{name}(input_size=64)")
    assert model.module.prepare(photo()).shape[-2:] == (64, 64)
    assert model.raw(photo()).values.shape == (2, 1000)


def test_random_weights_are_the_same_every_time_and_the_name_says_so() -> None:
    torch.manual_seed(1)
    first = build("timm:test_resnet")
    torch.manual_seed(2)
    assert first.info == build("timm:test_resnet").info
    assert first.info.name == "test_resnet (random weights)"


def test_a_checkpoint_of_one_s_own(tmp_path: Path) -> None:
    torch.manual_seed(5)
    source = timm.create_model("test_resnet", num_classes=2).eval()
    torch.save(source.state_dict(), tmp_path / "mine.pth")
    model: Any = build(f"timm:test_resnet(checkpoint={str(tmp_path / 'mine.pth')!r}, classes='cat,dog')")
    assert model.info.name == "test_resnet"
    torch.testing.assert_close(model.raw(photo()).values, source(model.module.prepare(photo())), rtol=1e-4, atol=1e-4)


def test_weights_that_are_not_here_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    start = time.perf_counter()
    with pytest.raises(UserError, match=r"get https://.*/timm/test_vit3\.r160_in1k/resolve/main/model\.safetensors and put it in .*hub"):
        build("timm:test_vit3(pretrained=True)")
    assert time.perf_counter() - start < 5


def test_cached_weights_need_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch.manual_seed(6)
    source = timm.create_model("test_resnet").eval()
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr(
        "huggingface_hub.try_to_load_from_cache", lambda repo, file: str(tmp_path / file) if file.endswith("tensors") else None
    )
    model: Any = build("timm:test_resnet(pretrained=True)")
    assert model.info.name == "test_resnet"
    torch.testing.assert_close(model.raw(photo()).values, source(model.module.prepare(photo())), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("timm:tset_resnet", "did you mean 'test_resnet'"),
        ("timm:resnet50.no_such", "timm has resnet50 but not with those weights"),
        ("timm:test_resnet(pretrained=True, num_classes=3)", "1000 classes, not 3"),
        ("timm:test_resnet(pretrained=True, checkpoint='x.pth')", "not both"),
        ("timm:adv_inception_v3(pretrained=True)", "timm has no weights"),
        ("timm:deepseek_vit_412m.deepseek_v4_flash_vision_exp", "border"),
    ],
)
def test_wrong_requests_are_refused(spec: str, message: str) -> None:
    if "deepseek" in spec and not timm.is_model(spec.partition(":")[2]):
        pytest.skip("this timm has no model that pads")
    with pytest.raises(UserError, match=message):
        build(spec)
