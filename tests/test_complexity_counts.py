"""Multiply-adds, memory and latency: against published figures, torch's own counter, counting by hand, and the shapes of tensors."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from robustbench_cv.cli import main
from robustbench_cv.models.build import build
from robustbench_cv.models.complexity import show
from robustbench_cv.models.complexity.latency import measure
from robustbench_cv.models.complexity.op_trace import OpTrace, trace_ops
from robustbench_cv.models.complexity.profile import count, profile

GIGA = {
    "alexnet": (224, "0.714"),
    "alexnet-original": (227, "0.724"),
    "zfnet": (224, "1.168"),
    "network-in-network": (224, "1.100"),
    "network-in-network-cifar": (32, "0.2225"),
    "vgg16": (224, "15.470"),
    "googlenet": (224, "1.583"),
    "resnet18": (224, "1.814"),
    "resnet34": (224, "3.664"),
    "resnet50": (224, "4.089"),
    "resnet101": (224, "7.801"),
    "resnet152": (224, "11.514"),
    "mobilenet-v1": (224, "0.5687"),
    "shufflenet-v2": (224, "0.1449"),
    "vit": (224, "17.56"),
    "yolov1": (448, "20.285"),
    "yolov2-voc": (416, "14.680"),
    "yolov3": (416, "32.932"),
    "yolov3-tiny": (416, "2.782"),
    "ssd300": (300, "31.374"),
    "fcn8s": (384, "125.00"),
    "deconvnet": (224, "32.75"),
}
"""Side of the network's input and its multiply-adds in 1e9, as published or as recomputed from the published layer tables."""


@pytest.mark.parametrize("name", GIGA)
def test_architectures_have_their_published_multiply_adds(name: str) -> None:
    side, giga = GIGA[name]
    digits = len(giga.partition(".")[2])
    seen = count(build(name, device="meta"), torch.zeros(3, side, side))
    assert seen.macs / 1e9 == pytest.approx(float(giga), abs=0.6 * 10**-digits)
    assert not seen.hidden


def watched(net: nn.Module, *inputs: Tensor) -> OpTrace:
    with torch.no_grad():
        return trace_ops(lambda: net.eval()(*inputs), net)


class Attention(nn.Module):
    """Attention written three ways: the fused operator, einsum, and matmul."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if self.how == "fused":
            return F.scaled_dot_product_attention(q, k, v)
        if self.how == "einsum":
            return torch.einsum("bhls,bhsd->bhld", torch.einsum("bhle,bhse->bhls", q, k).softmax(dim=-1), v)
        return torch.matmul(torch.matmul(q, k.transpose(-1, -2)).softmax(dim=-1), v)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("how", ["fused", "einsum", "matmul"])
def test_attention_is_counted_however_it_is_written(how: str, device: str) -> None:
    """2 B H L^2 E, each product once."""
    q, k, v = (torch.rand(2, 3, 17, 8, device=device) for _ in range(3))
    seen = watched(Attention(how), q, k, v)
    assert seen.macs == 2 * 2 * 3 * 17 * 17 * 8
    assert set(seen.macs_by_kind()) <= {"attention", "matmul"}


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_fused_encoder_is_counted_as_its_parts(device: str) -> None:
    """In eval mode without gradients it is one operation; torch's counter sees none of its parts."""
    tokens, width, inner = 11, 16, 32
    layer = nn.TransformerEncoderLayer(width, 2, inner, dropout=0.0, batch_first=True, device=device).requires_grad_(False)
    x = torch.rand(1, tokens, width, device=device)
    seen = watched(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), x)
    projections, attention, feed_forward = 4 * tokens * width**2, 2 * tokens**2 * width, 2 * tokens * width * inner
    assert seen.macs == 2 * (projections + attention + feed_forward)
    assert torch.backends.mha.get_fastpath_enabled()


def convolved_by_hand(x: Tensor, weight: Tensor, stride: int, padding: int, groups: int) -> int:
    """One multiplication for each output place, output map, kernel tap and input map of its group, one by one."""
    _, _, height, width = x.shape
    outs, ins, kh, kw = weight.shape
    rows, columns = (math.floor((n + 2 * padding - k) / stride) + 1 for n, k in ((height, kh), (width, kw)))
    total = 0
    for _ in range(rows * columns):
        for _ in range(outs):
            total += ins * kh * kw
    assert ins * groups == x.shape[1]
    return total


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_grouped_convolution_costs_one_g_th(groups: int) -> None:
    x = torch.rand(1, 4, 9, 11)
    net = nn.Conv2d(4, 8, (3, 5), stride=2, padding=2, groups=groups, bias=False)
    seen = watched(net, x)
    assert seen.macs == convolved_by_hand(x, net.weight, 2, 2, groups)
    full = nn.Conv2d(4, 8, (3, 5), stride=2, padding=2, bias=False)
    assert seen.macs * groups == watched(full, x).macs
    assert seen.layers[0].parameters * groups == full.weight.numel()


def test_a_transposed_convolution_costs_its_weights_at_every_input() -> None:
    net = nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1, groups=2)
    assert watched(net, torch.rand(1, 6, 5, 7)).macs == 5 * 7 * 6 * (4 // 2) * 4 * 4


class Mixed(nn.Module):
    """Functional operators, a shared layer, a plain matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.shared, self.table = nn.Parameter(torch.rand(4, 3, 3, 3)), nn.Linear(4, 4), nn.Parameter(torch.rand(4, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.kernel), inplace=True).mean(dim=(2, 3))
        return self.shared(self.shared(x)) @ self.table


def test_functional_operators_count_and_agree_with_torch_s_counter() -> None:
    net, x = Mixed(), torch.rand(2, 3, 8, 9)
    seen = watched(net, x)
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        net(x)
    assert 2 * seen.macs == flops.get_total_flops()
    assert seen.macs_by_kind() == {"convolution": 2 * 6 * 7 * 4 * 27, "linear": 2 * (4 * 4 * 2 + 4 * 5)}
    # a layer that runs twice has its parameters once
    assert [(layer.module, layer.parameters) for layer in seen.layers] == [("", 128), ("shared", 20), ("shared", 0), ("", 0)]


def test_inference_mode_counts_the_same() -> None:
    net, x = Mixed(), torch.rand(2, 3, 8, 9)
    expected = watched(net, x).macs
    with torch.inference_mode():
        assert trace_ops(lambda: net(x), net).macs == expected


def test_memory_is_that_of_distinct_outputs() -> None:
    """64 + 64 values: the convolution's and the pooling's; ReLU in place, the view and the image make none. Out of place, 64 more."""

    def made(inplace: bool) -> OpTrace:
        net = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(inplace=inplace), nn.AvgPool2d(1), nn.Flatten())
        return watched(net, torch.rand(1, 1, 4, 4))

    assert made(inplace=True).bytes_made == 4 * (64 + 64)
    assert made(inplace=False).bytes_made == 4 * (64 + 64 + 64)
    assert made(inplace=False).bytes_peak == 4 * 128  # a forward pass frees what it no longer needs
    assert made(inplace=True).learned_values == 64


@pytest.mark.parametrize(
    "spec",
    ["cifar-resnet20", "unet(width=4, input_size=32)", "yolov3-small(input_size=64, width=4)", "sliding-window(width=4)"],
)
def test_profiles_of_every_task_are_whole_and_change_nothing(spec: str) -> None:
    model: Any = build(spec)
    hooks = len(torch.nn.modules.module._global_forward_hooks)
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    found = profile(model, (48, 64), batch=2, runs=3)
    assert found.parameters == model.info.parameters
    assert found.macs == sum(layer.macs for layer in found.layers) > 0
    assert found.flops == 2 * found.macs
    # one share for the network as a whole, and it is whole
    assert (found.modules[0].parameters, found.modules[0].macs) == (found.parameters, found.macs)
    assert found.backward is not None
    assert found.backward.made_bytes > found.forward.made_bytes >= found.forward.alive_bytes > 0
    assert found.backward.alive_bytes > found.forward.alive_bytes
    assert found.forward.device_bytes is None
    assert found.latency is not None
    assert (found.latency.batch, found.latency.runs, found.latency.device) == (2, 3, "cpu")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.module.modules())
    assert len(torch.nn.modules.module._global_forward_hooks) == hooks
    assert json.loads(json.dumps(show.to_json(found)))["flops"] == found.flops


def test_a_pass_that_fails_leaves_no_hook_and_no_switch_behind() -> None:
    def fail() -> None:
        raise ValueError("broken")

    hooks = len(torch.nn.modules.module._global_forward_hooks)
    with pytest.raises(ValueError, match="broken"):
        trace_ops(fail)
    assert len(torch.nn.modules.module._global_forward_hooks) == hooks
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_cannot_be_counted_is_said() -> None:
    seen = watched(nn.LSTM(4, 4), torch.rand(3, 1, 4))
    assert seen.hidden
    assert not watched(nn.Conv2d(3, 3, 3), torch.rand(1, 3, 8, 8)).hidden


def test_latency_is_the_median_and_its_quartiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock by hand: calls of 9 (does not count), 1, 2, 3, 4, 5 seconds."""
    now, durations = 0.0, iter([9.0, 1.0, 2.0, 3.0, 4.0, 5.0])

    def call() -> None:
        nonlocal now
        now += next(durations)

    monkeypatch.setattr("robustbench_cv.models.complexity.latency.time.perf_counter", lambda: now)
    found = measure(call, 6, torch.device("cpu"), runs=5, at_most_seconds=100)
    assert (found.low_quartile_seconds, found.median_seconds, found.high_quartile_seconds) == (2.0, 3.0, 4.0)
    assert (found.interquartile_range_seconds, found.images_per_second, found.runs) == (2.0, 2.0, 5)


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert isinstance(done.value.code, int)
    return done.value.code


def test_the_command_prints_what_a_model_costs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("profile", "lenet5", "--layers", "--by-module", "--runs", "3", "--device", "cpu") == 0
    out = capsys.readouterr().out
    assert "61,150 learned" in out
    assert "1 MAC = one multiply-add = 2 FLOP" in out
    assert "32x32 px at stride 4 (net.c5)" in out
    assert "interquartile range" in out
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.startswith("net.")}
    assert rows["net.c3"] == ["convolution", "16x10x10", "1,516", "240,000", "1,600", "14x14", "2"]


def test_the_command_counts_on_the_meta_device_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("profile", "vgg16", "--device", "meta", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["parameters"], found["macs"], found["latency"]) == (138_357_544, 15_470_264_320, None)
    assert found["flops"] == 2 * found["macs"]
    assert call("profile", "lenet5", "--input", "0x4") == 2
    assert "width x height" in capsys.readouterr().err
