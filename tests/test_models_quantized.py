"""Weights in 8 bits: what a file holds, how far a number moves, and that other files stay what they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from robustbench_cv.models.checkpoint import read_state
from robustbench_cv.models.quantized import dequantize, quantize
from robustbench_cv.models.weights.description import Description, write

NOTHING = Description(architecture="lenet5", classes=("a", "b"))


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ConvTranspose2d(8, 4, 3), nn.Linear(40, 5))


def kernels(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if tensor.ndim > 1}


def test_no_number_moves_by_more_than_half_a_step(network: nn.Module) -> None:
    state = network.state_dict()
    back = dequantize(quantize(state))
    assert set(back) == set(state)
    for name, kernel in kernels(state).items():
        step = kernel.flatten(1).abs().amax(1) / 127
        moved = (back[name] - kernel).flatten(1).abs().amax(1)
        assert bool((moved <= 0.5001 * step).all())
        assert float(moved.max()) > 0
        assert back[name].shape == kernel.shape


def test_a_row_of_zeros_stays_one() -> None:
    kernel = torch.zeros(2, 32)
    kernel[1, 3] = -4.0
    assert torch.equal(dequantize(quantize({"weight": kernel}))["weight"], kernel)


def test_short_rows_biases_and_counters_are_left_alone() -> None:
    state = {"depthwise": torch.rand(8, 1, 3, 3), "bias": torch.rand(64), "counter": torch.tensor(3), "steps": torch.ones(4, 99).long()}
    found = quantize(state)
    assert set(found) == set(state)
    assert all(found[name] is state[name] for name in state)


def test_the_file_takes_half(network: nn.Module, tmp_path: Path) -> None:
    wide = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    write(tmp_path / "16.safetensors", wide, NOTHING)
    write(tmp_path / "8.safetensors", wide, NOTHING, bits=8)
    sizes = [(tmp_path / f"{bits}.safetensors").stat().st_size for bits in (16, 8)]
    assert sizes[1] < 0.52 * sizes[0]


def test_a_file_is_read_back_as_floats_that_the_network_takes(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "8.safetensors"
    write(path, network, NOTHING, bits=8)
    assert load_file(path)["0.weight"].dtype == torch.int8
    state = read_state(path).tensors
    assert {name: t.shape for name, t in state.items()} == {name: t.shape for name, t in network.state_dict().items()}
    assert all(t.is_floating_point() for name, t in state.items() if not name.endswith("num_batches_tracked"))


def test_a_files_own_parameters_called_scale_are_not_taken_for_ours(tmp_path: Path) -> None:
    state = {"norm.scale": torch.rand(4), "norm": torch.rand(4, 32), "layer.scale": torch.rand(3)}
    save_file(state, tmp_path / "theirs.safetensors")
    back = read_state(tmp_path / "theirs.safetensors").tensors
    assert set(back) == set(state)
    assert all(torch.equal(back[name], state[name]) for name in state)
