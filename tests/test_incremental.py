"""Maps that differ from one in a window, through networks: equal to the whole maps' answers, whatever the operations and the place."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.explain.incremental import Place, Windows
from robustbench_cv.explain.occlusion import covered, drops
from robustbench_cv.explain.targets import ClassScore, score_of
from robustbench_cv.interventions.slide_patch import positions
from robustbench_cv.models.build import build
from robustbench_cv.types import Candidates
from tests.test_explain import picture

SIZE = 40


def windows(seed: int = 0, side: int = 7, size: int = SIZE) -> tuple[Windows, Tensor]:
    """Windows at the corners, borders and inside, and the same maps as a whole."""
    generator = torch.Generator().manual_seed(seed)
    base = torch.rand(1, 3, size, size, generator=generator)
    ends = size - side
    top, left = torch.tensor([0, 0, ends, ends, 11, 0, 12, 17]), torch.tensor([0, ends, 0, ends, 13, 16, ends, 5])
    maps = base.repeat(len(top), 1, 1, 1)
    for one, t, k in zip(maps, top.tolist(), left.tolist(), strict=True):
        one[:, t : t + side, k : k + side] = torch.rand(3, side, side, generator=generator)
    return Windows.of(base, maps, Place(top, left, side, side)), maps


def as_whole(value: Tensor) -> Tensor:
    return value.whole() if isinstance(value, Windows) else value


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(1)
    module = make().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = torch.rand_like(part.weight)
            part.running_var = 0.5 + torch.rand_like(part.weight)
    return module


class Residual(nn.Module):
    """Two ways of different reach that are summed, then joined."""

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.near, self.far, self.in_place = nn.Conv2d(3, 32, 1), nn.Conv2d(3, 32, 5, padding=2, bias=False), in_place

    def forward(self, x: Tensor) -> Tensor:
        far, near = F.relu(self.far(x), inplace=True), self.near(x)
        if self.in_place:
            far += near
        else:
            far = far + near
        return torch.cat([far, near * 2 - 1], dim=1)


NETS: dict[str, Callable[[], nn.Module]] = {
    "convolution": lambda: nn.Conv2d(3, 64, 3, padding=1),
    "no padding": lambda: nn.Conv2d(3, 64, 5),
    "wide padding": lambda: nn.Conv2d(3, 64, 3, padding=4),
    "stride 2": lambda: nn.Conv2d(3, 64, 3, stride=2, padding=1),
    "stride 2, even kernel": lambda: nn.Conv2d(3, 64, 4, stride=2, padding=1),
    "stride beyond the kernel": lambda: nn.Conv2d(3, 256, 1, stride=3),
    "dilated": lambda: nn.Conv2d(3, 64, 3, padding=2, dilation=2),
    "oblong": lambda: nn.Conv2d(3, 64, (3, 5), stride=(1, 2), padding=(0, 2)),
    "groups": lambda: nn.Sequential(nn.Conv2d(3, 96, 3, padding=1), nn.Conv2d(96, 96, 3, padding=1, groups=2)),
    "max pool": lambda: nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.MaxPool2d(3, 2, 1)),
    "max pool, whole numbers": lambda: nn.MaxPool2d(2),
    "ceil mode": lambda: nn.MaxPool2d(3, 2, ceil_mode=True),
    "average pool": lambda: nn.AvgPool2d(3, 2, 1),
    "average pool, borders left out": lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "batch norm": lambda: nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.1)),
    "enlarged": lambda: nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Upsample(scale_factor=2), nn.SiLU(inplace=True)),
    "padded": lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 3, 0)), nn.Conv2d(3, 64, 3)),
    "reflected": lambda: nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 64, 3)),
    "residual": lambda: Residual(in_place=False),
    "residual in place": lambda: Residual(in_place=True),
    "down to a vector": lambda: nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4)),
    "deep": lambda: nn.Sequential(*(nn.Sequential(nn.Conv2d(c, 64, 3, padding=1), nn.ReLU(True)) for c in (3, *[64] * 8))),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("side", [1, 7])
def test_windows_through_a_network_are_the_whole_maps(name: str, side: int) -> None:
    net = seeded(NETS[name])
    few, whole = windows(side=side)
    with torch.no_grad():
        torch.testing.assert_close(as_whole(net(few)), net(whole), atol=1e-5, rtol=1e-5)


KEPT = ("convolution", "no padding", "stride 2", "dilated", "max pool", "batch norm", "enlarged", "padded", "residual", "residual in place")


@pytest.mark.parametrize("name", KEPT)
def test_what_a_small_window_changes_is_kept_apart(name: str) -> None:
    few, _ = windows(side=3)
    with torch.no_grad():
        made = seeded(NETS[name])(few)
    assert isinstance(made, Windows)
    assert made.place.height * made.place.width < 0.5 * made.shape[-2] * made.shape[-1]


RESIZES: dict[str, Callable[[Tensor], Tensor]] = {
    "up, smoothed": lambda x: F.interpolate(x, size=(53, 61), mode="bilinear", align_corners=False, antialias=True),
    "down, smoothed": lambda x: F.interpolate(x, size=(17, 23), mode="bilinear", align_corners=False, antialias=True),
    "bicubic": lambda x: F.interpolate(x, size=(64, 64), mode="bicubic", align_corners=False, antialias=True),
    "corners": lambda x: F.interpolate(x, size=(64, 64), mode="bilinear", align_corners=True),
    "nearest": lambda x: F.interpolate(x, size=(80, 120), mode="nearest"),
    "nearest down": lambda x: F.interpolate(x, size=(13, 13), mode="nearest"),
    "cut": lambda x: x[..., 3:37, 4:30],
    "cut at a window": lambda x: x[:, :, 6:20, 6:20],
    "cut in half": lambda x: x[:, :1, ::2],
    "turned": lambda x: x.flip(3),
    "standardised": lambda x: (x - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / torch.tensor([0.2, 0.2, 0.3])[:, None, None],
    "by the pixel": lambda x: x * torch.linspace(0, 1, SIZE),
    "by the image": lambda x: x + torch.arange(8.0)[:, None, None, None],
    "half precision and back": lambda x: x.to(torch.float64).to(torch.float32),
}


@pytest.mark.parametrize("name", RESIZES)
def test_other_operations_give_what_they_give(name: str) -> None:
    few, whole = windows()
    torch.testing.assert_close(as_whole(RESIZES[name](few)), RESIZES[name](whole), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spec", ["lenet5.scenes", "cifar-resnet20.scenes", "unet.scenes", "yolov3-small.scenes"])
def test_bundled_models_say_the_same(spec: str) -> None:
    model, image = build(spec), picture(96, 96)
    grid = positions(96, 96, 16, 24)
    images = covered(image, grid, "gray")
    height, width = max(s.bottom - s.top for s in grid), max(s.right - s.left for s in grid)
    place = Place(
        torch.tensor([min(s.top, 96 - height) for s in grid]), torch.tensor([min(s.left, 96 - width) for s in grid]), height, width
    )
    with torch.no_grad():
        made, expected = model.raw(Windows.of(image[None], images, place)), model.raw(images)
    if isinstance(expected, Candidates):
        torch.testing.assert_close(as_whole(made.log_score), expected.log_score, atol=1e-3, rtol=1e-4)
    else:
        torch.testing.assert_close(as_whole(made.values), expected.values, atol=1e-3, rtol=1e-4)


def test_a_model_that_takes_no_windows_is_asked_for_whole_images(monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = build("cifar-resnet20.scenes"), picture(96, 96)
    grid = positions(96, 96, 24, 24)
    expected = drops(model, ClassScore(3), image, grid, fill="gray")
    score = score_of(model, ClassScore(3), "probability")
    with torch.no_grad():
        plain = score(image[None]) - score(covered(image, grid, "gray"))
    torch.testing.assert_close(expected, plain, atol=1e-5, rtol=1e-4)

    def refuse(*_: object) -> Windows:
        raise RuntimeError("no such tensor")

    monkeypatch.setattr("robustbench_cv.explain.occlusion._windows", refuse)
    torch.testing.assert_close(drops(model, ClassScore(3), image, grid, fill="gray"), expected, atol=1e-5, rtol=1e-4)
