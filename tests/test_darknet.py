"""Darknet's files: the published networks by their sizes and offsets, round trips, orders, layers and heads against plain loops."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import struct
import time
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.detectors.darknet import cfg, layers, published_cfgs, weights
from robustbench_cv.models.detectors.darknet.heads import FAINT, AnchorHead, GridHead, extended_log
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.models.detectors.darknet.weights import Header
from robustbench_cv.types import predict

OLD, NEW = Header(0, 1, 0, 32013312), Header(0, 2, 0, 32013312)
PUBLISHED = {
    "yolov1": (published_cfgs.version1_shipped(), OLD, 789_312_988),
    "yolov2": (published_cfgs.version2(608, 80, published_cfgs.COCO_ANCHORS_2), OLD, 203_934_260),
    "yolov2-voc": (published_cfgs.version2(416, 20, published_cfgs.VOC_ANCHORS_2), OLD, 202_704_260),
    "yolov3": (published_cfgs.version3(), NEW, 248_007_048),
    "yolov3-tiny": (published_cfgs.version3_tiny(), NEW, 35_434_956),
}
"""Sections, header and bytes of the published files."""

TINY = """
[net]
width=64   # a comment
height=64
channels=3

[conv]
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=12
size=3
pad=1
groups=2
activation=mish

[route]
layers=-1,-2

[route]
layers=-1
groups=2
group_id=1

[convolutional]
filters=8
size=1
activation=linear

[shortcut]
from=-2
activation=relu

[maxpool]
size=2
stride=1

[upsample]
stride=2

[reorg]
stride=2

[maxpool]
size=4
stride=4

[convolutional]
filters=14
size=1
activation=linear

[region]
anchors=1,2, 3,1.5
classes=2
num=2
softmax=1
"""


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def filled(network: DarknetNetwork, seed: int = 0) -> DarknetNetwork:
    """Every number its own, variances positive."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in [*network.parameters(), *(b for n, b in network.named_buffers() if "running" in n)]:
        tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.1)
    return network.eval().requires_grad_(False)


@pytest.fixture
def tiny() -> DarknetNetwork:
    return filled(DarknetNetwork(cfg.parse(TINY)))


# --- the text ----------------------------------------------------------------------------------------------------------------------


def test_what_is_written_reads_back() -> None:
    sections = published_cfgs.version3_tiny()
    again = cfg.parse(cfg.write(sections))
    assert [(s.kind, dict(s.options)) for s in again] == [(s.kind, dict(s.options)) for s in sections]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width=3", r"cfg, line 1: 'width=3'.*\[net\] first"),
        ("[net]\nwidth", r"line 2: 'width'.*key=value"),
        ("[convolutional]\n", r"first section must be \[net\]"),
        ("", r"first section must be \[net\]"),
        ("[net]\nwidth=64\n[yolo]\n", "needs height="),
        ("[net]\nwidth=x\nheight=64\n", "width=x, which is no integer"),
        ("[net]\nwidth=64\nheight=64\n[lstm]\n", r"line 4: the Darknet section \[lstm\] is a layer that this reader does not know"),
        ("[net]\nwidth=64\nheight=64\n[conv]\nactivation=gelu", r"line 4.*activation=gelu"),
        ("[net]\nwidth=64\nheight=64\n[maxpool]\nsize=2\n[route]\nlayers=-3", r"points to the layers \[-3\], of which there are 1"),
        ("[net]\nwidth=64\nheight=64\n[maxpool]\nsize=2\nstride=2\n", "is of no detector"),
        ("[net]\nwidth=2\nheight=2\n[conv]\nsize=5\n", "leaves nothing"),
        ("[net]\nwidth=8\nheight=8\n[yolo]\nclasses=2\nanchors=1,2,3\n", "pairs of width and height, found 3"),
        ("[net]\nwidth=8\nheight=8\n[yolo]\nclasses=2\nanchors=1,2\n", "with 2 classes needs 7 maps before it, found 3"),
        ("[net]\nwidth=8\nheight=8\n[region]\nanchors=1,2\nsoftmax=1\ntree=x\n", "tree of classes"),
        ("[net]\nwidth=8\nheight=8\n[region]\nanchors=1,2\n", "softmax=0"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        DarknetNetwork(cfg.parse(text))


def detecting(conv: str = "", yolo: str = "", between: str = "", side: str = "32") -> str:
    """A smallest detector with options of its own; a key given twice keeps its first value, so they come first."""
    return (
        f"[net]\nwidth={side}\nheight={side}\n[conv]\n{conv}\nfilters=8\nsize=3\npad=1\n{between}\n"
        f"[conv]\nfilters=21\n[yolo]\n{yolo}\nclasses=2\nnum=3\nanchors=1,2, 3,4, 5,6\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (detecting("filters=1000000000"), "filters=1000000000; it must be from 1 to"),
        (detecting("filters=-8"), r"line 4: the Darknet section \[convolutional\] has filters=-8; it must be from 1"),
        (detecting("filters=0"), "filters=0"),
        (detecting("filters=99999", between="[conv]\nfilters=99999"), "brings the network to .* parameters"),
        (detecting("size=0"), "size=0; it must be from 1"),
        (detecting("size=-3"), "size=-3"),
        (detecting("stride=0"), "stride=0"),
        (detecting("padding=-1\npad=0"), "padding=-1"),
        (detecting("pad=7"), "pad=7; it must be from 0 to 1"),
        (detecting("batch_normalize=nan"), "no integer"),
        (detecting("groups=3"), "groups=3, which does not divide its 3 maps before it and 8 filters"),
        (detecting(between="[conv]\nfilters=6\ngroups=4"), "groups=4, which does not divide its 8 maps"),
        (detecting("groups=0"), "groups=0"),
        (detecting(yolo="mask=0,9"), r"mask=0,9; it must name some of its 3 anchors, 0 to 2"),
        (detecting(yolo="mask=-1"), "mask=-1"),
        (detecting(yolo="mask="), "mask=; it must name some"),
        (detecting(yolo="anchors=1,nan"), "no finite number"),
        (detecting(yolo="anchors=1,inf"), "no finite number"),
        (detecting(yolo="anchors=1,-2"), "an anchor of -2"),
        (detecting(yolo="anchors=0,2"), "an anchor of 0"),
        (detecting(yolo="num=0"), "num=0; it must be from 1"),
        (detecting(yolo="num=5"), "num=5 and 3 pairs in anchors="),
        (detecting(yolo="classes=0"), "classes=0"),
        (detecting(yolo="scale_x_y=1e400"), "no finite number"),
        (detecting(between="[maxpool]\nsize=0"), "size=0"),
        (detecting(between="[maxpool]\nstride=0"), "stride=0"),
        (detecting(between="[maxpool]\nsize=2\npadding=9"), "padding=9; it must be from 0 to 2"),
        (detecting(between="[upsample]\nstride=100000"), "stride=100000; it must be from 1 to 64"),
        (detecting(between="[upsample]\nstride=-2"), "stride=-2"),
        (detecting(between="[upsample]\nstride=64\n" * 3), "brings the network to .* outputs for one image"),
        (detecting(between="[reorg]\nstride=0"), "stride=0"),
        (detecting(between="[dropout]\nprobability=nan"), "no finite number"),
        (detecting(between="[dropout]\nprobability=2"), "probability=2.0; it must be from 0 to 1"),
        (detecting(between="[route]\nlayers=-1\ngroups=0"), "groups=0"),
        (detecting(between="[route]\nlayers=-1\ngroups=2\ngroup_id=2"), "group_id=2; it must be from 0 to 1"),
        (detecting(between="[route]\nlayers=-1\ngroups=3"), "groups=3, which does not divide"),
        (detecting(between="[local]\nsize=99"), "leaves nothing"),
        (detecting(between="[connected]\noutput=0"), "output=0"),
        (detecting(between="[maxpool]\nsize=1\n" * 50_000), "of 50,003 layers; this reader builds up to 1000"),
        (detecting(side="0"), "height=0|width=0"),
        (detecting(side="100000"), "it must be from 1 to 16384"),
        (detecting(side="9" * 5000), "no integer|it must be"),
        ("[net]\nwidth=32\nheight=32\nchannels=1\n[conv]\n", "channels=1; it must be from 3 to 3"),
        ("[net]\nwidth=8\nheight=8\n[detection]\nside=0\n", "side=0"),
    ],
)
def test_a_value_out_of_range_is_named_before_memory_is_taken(text: str, message: str) -> None:
    begun = time.perf_counter()
    with pytest.raises(UserError, match=message) as refused:
        DarknetNetwork(cfg.parse(text))
    assert len(str(refused.value)) < 300
    assert time.perf_counter() - begun < 30


def test_what_is_in_range_builds() -> None:
    network = DarknetNetwork(cfg.parse(detecting("groups=3\nfilters=9", "mask=2,0\nnum=3", "[route]\nlayers=-1\ngroups=3\ngroup_id=2")
                                       .replace("filters=21", "filters=14")))  # fmt: skip
    assert network.heads[0].anchors.tolist() == [[5, 6], [1, 2]]
    assert network(torch.zeros(1, 3, 32, 32))[0].shape == (1, 14, 32, 32)


def test_a_file_that_is_far_too_large_is_no_cfg(tmp_path: Path) -> None:
    path = tmp_path / "big.cfg"
    with path.open("wb") as file:
        file.truncate(cfg.LARGEST_FILE + 1)
    with pytest.raises(UserError, match="10,000,001 bytes, far more than a Darknet cfg"):
        cfg.read(path)


# --- the published networks, without their numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_files_have_our_size(name: str) -> None:
    sections, header, size = PUBLISHED[name]
    with torch.device("meta"):
        assert weights.size(DarknetNetwork(sections), header) == size


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("yolov1", "c48d19b460c910d5"),
        ("yolov2", "325aa823631651e4"),
        ("yolov2-voc", "527619dfc38e0454"),
        ("yolov3", "c7c3870ea642134d"),
        ("yolov3-tiny", "b1928cd3b2f7e48b"),
    ],
)
def test_every_layer_stays_where_it_is_in_the_file(name: str, digest: str) -> None:
    """A change of order or of any layer's size moves all that follow, silently: hence a hash of (layer, kind, byte, floats)."""
    sections, header, size = PUBLISHED[name]
    with torch.device("meta"):
        found = weights.places(DarknetNetwork(sections), header)
    assert found[0].offset == header.size
    assert all(a.offset + 4 * a.floats == b.offset for a, b in itertools.pairwise(found))
    assert found[-1].offset + 4 * found[-1].floats == size
    assert hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16] == digest


def test_version_3_has_the_published_layers() -> None:
    with torch.device("meta"):
        network = DarknetNetwork(published_cfgs.version3())
        maps = network(torch.zeros(1, 3, 416, 416))
    assert len(network.layers) == 107
    assert [i for i, kind in enumerate(network.kinds) if kind == "yolo"] == [82, 94, 106]
    assert network.kinds.count("convolutional") == 75
    assert [tuple(m.shape[1:]) for m in maps] == [(255, 13, 13), (255, 26, 26), (255, 52, 52)]
    assert [s.text("mask") for s in published_cfgs.version3() if s.kind == "yolo"] == ["6,7,8", "3,4,5", "0,1,2"]
    backbone = weights.places(network, NEW)[:52]
    assert backbone[-1].layer == 73


def test_version_2_passes_the_finer_map_before_the_coarser() -> None:
    with torch.device("meta"):
        network = DarknetNetwork(published_cfgs.version2(416, 20, published_cfgs.VOC_ANCHORS_2))
    joined = network.layers[29]
    assert isinstance(joined, layers.Convolutional)
    assert joined.conv.in_channels == 256 + 1024
    routes = [m.sources for m in network.layers if isinstance(m, layers.Route)]
    assert routes == [(16,), (27, 24)]


# --- the numbers ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [Header(0, 1, 3, 77), Header(0, 2, 5, 2**40), Header(1, 0, 0, 2**33)], ids=["16 bytes", "20", "1.0"])
def test_a_file_comes_back_byte_for_byte(tiny: DarknetNetwork, header: Header, tmp_path: Path) -> None:
    content = (
        header.to_bytes() + numpy.random.default_rng(0).random(weights.size(tiny, Header(0, 1)) // 4 - 4, dtype=numpy.float32).tobytes()
    )
    (tmp_path / "a.weights").write_bytes(content)
    assert weights.read(tiny, tmp_path / "a.weights", "tiny") == header
    assert int(tiny.seen) == header.seen
    weights.write(tiny, tmp_path / "b.weights", header)
    assert (tmp_path / "b.weights").read_bytes() == content


def test_the_header_decides_its_own_size() -> None:
    assert len(Header(0, 1, 0, 5).to_bytes()) == 16
    assert len(Header(0, 2, 0, 5).to_bytes()) == 20
    assert len(Header(0, 1001, 0, 5).to_bytes()) == 16
    assert Header(0, 2, 0, 5).to_bytes() == struct.pack("<iii", 0, 2, 0) + struct.pack("<Q", 5)


def test_convolutions_connected_and_local_layers_read_in_darknets_orders(tmp_path: Path) -> None:
    """Numbers 0, 1, 2, ... in a file, and where each ends up."""
    text = """[net]\nwidth=2\nheight=2\n[conv]\nfilters=2\nbatch_normalize=1\n[conv]\nfilters=2\n[local]\nfilters=2\n[connected]\noutput=2
batch_normalize=1\n[connected]\noutput=6\n[detection]\nside=1\nclasses=1\nnum=1\n"""
    network = DarknetNetwork(cfg.parse(text))
    count = (weights.size(network, OLD) - 16) // 4
    path = tmp_path / "count.weights"
    path.write_bytes(OLD.to_bytes() + numpy.arange(count, dtype="<f4").tobytes())
    weights.read(network, path, "count")
    numbers = iter(range(count))

    def following(*shape: int) -> Tensor:
        return torch.tensor([next(numbers) for _ in range(math.prod(shape))], dtype=torch.float).reshape(shape)

    first, second, local, matrix, last = list(network.layers)[:5]
    for tensor in (first.norm.bias, first.norm.weight, first.norm.running_mean, first.norm.running_var):
        assert torch.equal(tensor, following(2))
    assert torch.equal(first.conv.weight, following(2, 3, 1, 1))
    assert torch.equal(second.conv.bias, following(2))
    assert torch.equal(second.conv.weight, following(2, 2, 1, 1))
    assert torch.equal(local.bias, following(2, 2, 2))
    assert torch.equal(local.weight, following(4, 2, 2))
    assert torch.equal(matrix.norm.bias, following(2))
    assert torch.equal(matrix.linear.weight, following(2, 8))
    for tensor in (matrix.norm.weight, matrix.norm.running_mean, matrix.norm.running_var):
        assert torch.equal(tensor, following(2))
    assert torch.equal(last.linear.bias, following(6))
    assert torch.equal(last.linear.weight, following(6, 2))
    assert next(numbers, None) is None


def test_old_files_hold_matrices_the_other_way_round(tmp_path: Path) -> None:
    text = "[net]\nwidth=1\nheight=1\n[connected]\noutput=6\n[detection]\nside=1\nclasses=1\nnum=1\n"
    network = DarknetNetwork(cfg.parse(text))
    header = Header(0, 1001)
    path = tmp_path / "old.weights"
    path.write_bytes(header.to_bytes() + numpy.arange(24, dtype="<f4").tobytes())
    weights.read(network, path, "old")
    assert torch.equal(network.layers[0].linear.weight, torch.arange(6.0, 24).reshape(3, 6).T)
    weights.write(network, tmp_path / "again.weights", header)
    assert (tmp_path / "again.weights").read_bytes() == path.read_bytes()


def test_a_file_of_the_wrong_size_is_refused_and_changes_nothing(tiny: DarknetNetwork, tmp_path: Path) -> None:
    path = tmp_path / "short.weights"
    before = {k: v.clone() for k, v in tiny.state_dict().items()}
    whole = weights.size(tiny, NEW)
    path.write_bytes(NEW.to_bytes() + bytes(whole - 24))
    with pytest.raises(UserError, match=rf"wrong size: tiny needs {whole} bytes \(20 \+ 4 x {(whole - 20) // 4}\), found {whole - 4}"):
        weights.read(tiny, path, "tiny")
    first = weights.places(tiny, NEW)[0]
    path.write_bytes(NEW.to_bytes() + bytes(4 * first.floats))
    with pytest.raises(UserError, match="ends with layer 0: a file to start training from"):
        weights.read(tiny, path, "tiny")
    path.write_bytes(b"short")
    with pytest.raises(UserError, match="not a Darknet file: 5 bytes"):
        weights.read(tiny, path, "tiny")
    with pytest.raises(UserError, match="no Darknet file"):
        weights.read(tiny, tmp_path / "none.weights", "tiny")
    assert all(torch.equal(v, before[k]) for k, v in tiny.state_dict().items())


# --- layers --------------------------------------------------------------------------------------------------------------------------


def test_reorg_is_darknets_loop() -> None:
    """The loop over memory, for the values 0 ... C H W - 1 of 8 x 4 x 6."""
    c, h, w, s = 8, 4, 6, 2
    memory = list(range(c * h * w))
    out = [0] * len(memory)
    for k in range(c):
        for j in range(h):
            for i in range(w):
                offset, c2 = divmod(k, c // (s * s))
                place = i * s + offset % s + w * s * (j * s + offset // s + h * s * c2)
                out[i + w * (j + h * k)] = memory[place]
    found = layers.Reorg(2)(torch.arange(c * h * w, dtype=torch.float).reshape(1, c, h, w))
    assert found.shape == (1, 4 * c, h // 2, w // 2)
    assert found.flatten().tolist() == out
    assert not torch.equal(found, F.pixel_unshuffle(torch.arange(c * h * w, dtype=torch.float).reshape(1, c, h, w), 2))


def test_a_local_layer_is_another_convolution_at_each_place() -> None:
    layer = layers.Local((3, 4, 5), 2, 3, 1, 1, torch.nn.Identity())
    layer.bias.data.copy_(seeded(2, 4, 5))
    x = seeded(2, 3, 4, 5, seed=1)
    found = layer(x)
    padded = F.pad(x, (1, 1, 1, 1))
    for row in range(4):
        for column in range(5):
            kernel = layer.weight[row * 5 + column].reshape(2, 3, 3, 3)
            expected = (padded[:, None, :, row : row + 3, column : column + 3] * kernel).sum((2, 3, 4)) + layer.bias[:, row, column]
            torch.testing.assert_close(found[:, :, row, column], expected)


@pytest.mark.parametrize(("size", "stride"), [(2, 1), (2, 2), (5, 1), (13, 1), (3, 2)])
def test_pools_pad_as_darknet_does(size: int, stride: int) -> None:
    x = seeded(1, 1, 7, 7)
    found = layers.MaxPool(size, stride, size - 1)(x)
    side = (7 + size - 1 - size) // stride + 1
    assert found.shape == (1, 1, side, side)
    for i in range(side):
        for j in range(side):
            top, left = i * stride - (size - 1) // 2, j * stride - (size - 1) // 2
            window = x[0, 0, max(0, top) : top + size, max(0, left) : left + size]
            assert found[0, 0, i, j] == window.max()


def test_a_network_is_its_layers_by_hand(tiny: DarknetNetwork) -> None:
    x = seeded(2, 3, 64, 64)
    first, second, seventh, last = (tiny.layers[i] for i in (0, 2, 5, 11))
    norm = first.norm
    a = F.conv2d(x, first.conv.weight, stride=2, padding=1)
    a = (a - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt() * norm.weight[:, None, None]
    a = F.max_pool2d(F.leaky_relu(a + norm.bias[:, None, None], 0.1), 2)
    b = F.conv2d(a, second.conv.weight, second.conv.bias, padding=1, groups=2)
    b = torch.cat([b * F.softplus(b).tanh(), a], dim=1)[:, 8:]
    c = (F.conv2d(b, seventh.conv.weight, seventh.conv.bias) + b).relu()
    c = F.max_pool2d(F.pad(c, (0, 1, 0, 1), value=float("-inf")), 2, 1)
    d = c.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    d = F.max_pool2d(F.pad(layers.Reorg(2)(d), (1, 2, 1, 2), value=float("-inf")), 4)
    (found,) = tiny(x)
    torch.testing.assert_close(found, F.conv2d(d, last.conv.weight, last.conv.bias), rtol=1e-4, atol=1e-4)


# --- heads ---------------------------------------------------------------------------------------------------------------------------


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


@pytest.mark.parametrize("stretch", [1.0, 1.2])
@pytest.mark.parametrize("version", [2, 3])
def test_anchor_heads_equal_the_obvious_loop(version: int, stretch: float) -> None:
    anchors = torch.tensor([[1.5, 2.0], [4.0, 3.0]]) * (1 if version == 2 else 16)
    head = AnchorHead(3, anchors, in_cells=version == 2, softmax=version == 2, stretch=stretch)
    grid = (seeded(1, 16, 4, 6) - 0.5) * 4
    found = head.believe(grid, 64, 96)
    expected, scores = [], []
    for a in range(2):
        for j in range(4):
            for i in range(6):
                tx, ty, tw, th, to, *tc = grid[0, a * 8 : a * 8 + 8, j, i].tolist()
                x = (i + sigmoid(tx) * stretch - (stretch - 1) / 2) / 6 * 96
                y = (j + sigmoid(ty) * stretch - (stretch - 1) / 2) / 4 * 64
                w, h = (math.exp(t) * p * (16 if version == 2 else 1) for t, p in zip((tw, th), anchors[a].tolist(), strict=True))
                expected.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
                total = sum(math.exp(t) for t in tc)
                kinds = [math.exp(t) / total if version == 2 else sigmoid(t) for t in tc]
                scores.append([sigmoid(to) * k for k in kinds])
    torch.testing.assert_close(found.boxes[0], torch.tensor(expected), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.log_score[0].exp(), torch.tensor(scores), rtol=1e-4, atol=1e-5)
    middle = (found.cells[:, :2] + found.cells[:, 2:]) / 2
    assert middle[1].tolist() == [24, 8]


def test_the_grid_head_reads_the_vector_in_darknets_order() -> None:
    s, b, c = 3, 2, 4
    head = GridHead(c, s, b, root=True)
    vector = seeded(1, s * s * (c + 5 * b)) * 0.9 + 0.05
    found = head.believe(vector, 96, 48)
    flat = vector[0].tolist()
    for cell in range(s * s):
        row, column = divmod(cell, s)
        for n in range(b):
            scale = flat[s * s * c + cell * b + n]
            x, y, w, h = flat[s * s * (c + b) + 4 * (cell * b + n) :][:4]
            x, y, w, h = (x + column) / s * 48, (y + row) / s * 96, w * w * 48, h * h * 96
            k = cell * b + n
            torch.testing.assert_close(found.boxes[0, k], torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2]), rtol=1e-4, atol=1e-4)
            kinds = torch.tensor([scale * flat[cell * c + j] for j in range(c)])
            torch.testing.assert_close(found.log_score[0, k].exp(), kinds.clamp(min=FAINT), rtol=1e-4, atol=1e-3)
            assert found.cells[k].tolist() == [column * 16, row * 32, column * 16 + 16, row * 32 + 32]


def test_the_logarithm_of_a_linear_score_goes_on_falling_below_zero() -> None:
    p = torch.linspace(-2, 2, 4001, dtype=torch.double).requires_grad_()
    y = extended_log(p)
    (slope,) = torch.autograd.grad(y.sum(), p)
    assert (y.diff() > 0).all()
    assert (slope > 0).all()
    high = p.detach() >= FAINT
    torch.testing.assert_close(y[high], p[high].log())
    assert (y[~high] < math.log(FAINT) + 1e-9).all()


# --- as models -----------------------------------------------------------------------------------------------------------------------


def test_a_cfg_and_its_weights_are_a_model(tmp_path: Path) -> None:
    (tmp_path / "mine.cfg").write_text(TINY)
    network = filled(DarknetNetwork(cfg.parse(TINY)))
    weights.write(network, tmp_path / "mine.weights", NEW)
    spec = f"darknet:{tmp_path / 'mine.cfg'}(weights={str(tmp_path / 'mine.weights')!r}, classes='cat,dog')"
    model = build(spec)
    assert model.info.classes.names == ("cat", "dog")
    assert model.info.name == "mine"
    x = seeded(2, 3, 64, 64, seed=3)
    raw = model.raw(x)
    (grid,) = network(x)
    beliefs = network.heads[0].believe(grid, 64, 64)
    torch.testing.assert_close(raw.log_score, beliefs.log_score)
    torch.testing.assert_close(raw.boxes[:, :, 0], beliefs.boxes.clamp(0, 64))
    assert len(predict(model, x)) == 2
    bare = build(f"darknet:{tmp_path / 'mine.cfg'}")
    assert "random" in bare.info.name
    assert bare.info.classes.are_numbered
    with pytest.raises(UserError, match="2 classes, the names are 3"):
        build(f"darknet:{tmp_path / 'mine.cfg'}(classes='a,b,c')")
    with pytest.raises(UserError, match="no Darknet cfg"):
        build("darknet:nowhere.cfg")


def test_a_named_network_takes_darknets_file_too(tmp_path: Path) -> None:
    network = filled(DarknetNetwork(published_cfgs.narrow(published_cfgs.version3_tiny(64, 2), 4)))
    path = tmp_path / "mine.weights"
    weights.write(network, path, NEW)
    model = build(f"yolov3-tiny(checkpoint={str(path)!r}, width=4, input_size=64, classes='a,b')")
    x = seeded(1, 3, 64, 64)
    for head, grid, (_, start, stop) in zip(network.heads, network(x), ((32, 0, 12), (16, 12, 60)), strict=True):
        torch.testing.assert_close(model.raw(x).log_score[:, start:stop], head.believe(grid, 64, 64).log_score)
    with pytest.raises(UserError, match="wrong size"):
        build(f"yolov3-tiny(checkpoint={str(path)!r}, width=4, input_size=64, classes='a,b,c')")
