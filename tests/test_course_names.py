"""Every architecture that the courses teach is a row of `list models`, builds by its name, and its variants are arguments."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from robustbench_cv.catalogue import MODELS
from robustbench_cv.cli import cli
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.detectors.faster_rcnn_regions import OPERATORS
from robustbench_cv.types import Candidates, predict
from tests.laws.test_models import NAMED, installed

TAUGHT = {
    "classification": """
        shallow_cnn lenet5 alexnet zfnet overfeat vgg11 vgg13 vgg16 vgg19 network_in_network googlenet
        inception_bn inception_v3 inception_v4 inception_resnet_v2
        resnet18 resnet34 resnet50 resnet101 resnet152 plain18 plain34 plain50 plain101 plain152
        cifar_resnet20 cifar_resnet32 cifar_resnet44 cifar_resnet56 cifar_resnet110 cifar_resnet1202
        resnext50_32x4d resnext101_32x8d resnext101_64x4d seresnet50 senet154
        densenet121 densenet161 densenet169 densenet201 xception squeezenet
        mobilenet_v1 mobilenet_v2 mobilenet_v3 shufflenet_v1 shufflenet_v2 nasnet mnasnet vit convnext""",
    "segmentation": """
        sliding_window_segmenter fcn32s fcn16s fcn8s deconvnet segnet unet pspnet deeplabv3 deeplabv3plus lraspp segformer""",
    "detection": """
        localisation_regression sliding_window dpm rcnn sppnet fast_rcnn faster_rcnn mask_rcnn keypoint_rcnn retinanet fcos
        ssd300 ssd512 ssdlite yolov1 yolov2 yolov3 yolov1_tiny yolov2_tiny yolov3_tiny
        yolov5 yolov8 yolov9 yolov10 yolo11 yolo12 yolo26 detr rt_detr""",
    "embedding": "siamese facenet",
}
SOURCES = "timm torchvision smp hf ultralytics darknet"
NAMES = [(task, name) for task, names in TAUGHT.items() for name in names.split()]


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    result = CliRunner().invoke(cli, ["list", "models", "--json"])
    assert result.exit_code == 0
    return {row["name"]: row for row in json.loads(result.output)}


@pytest.mark.parametrize(("task", "name"), NAMES)
def test_it_is_listed_with_its_facts(task: str, name: str, rows: dict[str, dict[str, Any]]) -> None:
    row = rows[name.replace("_", "-")]
    assert row["task"] == task
    assert {"family", "year", "paper", "source", "parameters"} <= row.keys()
    assert re.match(r"(arXiv:\d{4}\.\d{4,5}|doi:10\.|https://)", row["paper"])
    assert row["summary"]


@pytest.mark.parametrize("source", SOURCES.split())
def test_the_libraries_are_listed(source: str, rows: dict[str, dict[str, Any]]) -> None:
    assert source in rows


@pytest.mark.parametrize("name", [name for _, name in NAMES])
def test_underscores_mean_what_dashes_do(name: str) -> None:
    """What each name builds, test_model_names holds to its facts."""
    assert MODELS.entry(name) == MODELS.entry(name.replace("_", "-"))


def test_a_name_with_underscores_builds_with_a_tag_and_arguments() -> None:
    assert build("network_in_network_cifar.scenes").info.name == "network-in-network-cifar.scenes"
    assert build("mobilenet_v2(num_classes=3)", device="meta").info.classes.names == ("class 0", "class 1", "class 2")


def test_listing_imports_no_library_of_models() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom robustbench_cv.cli import cli\n"
        "assert CliRunner().invoke(cli, ['list', 'models', '--json']).exit_code == 0\n"
        "print(*{'torch', 'timm', 'ultralytics', 'transformers', 'segmentation_models_pytorch'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


PYRAMID = "num_classes=4, min_size=64, max_size=96, score_thresh=0.001, detections_per_img=10"


@pytest.mark.parametrize("fpn", [True, False])
@pytest.mark.parametrize("roi", ["pool", "crop", "align"])
def test_faster_rcnn_has_each_region_operator_with_and_without_a_pyramid(roi: str, fpn: bool) -> None:
    """RoI pooling, the baseline that warps nothing, and RoIAlign."""
    assert roi in OPERATORS
    model: Any = build(f"faster_rcnn({PYRAMID}, roi={roi!r}, fpn={fpn})", device="meta")
    design = {"align": "MultiScaleRoIAlign"}.get(roi, "Regions") if fpn else "Regions"
    heads = model.module.roi_heads
    assert type(heads.box_roi_pool).__name__ == design
    assert getattr(heads.box_roi_pool, "operator", "align") == roi
    assert model.module.backbone.__class__.__name__ == ("BackboneWithFPN" if fpn else "Stages")


@pytest.mark.parametrize(("name", "operator", "levels"), [("faster_rcnn_small", "pool", 1), ("faster_rcnn_fpn_small", "align", 3)])
def test_the_small_ones_detect_with_and_without_a_pyramid(name: str, operator: str, levels: int) -> None:
    model: Any = build(f"{name}(num_classes=3, input_size=64, width=4)")
    regions = model.module.roi_heads.box_roi_pool
    assert (regions.operator, len(regions.levels)) == (operator, levels)
    x = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    raw = model.raw(x)
    assert isinstance(raw, Candidates)
    raw.log_score[raw.valid].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    (found,) = predict(model, x.detach())
    assert found.boxes.shape == (len(found.scores), 4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("yolov8(size='z')", "yolov8 has no size 'z'; it has n, s, m, l, x"),
        ("yolov9(size='n')", "yolov9 has no size 'n'; it has t, s, m, c, e"),
        ("faster_rcnn(roi='squeeze')", "no region operator 'squeeze'"),
        ("resnet_51", "did you mean"),
    ],
)
def test_what_there_is_not_is_said(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(spec)


@pytest.mark.parametrize(("name", "millions"), [("yolov5", 9.1), ("yolov8", 11.2), ("yolo11", 9.4), ("yolo12", 9.3)])
def test_the_size_s_has_the_published_parameters(name: str, millions: float) -> None:
    """As their documentation tabulates them: each batch norm folded into its convolution, so that of its two numbers a map one is left."""
    installed(name)
    model: Any = build(f"{name}(size='s')", device="meta")
    folded = sum(m.num_features for m in model.module.modules() if isinstance(m, nn.BatchNorm2d))
    assert round((model.info.parameters - folded) / 1e6, 1) == millions


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_plain_networks_are_residual_ones_without_what_is_on_the_shortcuts(depth: int) -> None:
    import torchvision

    with torch.device("meta"):
        residual = torchvision.models.get_model(f"resnet{depth}")
    on_shortcuts = sum(p.numel() for name, p in residual.named_parameters() if "downsample" in name)
    whole = sum(p.numel() for p in residual.parameters())
    assert NAMED[f"plain{depth}"].facts["parameters"] == whole - on_shortcuts
    layers = [tuple(p.shape) for name, p in residual.named_parameters() if "downsample" not in name]
    plain: Any = build(f"plain{depth}", device="meta")
    assert [tuple(p.shape) for p in plain.module.net.parameters()] == layers
