"""What holds for every model, whatever its source: one path to a prediction, gradients, rows on their own, nothing changed."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbench_cv.catalogue import MODELS
from robustbench_cv.models.build import build
from robustbench_cv.models.optional_import import PACKAGES
from robustbench_cv.tasks import TASKS
from robustbench_cv.types import BoxPrediction, Candidates, ClassPrediction, Logits, MaskPrediction, ModelInfo, PixelLogits, Raw, predict

DEEP = {
    *("cifar-resnet32", "cifar-resnet44", "cifar-resnet56", "cifar-resnet110", "cifar-resnet1202"),
    *("plain34", "plain101", "plain152"),
    *("yolov5", "yolov9", "yolov10", "yolo12"),
}
"""Deeper copies of an architecture that is here, or its neighbours in years."""
NAMED = {name: entry for name, entry in MODELS.entries().items() if "parameters" in entry.facts}
ARCHITECTURES = {name: entry for name, entry in NAMED.items() if entry.facts["task"] in TASKS}
"""Embedders serve none of the tasks; tests/test_classifiers_embedders.py has their laws."""
HEAVY = {
    name
    for name, entry in ARCHITECTURES.items()
    if entry.facts["source"] in ("torchvision", "timm") and entry.facts["task"] != "segmentation" and entry.facts["parameters"] > 12e6
}
"""Large networks of a library whose smaller ones are here: the same adapter, seconds each."""
OWN = [f"{name}({entry.facts.get('reduced', '')})" for name, entry in sorted(ARCHITECTURES.items())]
"""Reduced, so that decoding an untrained detector, which believes everything everywhere, takes no seconds."""
SPECS = [
    *(pytest.param(spec, marks=pytest.mark.slow) if spec.partition("(")[0] in DEEP | HEAVY else spec for spec in OWN),
    "timm:test_resnet(input_size=64)",
    "timm:test_vit(input_size=64)",
    "timm:test_convnext(num_classes=5, input_size=64)",
    "torchvision:squeezenet1_1(input_size=64)",
    "torchvision:lraspp_mobilenet_v3_large(min_size=64)",
    "torchvision:fasterrcnn_mobilenet_v3_large_fpn(min_size=64, max_size=96, score_thresh=0.001)",
    "torchvision:fcos_resnet50_fpn(min_size=64, max_size=96, num_classes=4, score_thresh=0.001)",
]
CHAOTIC = {"plain50", "plain101", "plain152"}
"""Untrained, they multiply a difference by about 1.2 a layer, and no shortcut carries the rest: rounding becomes a part of the output."""
UNPOOLING = {"deconvnet", "segnet", "segnet-basic"}
SHAPE = (46, 62)


@pytest.fixture(scope="module", params=SPECS)
def model(request: pytest.FixtureRequest) -> Any:
    installed(request.param.partition("(")[0])
    return calibrated(build(request.param))


def installed(name: str) -> None:
    """Skip where the architecture comes with an extra that is not installed."""
    extra = ARCHITECTURES[name].facts.get("extra") if name in ARCHITECTURES else None
    if extra and importlib.util.find_spec(PACKAGES[str(extra)]) is None:
        pytest.skip(f"the extra {extra!r} is not installed")


def calibrated(model: Any) -> Any:
    """Give every batch norm the statistics of some images: untrained ones let signal and gradient die out."""
    norms = [m for m in model.module.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model.raw(photos(9, 4))
    for norm in norms:
        norm.eval()
    return model


def photos(seed: int = 0, n: int = 3) -> Tensor:
    coarse = torch.rand((n, 3, 8, 10), generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, SHAPE, mode="bilinear").clamp(0, 1)


def tensors(raw: Raw) -> tuple[Tensor, ...]:
    return tuple(value for value in vars(raw).values() if isinstance(value, Tensor))


def scores(raw: Raw) -> Tensor:
    return raw.log_score[raw.valid].clamp(min=-50) if isinstance(raw, Candidates) else raw.values


def state(model: Any) -> str:
    """Everything that evaluation must leave alone."""
    digest = hashlib.sha256()
    for name, tensor in [*model.module.named_parameters(), *model.module.named_buffers()]:
        digest.update(f"{name} {tensor.requires_grad} {tensor.grad is None}".encode())
        digest.update(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    for name, module in model.module.named_modules():
        digest.update(f"{name} {module.training}".encode())
    return digest.hexdigest()


def test_the_raw_output_is_of_the_task_s_kind(model: Any) -> None:
    kinds: dict[str, type] = dict(zip(TASKS, (Logits, PixelLogits, Candidates), strict=True))
    with torch.no_grad():
        raw = model.raw(photos())
    assert type(raw) is kinds[model.info.task]
    assert all(len(tensor) == 3 for tensor in tensors(raw))
    axis = -1 if isinstance(raw, Candidates) else 1
    assert scores(raw).shape[axis] == len(model.info.classes)
    if isinstance(raw, PixelLogits):
        assert raw.values.shape[-2:] == SHAPE


def _tensors(prediction: Any) -> list[torch.Tensor]:
    """All that a prediction holds, also of a part of it."""
    values = [value for value in vars(prediction).values() if value is not None]
    return [t for value in values for t in ([value] if isinstance(value, torch.Tensor) else _tensors(value))]


def test_decoding_the_raw_output_is_the_prediction(model: Any) -> None:
    x = photos()
    raw = model.raw(x)
    for found, expected in zip(model.decode(raw), predict(model, x), strict=True):
        assert type(found) is type(expected)
        for a, b in zip(_tensors(found), _tensors(expected), strict=True):
            torch.testing.assert_close(a, b)


def test_predictions_are_what_their_type_says(model: Any) -> None:
    for prediction in predict(model, photos()):
        if isinstance(prediction, ClassPrediction):
            assert prediction.probs.shape == (len(model.info.classes),)
            assert prediction.probs.sum().item() == pytest.approx(1, abs=1e-5)
            assert (prediction.probs >= 0).all()
        elif isinstance(prediction, MaskPrediction):
            assert prediction.labels.shape == SHAPE
            assert prediction.labels.dtype == torch.int64
            assert 0 <= int(prediction.labels.min()) <= int(prediction.labels.max()) < len(model.info.classes)
            sampled = prediction.sampled
            assert sampled is None or sampled.values.shape == (len(sampled.positions), len(model.info.classes))
        else:
            assert isinstance(prediction, BoxPrediction)
            assert prediction.boxes.shape == (*prediction.scores.shape, 4)
            assert ((prediction.scores > 0) & (prediction.scores <= 1)).all()
            assert (prediction.scores.diff() <= 0).all()
            assert set(prediction.labels.tolist()) <= set(range(len(model.info.classes)))
            assert (prediction.boxes[:, 2:] >= prediction.boxes[:, :2]).all()
            if prediction.masks is not None:
                assert prediction.masks.shape == (len(prediction.scores), *SHAPE)
                assert prediction.masks.dtype == torch.bool
        assert all(tensor.device.type == "cpu" and not tensor.requires_grad for tensor in _tensors(prediction))


def test_the_gradient_reaches_every_image(model: Any) -> None:
    x = photos(1).requires_grad_()
    scores(model.raw(x)).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad.flatten(1).abs().amax(dim=1) > 0).all()


def test_a_gradient_is_the_slope(model: Any) -> None:
    """A finite step along the gradient raises the score by about as much as the gradient says (no hidden detach, round or no_grad)."""
    x = photos(2, 1)

    def total(images: Tensor) -> Tensor:
        return scores(model.raw(images)).double().mean()

    if model.info.task == "detection" and ("rcnn" in model.info.name or "rt-detr" in model.info.name):
        pytest.skip("two-stage: the choice of proposals or queries jumps with the image, so slopes differ")
    jumps = ARCHITECTURES[model.info.name].facts.get("jumps") if model.info.name in ARCHITECTURES else None
    if jumps:
        pytest.skip(f"{jumps} jumps with the image, so slopes differ")
    if model.info.name in CHAOTIC:
        pytest.skip("untrained and without shortcuts: rounding errors grow to a part of the output")
    if model.info.name in UNPOOLING:
        pytest.skip("unpooling: the places of the maxima jump with the image, so slopes differ")
    rise, expected = _rise(total, x, 0.001)
    if rise != pytest.approx(expected, rel=0.25):  # untrained and deep, it may bend within the step: a shorter one, in float64
        model.module.double()
        try:
            rise, expected = _rise(total, x.double(), 1e-7)
        finally:
            model.module.float()
    assert rise == pytest.approx(expected, rel=0.25)


def _rise(total: Callable[[Tensor], Tensor], x: Tensor, longest: float) -> tuple[float, float]:
    """What a step to both sides along the gradient gains, and what it should."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(total(x), x)
    step = gradient / gradient.norm() * min(longest, 0.1 / gradient.norm().item())  # a steep score bends within a longer step
    with torch.no_grad():
        rise = total(x + step) - total(x - step)
    return rise.item(), 2 * (gradient * step).sum().item()


def test_a_row_does_not_depend_on_the_other_rows(model: Any) -> None:
    if model.info.name in CHAOTIC:
        pytest.skip("untrained and without shortcuts: rounding errors grow to a part of the output")
    x = photos(3)
    with torch.no_grad():
        together, alone = model.raw(x), model.raw(x[1:2])
    if isinstance(together, Candidates):
        count = int(alone.valid.sum())
        assert int(together.valid[1].sum()) == count > 0
        pairs = [(together.log_score[1][together.valid[1]], alone.log_score[0][alone.valid[0]])]
    else:
        pairs = [(together.values[1], alone.values[0])]
    for a, b in pairs:
        if "rcnn" in model.info.name:
            # Which of two equally likely proposals is the last to be looked at is a matter of rounding.
            assert torch.isclose(a, b, rtol=1e-3, atol=1e-3).float().mean() > 0.98
        else:
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_nothing_of_the_model_changes(model: Any) -> None:
    before = state(model)
    x = photos(4).requires_grad_()
    raw = model.raw(x)
    model.decode(raw)
    scores(raw).sum().backward()
    predict(model, photos(5))
    assert state(model) == before


@pytest.mark.parametrize("wrong", [lambda: torch.rand(3, 46, 62), lambda: torch.rand(2, 1, 46, 62), lambda: "images"])
def test_nothing_changes_after_an_exception_either(model: Any, wrong: Callable[[], Any]) -> None:
    before = state(model)
    with pytest.raises((ValueError, TypeError, RuntimeError, AttributeError)):
        model.raw(wrong())
    assert state(model) == before


def test_the_model_is_frozen_and_evaluating(model: Any) -> None:
    assert not any(m.training for m in model.module.modules())
    assert not any(p.requires_grad for p in model.module.parameters())


def test_what_is_known_of_it_is_whole(model: Any) -> None:
    info = model.info
    assert isinstance(info, ModelInfo)
    assert info.name
    assert info.task in TASKS
    assert len(set(info.classes.names)) == len(info.classes) > 0
    assert len(info.weights_sha256) == 64
    assert info.parameters == sum(p.numel() for p in model.module.parameters()) > 0
