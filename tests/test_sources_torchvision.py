"""torchvision's classifiers and segmenters: its own transforms, names, weights and errors, inside a model of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import models

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.sources.torchvision_builders import task_of
from robustbench_cv.types import MaskPrediction, predict


def photo(n: int = 2, height: int = 61, width: int = 83) -> Tensor:
    return torch.rand((n, 3, height, width), generator=torch.Generator().manual_seed(1))


def test_every_builder_of_the_three_tasks_is_offered_and_no_other() -> None:
    for module, task in ((models, "classification"), (models.segmentation, "segmentation"), (models.detection, "detection")):
        names = models.list_models(module=module)
        assert len(names) >= 6
        assert {task_of(name) for name in names} == {task}
    for name in ("r3d_18", "raft_large", "quantized_resnet18", "resnt18"):
        with pytest.raises(UserError, match="torchvision has no classifier"):
            task_of(name)


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "efficientnet_b1"])
def test_a_classifier_is_torchvision_s_transform_and_module(name: str) -> None:
    model: Any = build(f"torchvision:{name}")
    x = photo(1, 270, 251)
    transform = models.get_model_weights(name).DEFAULT.transforms()
    torch.testing.assert_close(model.raw(x).values, model.module.net(transform(x)))
    assert model.info.classes.names[:2] == ("tench", "goldfish")


def test_a_segmenter_is_torchvision_s_transform_and_module() -> None:
    model: Any = build("torchvision:lraspp_mobilenet_v3_large")
    x = photo(1)
    transform = models.get_model_weights("lraspp_mobilenet_v3_large").DEFAULT.transforms()
    low = model.module.net(transform(x))["out"]
    torch.testing.assert_close(model.raw(x).values, torch.nn.functional.interpolate(low, (61, 83), mode="bilinear"))
    prediction = predict(model, x)[0]
    assert isinstance(prediction, MaskPrediction)
    assert prediction.labels.shape == (61, 83)
    assert model.info.classes.names[0] == "background"
    assert len(model.info.classes) == 21


def test_sizes_of_one_s_own() -> None:
    model: Any = build("torchvision:squeezenet1_1(input_size=112)")
    assert model.module.prepare(photo()).shape[-2:] == (112, 112)
    assert model.module.prepare.short == 128
    low: Any = build("torchvision:lraspp_mobilenet_v3_large(min_size=122)")
    assert low.module.prepare(photo()).shape[-2:] == (122, 166)
    same: Any = build("torchvision:lraspp_mobilenet_v3_large(min_size=0)")
    assert same.module.prepare(photo()).shape[-2:] == (61, 83)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3", "resnet18"])
def test_random_weights_are_the_same_every_time_and_the_name_says_so(name: str) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = build(f"torchvision:{name}(num_classes=3)")
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = build(f"torchvision:{name}(num_classes=3)")
    assert first.info == second.info
    assert first.info.name == f"{name} (random weights)"
    assert first.info.classes.are_numbered


def test_a_checkpoint_of_one_s_own(tmp_path: Path) -> None:
    torch.manual_seed(3)
    source = models.get_model("shufflenet_v2_x0_5", weights=None, num_classes=2).eval()
    torch.save({"state_dict": {"module." + k: v for k, v in source.state_dict().items()}}, tmp_path / "mine.pth")
    model: Any = build(f"torchvision:shufflenet_v2_x0_5(checkpoint={str(tmp_path / 'mine.pth')!r}, classes='cat,dog')")
    assert model.info.name == "shufflenet_v2_x0_5"
    assert model.info.classes.names == ("cat", "dog")
    x = photo()
    torch.testing.assert_close(model.raw(x).values, source(model.module.prepare(x)))


def test_a_segmenter_s_checkpoint_may_have_its_auxiliary_head(tmp_path: Path) -> None:
    source = models.segmentation.fcn_resnet50(weights=None, weights_backbone=None, num_classes=2, aux_loss=True)
    torch.save(source.state_dict(), tmp_path / "aux.pth")
    model: Any = build(f"torchvision:fcn_resnet50(checkpoint={str(tmp_path / 'aux.pth')!r}, num_classes=2, min_size=64)")
    assert model.module.net.aux_classifier is not None
    assert model.raw(photo(1)).values.shape == (1, 2, 61, 83)


def test_weights_that_are_not_here_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, file in (("resnet18", "resnet18-f37072fd.pth"), ("fcos_resnet50_fpn", "fcos_resnet50_fpn_coco-99b0c9b7.pth")):
        with pytest.raises(UserError, match=f"get https://download.pytorch.org/models/{file} and put it in {tmp_path}"):
            build(f"torchvision:{name}(weights='DEFAULT')")


def test_published_weights_are_taken_from_torch_s_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(4)
    source = models.squeezenet1_1(weights=None).eval()
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(source.state_dict(), folder / models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1])
    model: Any = build("torchvision:squeezenet1_1(weights='IMAGENET1K_V1')")
    assert model.info.name == "squeezenet1_1"
    x = photo(1)
    torch.testing.assert_close(model.raw(x).values, source(model.module.prepare(x)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:resnet18(weights='IMAGENET1K_V9')", "it has IMAGENET1K_V1"),
        ("torchvision:resnet18(weights='DEFAULT', checkpoint='x.pth')", "not both"),
        ("torchvision:resnet18(weights='DEFAULT', classes='a,b')", "1000 outputs, not 2"),
        ("torchvision:resnt18", "did you mean 'resnet18'"),
        ("torchvision:resnet18(min_size=64)", "classification model, which has no min_size"),
        ("torchvision:fcn_resnet50(nms_thresh=0.5)", "segmentation model, which has no nms_thresh"),
        ("torchvision:fcos_resnet50_fpn(checkpoint='x/fcos_resnet50_fpn_coco-99b0c9b7.pth')", "weights='COCO_V1'"),
        ("torchvision", "missing a required argument: 'name'"),
    ],
)
def test_wrong_requests_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(spec)


def test_an_untrained_transformer_sees_the_size_it_was_built_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision builds vit_h_14 for 224 px, and its default weights are for 518: here with two layers of the thirty-two."""
    whole = models.vision_transformer._vision_transformer
    monkeypatch.setattr(models.vision_transformer, "_vision_transformer", lambda *a, **k: whole(*a, **k | {"num_layers": 2}))
    model: Any = build("torchvision:vit_h_14")
    with torch.no_grad():
        assert model.raw(photo(1)).values.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*models.list_models(module=models), *models.list_models(module=models.segmentation)])
def test_every_builder_builds_and_runs(name: str) -> None:
    model: Any = build(f"torchvision:{name}")
    with torch.no_grad():
        values = model.raw(photo(1)).values
    assert values.isfinite().all()
    assert values.shape[1] == len(model.info.classes)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.parametrize("auxiliary", [True, False])
def test_a_classifier_s_checkpoint_may_have_its_auxiliary_heads(name: str, auxiliary: bool, tmp_path: Path) -> None:
    with torch.random.fork_rng():
        source = models.get_model(name, weights=None, aux_logits=auxiliary, num_classes=3, init_weights=False).eval()
    path = tmp_path / "c.pth"
    torch.save({"module." + key: value for key, value in source.state_dict().items()}, path)
    model: Any = build(f"torchvision:{name}(checkpoint={str(path)!r}, num_classes=3)")
    assert model.info.parameters == sum(p.numel() for p in source.parameters())
    x = photo(1, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(model.raw(x).values, source(model.module.prepare(x)))


def test_another_library_s_network_without_auxiliary_heads_leaves_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with torch.random.fork_rng():
        source = models.inception_v3(weights=None, num_classes=3, init_weights=False)
    torch.save(source.state_dict(), tmp_path / "c.pth")
    model: Any = build(f"timm:inception_v3(checkpoint={str(tmp_path / 'c.pth')!r}, num_classes=3)")
    assert torch.equal(model.module.net.fc.bias, source.fc.bias)
    assert "left AuxLogits (12 tensors)" in caplog.text


def test_a_vision_transformer_is_built_for_its_size() -> None:
    model: Any = build("torchvision:vit_b_16(input_size=64, num_classes=3)")
    assert model.module.net.encoder.pos_embedding.shape == (1, 17, 768)
    assert model.raw(photo(1)).values.shape == (1, 3)


def test_published_position_embeddings_are_interpolated() -> None:
    """A network with weights is built as published, then brought to the size: between equal embeddings lies nothing else."""
    from torchvision.models import VisionTransformer

    from robustbench_cv.models.sources.torchvision_builders import Request
    from robustbench_cv.models.sources.torchvision_classification import _interpolate_positions

    network = VisionTransformer(image_size=64, patch_size=16, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8, num_classes=2)
    with torch.no_grad():
        network.encoder.pos_embedding[:, 0], network.encoder.pos_embedding[:, 1:] = 1.0, 2.0
    _interpolate_positions(Request("vit_b_16", "DEFAULT"), network, 96)
    positions = network.encoder.pos_embedding
    assert positions.shape == (1, 37, 8)
    torch.testing.assert_close(positions[:, 0], torch.ones(1, 8))
    torch.testing.assert_close(positions[:, 1:], torch.full((1, 36, 8), 2.0))
    assert network(torch.rand(1, 3, 96, 96)).shape == (1, 2)
    with pytest.raises(UserError, match="a multiple of 16, not 100"):
        _interpolate_positions(Request("vit_b_16", "DEFAULT"), network, 100)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("torchvision:vit_b_16(input_size=50)", "vit_b_16 cannot be built for input_size=50.*patch size"),
        ("torchvision:maxvit_t(input_size=64)", "maxvit_t cannot be built for input_size=64"),
        ("torchvision:squeezenet1_1(input_size=0)", "input_size=0 must be a whole number from 1"),
        ("torchvision:fcos_resnet50_fpn(min_size=0)", "a detector always scales its images"),
        ("timm:test_resnet(input_size=-3)", "input_size=-3 must be a whole number from 1"),
    ],
)
def test_sizes_that_a_network_cannot_have_are_named(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(spec)
