"""Preprocessing, freezing and hashing: what the adapters promise of any torch module."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from robustbench_cv.errors import UserError
from robustbench_cv.models.adapt import Classifier, classifier, freeze, segmenter, to, weights_sha256
from robustbench_cv.models.preprocessing import Preprocessing, scale
from robustbench_cv.types import ClassPrediction, Labels, MaskPrediction, predict

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tiny(classes: int = 4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))


def photo(n: int = 2, height: int = 37, width: int = 53) -> Tensor:
    return torch.rand((n, 3, height, width), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("crop", "short", "mode"), [(24, 30, "bilinear"), (24, 24, "bicubic"), (32, 37, "bilinear"), (40, 57, "bicubic")])
@pytest.mark.parametrize("shape", [(37, 53), (53, 37), (40, 40), (101, 33)])
def test_preparation_is_torchvision_s_evaluation_transform(crop: int, short: int, mode: Any, shape: tuple[int, int]) -> None:
    x = photo(2, *shape)
    reference = v2.Compose([v2.Resize(short, v2.InterpolationMode(mode), antialias=True), v2.CenterCrop(crop), v2.Normalize(MEAN, STD)])
    torch.testing.assert_close(Preprocessing(MEAN, STD, (crop, crop), short, mode)(x), reference(x))


def test_each_way_to_size() -> None:
    x = photo()
    assert Preprocessing()(x) is x
    assert Preprocessing(size=(20, 30))(x).shape[-2:] == (20, 30)
    assert Preprocessing(short=74)(x).shape[-2:] == (74, 106)
    assert Preprocessing(size=(20, 30), short=40)(x).shape[-2:] == (20, 30)
    torch.testing.assert_close(Preprocessing(size=(20, 30))(x), scale(x, (20, 30)))


def test_a_constant_image_is_constant_at_any_size() -> None:
    grey = torch.full((1, 3, 9, 13), 0.3)
    for size in ((5, 5), (40, 60)):
        torch.testing.assert_close(scale(grey, size), torch.full((1, 3, *size), 0.3))
        torch.testing.assert_close(scale(grey, size, "nearest"), torch.full((1, 3, *size), 0.3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": MEAN}, "both or neither"),
        ({"mean": (123.7, 116.3, 103.5), "std": (58.4, 57.1, 57.4)}, "0-255 units"),
        ({"mean": MEAN, "std": (0.2, 0.0, 0.2)}, "above 0"),
        ({"mean": (0.5,), "std": (0.5,)}, "three numbers"),
        ({"size": (32, 32), "short": 30}, "less than the crop"),
    ],
)
def test_wrong_preparation_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Preprocessing(**arguments)


@pytest.mark.parametrize("images", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)])
def test_what_is_no_batch_of_images_is_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        Preprocessing()(images)


def test_a_classifier_is_its_module_on_prepared_pixels() -> None:
    net, x = tiny(), photo()
    model = classifier(net, name="tiny", classes=Labels.numbered(4), mean=MEAN, std=STD, input_size=(16, 16))
    expected = net((scale(x, (16, 16)) - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])
    torch.testing.assert_close(model.raw(x).values, expected)
    for prediction, row in zip(predict(model, x), expected, strict=True):
        assert isinstance(prediction, ClassPrediction)
        assert prediction.label == int(row.argmax())
        torch.testing.assert_close(prediction.probs, row.softmax(0))


def test_a_segmenter_answers_at_the_image_s_resolution() -> None:
    net = nn.Conv2d(3, 5, 3, stride=4, padding=1)
    model = segmenter(net, name="s", classes=Labels.numbered(5))
    x = photo()
    values = model.raw(x).values
    assert values.shape == (2, 5, 37, 53)
    torch.testing.assert_close(values, nn.functional.interpolate(net(x), (37, 53), mode="bilinear", align_corners=False))
    prediction = predict(model, x)[0]
    assert isinstance(prediction, MaskPrediction)
    assert prediction.labels.dtype == torch.int64
    assert (prediction.labels == values[0].argmax(0)).all()


class InDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"out": self.conv(x), "aux": x}


def test_output_picks_the_scores() -> None:
    x = photo()
    with pytest.raises(UserError, match=r"dict of \['aux', 'out'\]"):
        segmenter(InDict(), name="s", classes=Labels.numbered(5)).raw(x)
    assert segmenter(InDict(), name="s", classes=Labels.numbered(5), output=lambda out: out["out"]).raw(x).values.shape[1] == 5


def test_a_wrong_number_of_classes_is_refused() -> None:
    with pytest.raises(UserError, match=r"\(2, 4\), but 3 class names need \(2, 3\)"):
        classifier(tiny(), name="t", classes=Labels.numbered(3)).raw(photo())
    with pytest.raises(UserError, match="3 class names"):
        segmenter(nn.Conv2d(3, 5, 1), name="s", classes=Labels.numbered(3)).raw(photo())


def test_freezing_leaves_no_mode_and_no_parameter_open() -> None:
    net = tiny().train()
    assert freeze(net) is net
    assert not any(m.training for m in net.modules())
    assert not any(p.requires_grad for p in net.parameters())


def with_bias(value: float) -> nn.Module:
    net = tiny()
    assert isinstance(net[-1], nn.Linear)
    net[-1].bias.data[0] = value
    return net


def test_the_hash_sees_weights_buffers_dtypes_names_and_facts() -> None:
    base = weights_sha256(tiny())
    assert base == weights_sha256(tiny())
    buffered = tiny()
    buffered[1].running_mean[0] += 1
    hashes = [
        base,
        weights_sha256(with_bias(1.0)),
        weights_sha256(tiny().half()),
        weights_sha256(nn.Sequential(tiny())),
        weights_sha256(buffered),
    ]
    assert len({*hashes, weights_sha256(tiny(), "a"), weights_sha256(tiny(), "a", "b")}) == 7


@pytest.mark.parametrize(
    "more", [{"mean": MEAN, "std": STD}, {"input_size": (16, 16)}, {"classes": Labels(("a", "b", "c", "d"))}, {"weights": "x"}]
)
def test_a_model_s_hash_sees_its_preprocessing_and_classes(more: dict[str, Any]) -> None:
    def digest(**arguments: Any) -> str:
        return classifier(tiny(), **{"name": "t", "classes": Labels.numbered(4), **arguments}).info.weights_sha256

    assert digest() == digest()
    assert digest(**more) != digest()


def test_a_model_follows_its_module_to_a_device_or_says_why_not() -> None:
    model = classifier(tiny(), name="t", classes=Labels.numbered(4), mean=MEAN, std=STD)
    assert to(model, "cpu") is model
    moved: Classifier = to(model, "meta")
    assert moved.module.prepare.mean is not None
    assert moved.module.prepare.mean.device.type == "meta"
    assert moved.raw(torch.zeros(1, 3, 20, 20, device="meta")).values.shape == (1, 4)
    with pytest.raises(UserError, match="use --device cpu"):
        to(classifier(tiny(), name="t", classes=Labels.numbered(4)), "nowhere")
    with pytest.raises(UserError, match="no `module`"):
        to(object(), "meta")


def test_a_graph_of_torch_export_is_a_model_like_its_module() -> None:
    """Its eval() is refused by torch: it has no modes."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    network.eval()
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    graph = torch.export.export(network, (torch.rand(2, 3, 8, 8),), dynamic_shapes=shapes).module()
    model = classifier(graph, name="exported", classes=Labels(("a", "b")))
    x = torch.rand(3, 3, 8, 8).requires_grad_()
    values = model.raw(x).values
    torch.testing.assert_close(values, network(x))
    assert torch.autograd.grad(values.sum(), x)[0].abs().max() > 0
    assert not any(parameter.requires_grad for parameter in model.module.parameters())
    assert not any(part.training for part in model.module.modules())


def test_lazy_layers_are_refused_until_an_image_gave_them_a_shape() -> None:
    network = nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(2))
    with pytest.raises(UserError, match=r"lazy layers.*net\.0\.weight.*call it on an image once"):
        classifier(network, name="lazy", classes=Labels(("a", "b")))
    network(torch.zeros(1, 3, 8, 8))
    assert classifier(network, name="lazy", classes=Labels(("a", "b"))).info.parameters == 122
