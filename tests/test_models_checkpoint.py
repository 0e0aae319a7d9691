"""Weights from files: strict, cast up, unwrapped with a note, and never by running what the file says."""

from __future__ import annotations

import argparse
import os
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.checkpoint import load_checkpoint, load_into, read_state, with_key
from robustbench_cv.models.checkpoint_formats import read_weights


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
    assert notes == ("took 'model.state_dict' and left epoch",)
    assert "took 'model.state_dict'" in caplog.text


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module.", "student_net.", "task.body."])
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
        (
            {"body." + k: v for k, v in net().state_dict().items() if k != "head.bias"},
            r"the file's names have 'body\.' in front: 'body\.conv\.weight'",
        ),
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


# --- files as training scripts leave them ------------------------------------------------------------------------------------------------


def prefixed(prefix: str, seed: int) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in net(seed=seed).state_dict().items()}


RAW, AVERAGED = 1, 2
COPIES = {
    "timm": ({"epoch": 3, "state_dict": prefixed("", RAW), "state_dict_ema": prefixed("", AVERAGED)}, "state_dict_ema"),
    "torchvision": (
        {"model": prefixed("", RAW), "model_ema": prefixed("module.", AVERAGED) | {"n_averaged": torch.tensor(7)}, "epoch": 1},
        "model_ema",
    ),
    "lightning": ({"state_dict": prefixed("model.", RAW) | prefixed("ema_model.", AVERAGED)}, "ema_model"),
    "inside": ({"checkpoint": {"net": prefixed("", RAW), "swa": {"weights": prefixed("", AVERAGED)}}}, "checkpoint.swa"),
    "beside": (prefixed("", RAW) | prefixed("teacher.", AVERAGED), "teacher"),
}
"""A network beside its average over the training, and the key of the latter."""


@pytest.mark.parametrize("kind", COPIES)
def test_beside_an_average_the_network_is_taken_and_a_key_chooses(kind: str, tmp_path: Path) -> None:
    content, key = COPIES[kind]
    path = tmp_path / "c.pth"
    torch.save(content, path)
    target = net(seed=9)
    notes = load_checkpoint(target, path, "net")
    assert same(target, net(seed=RAW))
    assert any("left" in note and f"key={key!r}" in note.replace(".weights", "") for note in notes)
    load_checkpoint(target, with_key(str(path), key), "net")
    assert same(target, net(seed=AVERAGED))


@pytest.mark.parametrize(
    ("content", "seed"),
    [
        ({"state_dict_ema": prefixed("module.", AVERAGED)}, AVERAGED),
        ({"ema": prefixed("", AVERAGED), "step": 3}, AVERAGED),
        ({"weight": prefixed("", RAW)}, RAW),
        ({"net": prefixed("", RAW), "optim": {"m": prefixed("", AVERAGED)}, "best": torch.tensor(0.9)}, RAW),
        ({"args": argparse.Namespace(rate=0.1, out=Path("here")), "acc": numpy.float64(0.9), "model": prefixed("", RAW)}, RAW),
    ],
)
def test_a_single_copy_is_taken_whatever_it_is_called(content: Any, seed: int, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "c.pth")
    target = net(seed=9)
    load_checkpoint(target, tmp_path / "c.pth", "net")
    assert same(target, net(seed=seed))


def test_of_two_networks_none_is_guessed(tmp_path: Path) -> None:
    torch.save({"generator": prefixed("", 1), "critic": prefixed("", 2)}, tmp_path / "gan.pth")
    with pytest.raises(UserError, match=r"2 state dicts; choose one with key='generator' or key='critic'"):
        read_state(tmp_path / "gan.pth")
    with pytest.raises(UserError, match=r"2 networks that fit; choose one with key='left' or key='right'"):
        load_into(net(), prefixed("left.", 1) | prefixed("right.", 2), "pair")
    with pytest.raises(UserError, match=r"no state dict under key='ema'; it has generator, critic"):
        read_state(with_key(str(tmp_path / "gan.pth"), "ema"))


def test_key_is_an_argument_beside_checkpoint(tmp_path: Path) -> None:
    network: Any = build("lenet5")
    state = network.module.net.state_dict()
    torch.save({"state_dict": state, "state_dict_ema": {name: tensor + 1 for name, tensor in state.items()}}, tmp_path / "c#1.pth")
    path = str(tmp_path / "c#1.pth")
    plain: Any = build(f"lenet5(checkpoint={path!r})")
    averaged: Any = build("lenet5", checkpoint=path, key="state_dict_ema")
    torch.testing.assert_close(averaged.module.net.output.bias, plain.module.net.output.bias + 1)
    with pytest.raises(UserError, match="give both"):
        build("lenet5(key='ema')")


@pytest.mark.parametrize("prefix", ["", "model.", "module.model."])
def test_what_a_framework_keeps_beside_the_network_is_left_with_a_note(prefix: str) -> None:
    target = net(seed=9)
    extras = {"criterion.weight": torch.ones(4), "train_acc.confmat": torch.zeros(4, 4), "aux_head.0.weight": torch.ones(1)}
    notes = load_into(target, prefixed(prefix, 1) | extras, "net")
    assert same(target, net(seed=1))
    assert "left criterion, train_acc, aux_head, which the network does not have" in notes


def test_an_average_with_its_counter_loads() -> None:
    target = net(seed=9)
    load_into(target, torch.optim.swa_utils.AveragedModel(net(seed=1)).state_dict(), "net")
    assert same(target, net(seed=1))


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 46830571\n", "a Git LFS pointer.*git lfs pull"),
        (b"<!DOCTYPE html><html>sign in</html>", "a web page, not weights"),
        (b"\n<HTML><body>404</body>", "a web page, not weights"),
        (b'{"error": "gated"}', "JSON text, not weights"),
        (b"\x1f\x8b\x08\x00tar", "a gzip archive: unpack it"),
        (b"no weights at all", "no weights file"),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_stands_for_weights_is_named_as_what_it_is(content: bytes, what: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"best{suffix}"
    path.write_bytes(content)
    with pytest.raises(UserError, match=what if suffix == ".pth" or "no weights" not in what else "not a complete safetensors"):
        read_state(path)


def test_the_bytes_decide_what_a_file_is_not_its_suffix(tmp_path: Path) -> None:
    state = net(seed=1).state_dict()
    save_file(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "b.safetensors")
    for name in ("a.pth", "b.safetensors"):
        target = net(seed=2)
        load_checkpoint(target, tmp_path / name, "net")
        assert same(target, net(seed=1))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_archives_that_are_no_state_dict_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("a.jpg", "")
    with pytest.raises(UserError, match=r"a zip archive of a\.jpg"):
        read_state(tmp_path / "photos.pth")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", "")
        archive.writestr("script/constants.pkl", "")
    with pytest.raises(UserError, match="a TorchScript program"):
        read_state(tmp_path / "script.pt")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda t: t.to(torch.complex64), r"'conv\.weight' is complex \(complex64\)"),
        (lambda t: t.to_sparse(), r"is sparse \(sparse_coo\)"),
        (lambda t: t.to("meta"), "without numbers"),
        (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), r"quantised \(qint8\)"),
        (lambda t: t.long(), r"of integers \(int64\), where the network has float32"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(change: Any, what: str, tmp_path: Path) -> None:
    source = {name: change(tensor) if tensor.is_floating_point() else tensor for name, tensor in net(seed=1).state_dict().items()}
    torch.save(source, tmp_path / "c.pth")
    target = net(seed=2)
    with pytest.raises(UserError, match=what):
        load_checkpoint(target, tmp_path / "c.pth", "net")
    assert same(target, net(seed=2))


def test_lazy_layers_are_named_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"lazy layers.*\(0\.weight, 0\.bias\); call it on an image once"):
        load_into(nn.Sequential(nn.LazyLinear(2)), {"0.weight": torch.zeros(2, 3), "0.bias": torch.zeros(2)}, "lazy")


def test_a_torch_file_in_which_a_byte_was_changed_is_damaged(tmp_path: Path) -> None:
    """Torch's own reader does not ask for the checksums that it wrote."""
    file = tmp_path / "weights.pt"
    torch.save({"w": torch.arange(64, dtype=torch.float64), "v": torch.zeros(5)}, file)
    whole, at = file.read_bytes(), file.read_bytes().index(torch.tensor(5.0, dtype=torch.float64).numpy().tobytes())
    file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    assert not torch.equal(torch.load(file, weights_only=True)["w"], torch.arange(64, dtype=torch.float64)), "the file is damaged"
    with pytest.raises(UserError, match=r"weights\.pt is damaged: the checksum of 'weights/data/0' in it is another"):
        read_weights(file)


def test_a_torch_file_that_was_written_without_checksums_is_read(tmp_path: Path) -> None:
    try:
        torch.serialization.set_crc32_options(False)
        torch.save({"w": torch.ones(64)}, tmp_path / "weights.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_weights(tmp_path / "weights.pt")["w"], torch.ones(64))
