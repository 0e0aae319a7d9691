"""decode(raw(x)) is torchvision's own output, family by family, on random weights scaled until there is plenty to detect."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.sources.torchvision_detection import TorchvisionDetector, exposed
from robustbench_cv.types import Candidates

SMALL = "min_size=64, max_size=96"
DETECTORS = {
    "fasterrcnn_mobilenet_v3_large_fpn": SMALL,
    "keypointrcnn_resnet50_fpn": f"{SMALL}, detections_per_img=15",
    "retinanet_resnet50_fpn": SMALL,
    "fcos_resnet50_fpn": SMALL,
    "ssdlite320_mobilenet_v3_large": "detections_per_img=200",
}
SLOW = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": SMALL,
    "fasterrcnn_resnet50_fpn": SMALL,
    "fasterrcnn_resnet50_fpn_v2": SMALL,
    "maskrcnn_resnet50_fpn": SMALL,
    "maskrcnn_resnet50_fpn_v2": SMALL,
    "retinanet_resnet50_fpn_v2": SMALL,
    "ssd300_vgg16": "detections_per_img=200",
}
PARAMS = [*DETECTORS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
UNUSED = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""The background and the ten numbers that COCO skipped."""


@pytest.fixture(scope="module", params=PARAMS)
def detector(request: pytest.FixtureRequest) -> TorchvisionDetector:
    settings = (DETECTORS | SLOW)[request.param]
    return lively(build(f"torchvision:{request.param}({settings}, score_thresh=0.02)"))


def lively(model: Any) -> TorchvisionDetector:
    """Untrained features barely differ from place to place: calibrate the norms on some images, then spread scores and boxes.

    Columns that trained weights never report (the background of sigmoid detectors, the numbers that COCO skipped) are switched off.
    """
    generator = torch.Generator().manual_seed(7)
    x = images(99, n=4)
    norms = [m for m in model.module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model.raw(x)
    for norm in norms:
        norm.eval()
    columns = model.family.outputs(model.module)
    sigmoid = not model.family.background
    for layer in _score_layers(model.module):
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * 0.05
        bias = torch.randn((layer.bias.numel() // columns, columns), generator=generator) * 0.5 - (3.0 if sigmoid else 0.0)
        if columns == 91:
            bias[:, list(UNUSED[0 if sigmoid else 1 :])] = -40.0
        _spread(model, x, layer, 1.5)
        layer.bias.data = bias.flatten()
    return model


def _spread(model: Any, x: Tensor, layer: Any, deviation: float) -> None:
    """Scale a layer's weights until its outputs deviate that much from place to place."""
    seen: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach()))
    with torch.no_grad():
        model.raw(x)
    hook.remove()
    spread = max(float(out.std(dim=0 if out.ndim == 2 else (0, 2, 3)).mean()) for out in seen)
    layer.weight.data *= deviation / spread


def _score_layers(net: nn.Module) -> list[Any]:
    heads: Any = dict(net.named_children())
    if "roi_heads" in heads:
        return [heads["roi_heads"].box_predictor.cls_score]
    head = heads["head"].classification_head
    if "module_list" not in dict(head.named_children()):
        return [head.cls_logits]
    return [part if isinstance(part, nn.Conv2d) else part[-1] for part in head.module_list]


def images(seed: int = 0, n: int = 2, height: int = 50, width: int = 70) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand((n, 3, 7, 9), generator=generator)
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def test_decoding_raw_is_torchvision_s_own_output(detector: TorchvisionDetector) -> None:
    x = images()
    expected = detector.module([*x])
    found = detector.decode(detector.raw(x))
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours.scores) >= 10
        torch.testing.assert_close(ours.scores, theirs["scores"], rtol=1e-4, atol=1e-5)
        assert sorted(ours.labels.tolist()) == sorted(_ours(detector, theirs["labels"]).tolist())
        for box, score, label in zip(theirs["boxes"], theirs["scores"], _ours(detector, theirs["labels"]), strict=True):
            near = (ours.labels == label) & ((ours.scores - score).abs() < 1e-4) & ((ours.boxes - box).abs().amax(dim=1) < 1e-2)
            assert near.any()


def _ours(detector: TorchvisionDetector, labels: Tensor) -> Tensor:
    place = {column: i for i, column in enumerate(detector.columns.tolist())}
    return torch.tensor([place[column] for column in labels.tolist()])


def test_gradients_reach_every_image(detector: TorchvisionDetector) -> None:
    x = images(1).requires_grad_()
    raw = detector.raw(x)
    raw.log_score.masked_fill(~raw.valid[..., None], 0).clamp(min=-50).sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().amax(dim=1) > 0).all()
    assert x.grad.isfinite().all()


def test_boxes_move_with_the_image(detector: TorchvisionDetector) -> None:
    x = images(2).requires_grad_()
    raw = detector.raw(x)
    raw.boxes[raw.valid].sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_candidates_keep_their_shape_and_stay_in_the_image(detector: TorchvisionDetector) -> None:
    with torch.no_grad():
        raw = detector.raw(images(3))
    count = len(detector.info.classes)
    assert raw.boxes.shape == (2, raw.valid.shape[1], raw.boxes.shape[2], 4)
    assert raw.boxes.shape[2] in (1, count)
    assert raw.log_score.shape == (*raw.valid.shape, count)
    assert raw.valid.any(dim=1).all()
    assert (raw.log_score <= 0).all()
    boxes = raw.boxes[raw.valid]
    assert (boxes >= 0).all()
    assert (boxes[..., [0, 2]] <= 70 + 1e-3).all()
    assert (boxes[..., [1, 3]] <= 50 + 1e-3).all()
    assert boxes[..., 2].max() > 60, "boxes are in the image's own pixels, not in the network's"


def test_an_image_s_candidates_do_not_depend_on_its_neighbours(detector: TorchvisionDetector) -> None:
    x = images(4, n=3)
    with torch.no_grad():
        together, alone = detector.decode(detector.raw(x))[1], detector.decode(detector.raw(x[1:2]))[0]
    torch.testing.assert_close(together.scores, alone.scores, rtol=1e-3, atol=1e-4)
    assert len(together.boxes) == len(alone.boxes) > 0


def test_coco_classes_are_the_eighty_names(detector: TorchvisionDetector) -> None:
    names = detector.info.classes.names
    assert len(set(names)) == len(names)
    assert names[0] == "person"
    assert len(names) in (80, 1)
    assert not {"N/A", "__background__", "no person"} & set(names)


def test_the_module_stays_as_it_was(detector: TorchvisionDetector) -> None:
    before = {k: v.clone() for k, v in detector.module.state_dict().items()}
    detector.decode(detector.raw(images(5)))
    assert not any(m.training for m in detector.module.modules())
    assert not any(p.requires_grad for p in detector.module.parameters())
    assert all((before[k] == v).all() for k, v in detector.module.state_dict().items())


@pytest.mark.parametrize(("num_classes", "count"), [(None, 3), (3, 3), (4, 3)])
def test_own_classes_of_a_sigmoid_detector(num_classes: int | None, count: int) -> None:
    model: Any = build(f"torchvision:fcos_resnet50_fpn({SMALL}, classes='car,boat,cow')", num_classes=num_classes)
    assert model.info.classes.names == ("car", "boat", "cow")
    assert model.columns.tolist() == ([0, 1, 2] if num_classes == 3 else [1, 2, 3])
    assert model.raw(images(n=1)).log_score.shape[-1] == count


@pytest.mark.parametrize("caps", ["topk_candidates=5", "detections_per_img=7", "nms_thresh=0.2", "score_thresh=0.2"])
def test_every_setting_acts_as_in_torchvision(caps: str) -> None:
    args = {"score_thresh": 0.01} if "score" not in caps else {}
    model = lively(build(f"torchvision:retinanet_resnet50_fpn({SMALL}, num_classes=5, {caps})", **args))
    for ours, theirs in zip(model.decode(model.raw(images())), model.module([*images()]), strict=True):
        assert len(ours.scores) == len(theirs["scores"]) > 0
        torch.testing.assert_close(ours.scores, theirs["scores"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.labels, theirs["labels"])
        torch.testing.assert_close(ours.boxes, theirs["boxes"], rtol=1e-3, atol=1e-3)


def test_levels_survive_detaching_and_slicing() -> None:
    model = lively(build(f"torchvision:fcos_resnet50_fpn({SMALL}, num_classes=4, topk_candidates=5, score_thresh=0.01)"))
    raw = model.raw(images(n=3))
    part = Candidates(raw.boxes[1:2].detach().clone(), raw.log_score[1:2].detach().clone(), raw.valid[1:2].clone())
    torch.testing.assert_close(model.decode(part)[0].boxes, model.decode(raw)[1].boxes)


def test_names_must_fit_the_columns() -> None:
    assert exposed(("a", "b"), 3, needs_background=True, model="m") == ([1, 2], ("a", "b"))
    assert exposed(None, 3, needs_background=True, model="m") == ([1, 2], ("class 0", "class 1"))
    assert exposed(None, 3, needs_background=False, model="m")[0] == [0, 1, 2]
    assert exposed(("__background__", "a", "N/A", "b", "N/A"), 5, needs_background=True, model="m") == ([1, 3], ("a", "b"))
    with pytest.raises(UserError, match="include the background"):
        exposed(("a", "b"), 2, needs_background=True, model="m")
    with pytest.raises(UserError, match="5 class names for 3 outputs"):
        exposed(tuple("abcde"), 3, needs_background=False, model="m")


def test_settings_that_a_detector_does_not_have_are_refused() -> None:
    with pytest.raises(UserError, match="no setting topk_candidates"):
        build("torchvision:fasterrcnn_mobilenet_v3_large_fpn(topk_candidates=3)")
    with pytest.raises(UserError, match="always scales images to"):
        build("torchvision:ssdlite320_mobilenet_v3_large(min_size=64)")


def test_a_wrong_batch_is_refused(detector: TorchvisionDetector) -> None:
    with pytest.raises(ValueError, match="of one size"):
        detector.raw(torch.rand(3, 50, 70))
