"""Weights from files: strict, cast up, unwrapped with a note, and never by running what the file says."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.checkpoint import load_checkpoint, load_into, read_state


def net(classes: int = 4, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 8, 3), norm=nn.BatchNorm2d(8), head=nn.Linear(8, classes)))


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors"])
def test_a_state_dict_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    path, source, target = tmp_path / f"weights{suffix}", net(seed=1), net(seed=2)
    save_file(source.state_dict(), path) if suffix == ".safetensors" else torch.save(source.state_dict(), path)
    assert not same(source, target)
    assert load_checkpoint(target, path, "net") == ()
    assert same(source, target)


class Malicious:
    """Its pickle makes a folder when opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_code_is_refused(tmp_path: Path, legacy: bool) -> None:
    proof = tmp_path / "it ran"
    torch.save({"state_dict": net().state_dict(), "x": Malicious(proof)}, tmp_path / "bad.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match=r"bad\.pth is refused.*could run code.*mkdir"):
        read_state(tmp_path / "bad.pth")
    assert not proof.exists()


def test_a_pickled_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    torch.save(net(), tmp_path / "whole.pt")
    with pytest.raises(UserError, match=r"save `model\.state_dict\(\)` alone"):
        read_state(tmp_path / "whole.pt")


@pytest.mark.parametrize(
    ("name", "content"), [("cut.pth", b"PK\x03\x04 cut"), ("cut.safetensors", b"12"), ("empty.pt", b""), ("text.pt", b"hello")]
)
def test_an_unreadable_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        read_state(tmp_path / name)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no checkpoint file .*nothing\.pth"):
        read_state(tmp_path / "nothing.pth")


@pytest.mark.parametrize("content", [{"epoch": 3, "lr": 0.1}, [1, 2], {}, {"state_dict": {}}])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(UserError, match="not a state dict"):
        read_state(tmp_path / "c.pt")


def test_nesting_is_taken_off_with_a_note(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, target = net(seed=1), net(seed=2)
    torch.save({"epoch": 9, "model": {"state_dict": source.state_dict()}}, tmp_path / "c.pt")
    notes = load_checkpoint(target, tmp_path / "c.pt", "net")
    assert same(source, target)
    assert notes == ("took 'model' and left epoch", "took 'state_dict'")
    assert "took 'state_dict'" in caplog.text


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module."])
def test_a_shared_prefix_is_taken_off_with_a_note(prefix: str) -> None:
    source, target = net(seed=1), net(seed=2)
    notes = load_into(target, {prefix + k: v for k, v in source.state_dict().items()}, "net")
    assert same(source, target)
    assert "took the prefix" in notes[0]


def test_a_prefix_that_belongs_to_the_module_stays() -> None:
    source, target = (nn.ModuleDict({"model": net(seed=s)}) for s in (1, 2))
    assert load_into(target, source.state_dict(), "net") == ()
    assert same(source, target)


def test_half_precision_is_cast_up() -> None:
    source, target = net(seed=1), net(seed=2)
    notes = load_into(target, {k: v.half() if v.is_floating_point() else v for k, v in source.state_dict().items()}, "net")
    assert "cast float16" in notes[0]
    assert {v.dtype for v in target.parameters()} == {torch.float32}
    torch.testing.assert_close(target.conv.weight, source.conv.weight, rtol=1e-3, atol=1e-4)


def changed(**changes: Tensor | None) -> dict[str, Tensor]:
    state = {**net(seed=1).state_dict(), **{k.replace("__", "."): v for k, v in changes.items()}}
    return {k: v for k, v in state.items() if v is not None}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed(head__bias=None), r"1 missing \(head\.bias\)"),
        (changed(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (
            changed(head__weight=torch.zeros(7, 8), head__bias=torch.zeros(7)),
            r"2 of another shape \(head\.weight \(7, 8\) for \(4, 8\).*num_classes=",
        ),
        ({"body." + k: v for k, v in net().state_dict().items()}, r"the file's names have 'body\.' in front: 'body\.conv\.weight'"),
        ({"a": torch.zeros(1)}, "8 missing.*and 5 more.*checkpoint of this architecture"),
    ],
)
def test_a_mismatch_says_what_and_leaves_the_module_alone(state: dict[str, Tensor], message: str) -> None:
    target = net(seed=2)
    with pytest.raises(UserError, match=message):
        load_into(target, state, "net")
    assert same(target, net(seed=2))


def test_batch_counters_may_be_missing_or_spare() -> None:
    source, target = net(seed=1), net(seed=2)
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    load_into(target, state, "net")
    torch.testing.assert_close(target.norm.running_mean, source.norm.running_mean)
    load_into(target, {**state, "conv.num_batches_tracked": torch.tensor(3)}, "net")
    assert torch.equal(target.conv.weight, source.conv.weight)
