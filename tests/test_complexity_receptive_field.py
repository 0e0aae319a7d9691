"""Receptive fields: against the support of real gradients, against published tables, and the course's rules of thumb."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models

from robustbench_cv.models.complexity.op_trace import trace_ops
from robustbench_cv.models.complexity.receptive_field import AxisField, convolved, deconvolved, resized, union


def positive(net: nn.Module) -> nn.Module:
    """Positive weights: no path cancels another, and no unit is dead."""
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        parameter.data.copy_(torch.rand(parameter.shape, generator=generator) * 0.2 + 0.05)
    return net.double().eval()


def support(net: nn.Module, side: int) -> tuple[int, int]:
    """The largest extent, over all positions away from the border, of the input pixels that one position's gradient reaches."""
    most = [0, 0]
    with torch.no_grad():
        height, width = net(torch.rand(1, 3, side, side).double()).shape[-2:]
    for y in range(height // 2 - 3, height // 2 + 4):
        reached = torch.zeros(side, side, dtype=torch.bool)
        for seed in range(6):  # a maximum passes its gradient to one place: several images reach them all
            x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed)).double().requires_grad_()
            (gradient,) = torch.autograd.grad(net(x)[0, :, y, width // 2 + y % 4].sum(), x)
            reached |= (gradient[0].abs().sum(dim=0) > 0).cpu()
        rows, columns = reached.any(dim=1).nonzero(), reached.any(dim=0).nonzero()
        most = [max(m, int(r.max() - r.min()) + 1) for m, r in zip(most, (rows, columns), strict=True)]
    return most[0], most[1]


def counted(net: nn.Module, side: int) -> object:
    """The receptive field of what the network returns, read off a 1x1 convolution behind it."""
    with torch.no_grad():
        channels = net(torch.rand(1, 3, side, side).double()).shape[1]
        whole = nn.Sequential(net, nn.Conv2d(channels, 1, 1).double())
        return trace_ops(lambda: whole(torch.rand(1, 3, side, side).double()), whole).layers[-1].receptive_field


class Residual(nn.Module):
    """A block whose shortcut skips it, behind a stride."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 2, 3, 2, 1)
        self.body = nn.Sequential(nn.Conv2d(2, 2, 3, 1, 1), nn.ReLU(), nn.Conv2d(2, 2, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return F.relu(self.body(x) + x)


class Branches(nn.Module):
    """An Inception-like module: the widest branch decides."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.tall = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, (7, 1), padding=(3, 0))
        self.wide = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 5, padding=2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.narrow(x), self.tall(x), self.wide(x), F.avg_pool2d(x, 3, 1, 1)], dim=1)


class Shuffled(nn.Module):
    """Channels last and back, channels shuffled, halves of them taken: no place moves."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.mix = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(self.first(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        n, c, h, w = x.shape
        x = x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        a, b = x.chunk(2, dim=1)
        return torch.cat([a, self.second(b)], dim=1)


class UpAndDown(nn.Module):
    """An encoder and decoder with a skip, upsampled by a transposed convolution or by interpolation."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.down, self.up = how, nn.Conv2d(3, 2, 3, 2, 1), nn.ConvTranspose2d(2, 2, 4, 2, 1)
        self.first, self.last = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(x)
        y = self.up(y) if self.how == "transposed" else F.interpolate(y, scale_factor=2, mode=self.how)
        return self.last(torch.cat([self.first(x), y], dim=1))


NETS = {
    "one-3x3": nn.Conv2d(3, 2, 3),
    "strided": nn.Sequential(nn.Conv2d(3, 2, 7, 2, 3), nn.MaxPool2d(3, 2, 1), nn.Conv2d(2, 2, 3, padding=1)),
    "dilated": nn.Sequential(nn.Conv2d(3, 2, 3, dilation=2), nn.Conv2d(2, 2, (3, 5), dilation=(1, 3))),
    "even-kernel": nn.Sequential(nn.Conv2d(3, 2, 2, 2), nn.AvgPool2d(2, 1), nn.Conv2d(2, 2, 4)),
    "residual": Residual(),
    "branches": Branches(),
    "shuffled": Shuffled(),
    "transposed": UpAndDown("transposed"),
    "nearest": UpAndDown("nearest"),
    "bilinear": UpAndDown("bilinear"),
    "odd-transposed": nn.Sequential(nn.Conv2d(3, 2, 3, 3), nn.ConvTranspose2d(2, 2, 5, 3, 1), nn.Conv2d(2, 2, 3)),
    "padded": nn.Sequential(nn.ReflectionPad2d(2), nn.Conv2d(3, 2, 5), nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(2, 2, 2, 2)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_theoretical_field_is_the_support_of_the_gradient(name: str) -> None:
    net = positive(NETS[name])
    assert counted(net, 36) == support(net, 36)


class Gated(nn.Module):
    """Squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.gate = nn.Conv2d(3, 2, 3, padding=1), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return x * torch.sigmoid(self.gate(x.mean(dim=(2, 3))))[:, :, None, None]


@pytest.mark.parametrize("net", [Gated(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4))], ids=["gate", "group-norm"])
def test_what_mixes_all_places_sees_the_whole_image(net: nn.Module) -> None:
    net = positive(net)
    assert counted(net, 24) == "whole"
    assert support(net, 24) == (24, 24)


@pytest.mark.parametrize(("times", "field"), [(1, 3), (2, 5), (3, 7)])
def test_small_kernels_stack_up_to_a_large_one(times: int, field: int) -> None:
    """Two 3x3 = one 5x5, three = one 7x7, with (3 C)(3 C) = 9 C^2 weights each against 25 C^2 and 49 C^2."""
    reach = AxisField()
    for _ in range(times):
        reach = convolved(reach, 3)
    assert (reach.size, reach.stride) == (field, 1)
    assert reach.size == convolved(AxisField(), field).size


PUBLISHED = {
    "alexnet": ("features", 224, 195),
    "vgg16": ("features", 224, 212),
    "inception_v3": ("Mixed_7c", 299, 1311),
}
"""Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019, and their receptive_field tables."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_known_networks_have_their_published_fields(name: str) -> None:
    part, side, field = PUBLISHED[name]
    found: list[Tensor] = []
    with torch.device("meta"):
        more = {"init_weights": False, "aux_logits": False} if name == "inception_v3" else {}
        net = models.get_model(name, weights=None, **more).eval()
        probe = nn.LazyConv2d(1, 1)
        net.get_submodule(part).register_forward_hook(lambda _, __, out: found.append(probe(out)))
        with torch.no_grad():
            net(torch.rand(1, 3, side, side))
            layers = trace_ops(lambda: net(torch.rand(1, 3, side, side)), net).layers
    # the probe is not a part of the network: its layer bears the name of the module it was called in, or of its parent
    probed = [layer for layer in layers if layer.kind == "convolution" and layer.outputs[1] == 1]
    assert [layer.receptive_field for layer in probed] == [(field, field)]


def plain(kernels: list[tuple[int, int]]) -> tuple[int, int]:
    """The recurrence that textbooks print: r += (k - 1) j, j *= s."""
    field, jump = 1, 1
    for kernel, stride in kernels:
        field, jump = field + (kernel - 1) * jump, jump * stride
    return field, jump


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 3)), max_size=6))
def test_chains_follow_the_recurrence(kernels: list[tuple[int, int]]) -> None:
    reach = AxisField()
    for kernel, stride in kernels:
        reach = convolved(reach, kernel, stride, padding=kernel // 2)
    assert (reach.size, reach.stride) == plain(kernels)


def test_upsampling_makes_strides_below_one_and_positions_take_turns() -> None:
    reach = resized(AxisField(), 4, 8, taps=1)
    assert [reach.at(i) for i in range(4)] == [(0, 0), (0, 0), (1, 1), (1, 1)]
    assert reach.stride == Fraction(1, 2)
    assert deconvolved(convolved(AxisField(), 2, 2), 2, 2).stride == 1


def test_branches_that_move_at_other_strides_have_no_union() -> None:
    assert union(convolved(AxisField(), 3, 2), AxisField()) is None
    both = union(convolved(AxisField(), 3, padding=1), resized(convolved(AxisField(), 2, 2), 8, 16, taps=1))
    assert both is not None
    assert [both.at(i) for i in (0, 1)] == [(-1, 1), (0, 2)]
    assert math.isclose(both.stride, 1)
