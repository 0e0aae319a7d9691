"""Segmenters of torchvision, segmentation_models_pytorch and transformers: their own scores, and clear errors for what is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torchvision import models
from torchvision.transforms.v2.functional import normalize

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PUBLISHED = {"b0": 3.8, "b1": 13.7, "b2": 27.5, "b3": 47.3, "b4": 64.1, "b5": 84.7}
"""Millions of parameters, table 1 of arXiv:2105.15203."""


@pytest.fixture(autouse=True)
def _no_network(one_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def photos(height: int = 64, width: int = 96) -> Tensor:
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def scores(model: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        values: Tensor = model.raw(x).values
    return values


# --- torchvision -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "builder"), [("deeplabv3", "deeplabv3_resnet50"), ("fcn_resnet50", "fcn_resnet50")])
def test_with_their_auxiliary_heads_they_are_torchvisions_published_size(name: str, builder: str) -> None:
    info: dict[str, Any] = models.get_model_weights(builder).DEFAULT.meta  # type: ignore[attr-defined]
    with torch.device("meta"):
        whole = models.get_model(builder, weights=None, weights_backbone=None, aux_loss=True, num_classes=21)
    head = sum(p.numel() for key, p in whole.named_parameters() if key.startswith("aux_"))
    assert build(name, device="meta").info.parameters == info["num_params"] - head


def test_names_and_settings_reach_torchvision() -> None:
    model: Any = build("lraspp(num_classes=4, min_size=0)")
    assert model.info.name == "lraspp (random weights)"
    net = model.module.net
    x = photos()
    with torch.no_grad():
        expected = net(normalize(x, MEAN, STD))["out"]
    torch.testing.assert_close(scores(model, x), expected)
    assert build("deeplabv3(backbone='mobilenet_v3_large')", device="meta").info.name.startswith("deeplabv3-mobilenet-v3-large")
    with pytest.raises(UserError, match="no lraspp on 'resnet50'; it has mobilenet_v3_large"):
        build("lraspp(backbone='resnet50')")


def test_published_torchvision_weights_say_where_they_belong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"get https://download\.pytorch\.org/models/lraspp_.*put it in"):
        build("lraspp(weights='DEFAULT')")


# --- segmentation_models_pytorch -------------------------------------------------------------------------------------------------


@pytest.fixture
def smp() -> Any:
    return pytest.importorskip("segmentation_models_pytorch", reason="the extra 'segmentation' is not installed")


@pytest.mark.parametrize(
    "name", ["Unet", "UnetPlusPlus", "Linknet", "FPN", "PSPNet", "DeepLabV3Plus", "PAN", "MAnet", "UPerNet", "Segformer"]
)
def test_every_architecture_gives_the_librarys_own_scores(smp: Any, name: str) -> None:
    model: Any = build(f"smp:{name}(encoder='resnet18', num_classes=3)")
    assert model.info.name == f"{name} resnet18 (random weights)"
    theirs = getattr(smp, name)("resnet18", encoder_weights=None, classes=3).eval()
    theirs.load_state_dict(model.module.net.network.state_dict())
    x = photos(128, 128) if name == "PAN" else photos(64, 32)  # PAN pools features at a sixteenth three times
    with torch.no_grad():
        torch.testing.assert_close(scores(model, x), theirs(normalize(x, MEAN, STD)))


def test_sides_that_the_stride_does_not_divide_are_padded_by_the_border(smp: Any) -> None:
    model: Any = build("smp:FPN(encoder='resnet18', num_classes=3)")
    x = photos(50, 70)
    found = scores(model, x)
    assert found.shape == (2, 3, 50, 70)
    torch.testing.assert_close(found, scores(model, F.pad(x, (0, 26, 0, 14), mode="replicate"))[..., :50, :70])


def test_an_image_too_small_for_an_architecture_is_padded_to_what_it_can_see(smp: Any) -> None:
    model: Any = build("smp:PAN(encoder='resnet18', num_classes=3)")
    x = photos(64, 96)
    found = scores(model, x)
    assert found.shape == (2, 3, 64, 96)
    torch.testing.assert_close(found, scores(model, F.pad(x, (0, 32, 0, 64), mode="replicate"))[..., :64, :96])


def test_timm_models_serve_as_encoders_and_a_checkpoint_fills_them(smp: Any, tmp_path: Path) -> None:
    first: Any = build("smp:Unet(encoder='tu-test_resnet', classes='sky,road')")
    state = {key: tensor + 0.01 if tensor.is_floating_point() else tensor for key, tensor in first.module.net.network.state_dict().items()}
    path = tmp_path / "mine.safetensors"
    save_file(state, path)
    model: Any = build(f"smp:Unet(encoder='tu-test_resnet', classes='sky,road', checkpoint={str(path)!r})")
    assert model.info.name == "Unet tu-test_resnet"
    assert model.info.classes.names == ("sky", "road")
    assert model.info.weights_sha256 != first.info.weights_sha256
    with pytest.raises(UserError, match=r"smp:Unet, .*mine\.safetensors"):
        build(f"smp:Unet(encoder='tu-test_resnet', num_classes=3, checkpoint={str(path)!r})")


def test_random_weights_are_the_same_every_time(smp: Any) -> None:
    spec = "smp:FPN(encoder='resnet18')"
    first = build(spec).info.weights_sha256
    torch.rand(5)
    assert build(spec).info.weights_sha256 == first


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smp:Unt", "no architecture 'unt'; did you mean 'unet'"),
        ("smp:Unet(encoder='resnet19')", "no encoder 'resnet19'; did you mean 'resnet18'"),
        ("smp:Unet(encoder='tu-resnet19')", "no timm encoder 'resnet19'; did you mean 'resnet18'"),
        ("smp:Unet(encoder='resnet18', encoder_weights='imagnet')", "no weights of resnet18 'imagnet'; did you mean 'imagenet'"),
        ("smp:DPT(encoder='resnet18')", "cannot stand on 'resnet18'"),
        ("smp:Unet(classes='a,b', num_classes=3)", "2 class names for num_classes=3"),
    ],
)
def test_wrong_names_are_named(smp: Any, spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(spec)


@pytest.mark.parametrize(
    ("encoder", "repository"), [("resnet18", "smp-hub/resnet18.imagenet"), ("tu-test_resnet", r"timm/test_resnet\.r160_in1k")]
)
def test_published_encoders_say_where_they_belong(smp: Any, encoder: str, repository: str) -> None:
    with pytest.raises(UserError, match=rf"{encoder}: its weights are not on this machine.*{repository}/resolve/.*hf download"):
        build(f"smp:Unet(encoder={encoder!r}, encoder_weights='imagenet')")


def test_encoder_weights_bring_their_own_normalisation(smp: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In units of 0-255 or not: what reaches the network is (pixel - mean) / std in the encoder's range."""
    import robustbench_cv.models.sources.smp as source

    settings = {"input_space": "RGB", "input_range": [0, 255], "mean": [100.0, 110.0, 120.0], "std": [50.0, 51.0, 52.0]}
    monkeypatch.setattr(smp.encoders, "get_preprocessing_params", lambda encoder, pretrained: settings)
    monkeypatch.setattr(source, "_downloadable", lambda library, encoder, weights: None)
    create = smp.create_model
    monkeypatch.setattr(smp, "create_model", lambda name, **options: create(name, **{**options, "encoder_weights": None}))
    model: Any = build("smp:FPN(encoder='resnet18', encoder_weights='imagenet')")
    assert model.info.name == "FPN resnet18 (only the encoder trained: imagenet)"
    x = photos()
    torch.testing.assert_close(model.module.prepare(x), normalize(255 * x, settings["mean"], settings["std"]))  # type: ignore[arg-type]
    settings["input_space"] = "BGR"
    with pytest.raises(UserError, match="takes BGR images"):
        build("smp:FPN(encoder='resnet18', encoder_weights='imagenet')")


# --- transformers ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="the extra 'huggingface' is not installed")


@pytest.mark.parametrize(("size", "millions"), PUBLISHED.items())
def test_segformers_have_the_papers_sizes(transformers: Any, size: str, millions: float) -> None:
    assert build(f"segformer(size={size!r})", device="meta").info.parameters / 1e6 == pytest.approx(millions, abs=0.05)


def tiny(transformers: Any, **more: Any) -> Any:
    config = transformers.SegformerConfig(
        depths=(1, 1, 1, 1), hidden_sizes=(8, 8, 8, 8), num_attention_heads=(1, 1, 1, 1), decoder_hidden_size=8, num_labels=3, **more
    )
    torch.manual_seed(0)
    return transformers.SegformerForSemanticSegmentation(config).eval()


def test_a_published_segformer_brings_names_size_and_normalisation(transformers: Any, tmp_path: Path) -> None:
    theirs = tiny(transformers, id2label={0: "sky", 1: "door", 2: "door"})
    theirs.save_pretrained(tmp_path)
    transformers.SegformerImageProcessor(size={"height": 64, "width": 96}, image_mean=[0.4] * 3, image_std=[0.3] * 3).save_pretrained(
        tmp_path
    )
    model: Any = build(f"segformer(weights={str(tmp_path)!r})")
    assert model.info.classes.names == ("sky", "door", "door (2)")
    x = photos()
    with torch.no_grad():
        logits = theirs(pixel_values=normalize(x, [0.4] * 3, [0.3] * 3)).logits
    torch.testing.assert_close(scores(model, x), F.interpolate(logits, (64, 96), mode="bilinear", align_corners=False))
    assert model.module.prepare(photos(30, 40)).shape[-2:] == (64, 96)
    with pytest.raises(UserError, match="2 class names for 3 outputs"):
        build(f"segformer(weights={str(tmp_path)!r}, classes='a,b')")


def test_a_published_segformer_that_is_not_here_is_named(transformers: Any) -> None:
    with pytest.raises(UserError, match=r"nvidia/segformer-b0.*not on this machine.*hf download nvidia/segformer-b0"):
        build("segformer(weights='nvidia/segformer-b0-finetuned-ade-512-512')")
    with pytest.raises(UserError, match="it has b0, b1"):
        build("segformer(size='b9')")


# --- without the libraries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "spec", "extra"),
    [("segmentation_models_pytorch", "smp:Unet", "segmentation"), ("transformers", "segformer", "huggingface")],
)
def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, package: str, spec: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=rf"pip install 'robustbench-cv\[{extra}\]'"):
        build(spec)


def test_listing_needs_neither_library() -> None:
    code = (
        "import sys; from robustbench_cv.catalogue import MODELS; names = MODELS.names();"
        "assert {'smp', 'segformer', 'deeplabv3', 'lraspp'} <= set(names);"
        "assert not {'transformers', 'segmentation_models_pytorch', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
