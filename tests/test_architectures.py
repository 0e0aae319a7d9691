"""The own architectures: sizes of the papers, shapes, decoding against an obvious loop, loss against its definition."""

from __future__ import annotations

import logging
import math
import os
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robustbench_cv.catalogue import MODELS
from robustbench_cv.errors import UserError
from robustbench_cv.models.classifiers.cifar_resnet import Block, CifarResNet, shortcut
from robustbench_cv.models.classifiers.lenet5 import CONNECTIONS, LeNet5, PartialConv, squash
from robustbench_cv.models.detectors.yolo import decode
from robustbench_cv.models.detectors.yolo.anchors import kmeans, shape_iou
from robustbench_cv.models.detectors.yolo.loss import yolo_loss
from robustbench_cv.models.detectors.yolo.network import STRIDES, Yolo
from robustbench_cv.models.letterbox import Letterbox
from robustbench_cv.models.segmenters.unet import UNet
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.models.weights.initial_weights import parse_size
from robustbench_cv.types import BoxPrediction, Candidates, predict

TINY_YOLO = "yolov3-small(classes='cat,dog', input_size=64, width=4)"
TINY = [
    "lenet5",
    "cifar-resnet20(num_classes=3)",
    "unet(width=2, classes='sky,road,car')",
    TINY_YOLO,
]


pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# --- sizes -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "millions"),
    [("20", "0.27"), ("32", "0.46"), ("44", "0.66"), ("56", "0.85"), ("110", "1.7")],
)
def test_cifar_resnets_have_the_papers_parameters(name: str, millions: str) -> None:
    model = MODELS.build(f"cifar-resnet{name}")
    assert f"{model.info.parameters / 1e6:.{len(millions) - 2}f}" == millions
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.module.modules()) == int(name)


def test_lenet5_has_the_papers_parameters() -> None:
    """Section II.B: 156 + 12 + 1,516 + 32 + 48,120 + 10,164 = 60,000, before the output layer."""
    net = LeNet5(10, channels=1)
    sizes = [parameters(m) for m in (net.c1, net.s2, net.c3, net.s4, net.c5, net.f6)]
    assert sizes == [156, 12, 1516, 32, 48120, 10164]
    assert parameters(net) - parameters(net.output) == 60_000


def test_unet_of_the_papers_width_has_its_parameters() -> None:
    """31,033,045 with 3 -> 21 channels and a bias in each of the 18 convolutions (5,888 maps); here 2 numbers a map normalise instead."""
    with torch.device("meta"):
        assert parameters(UNet(21, 64)) == 31_033_045 + 5_888


# --- parts -----------------------------------------------------------------------------------------------------------------------


def test_shortcut_is_the_strided_identity_between_zeros() -> None:
    x = seeded(2, 16, 6, 5)
    assert shortcut(x, 16) is x
    wider = shortcut(x, 32)
    assert wider.shape == (2, 32, 3, 3)
    assert torch.equal(wider[:, 8:24], x[:, :, ::2, ::2])
    assert not wider[:, :8].any()
    assert not wider[:, 24:].any()


def test_a_block_whose_convolutions_are_silent_is_its_shortcut() -> None:
    net = CifarResNet(3, 10).eval()
    block = net.layer2[0]
    assert isinstance(block, Block)
    nn.init.zeros_(block.bn2.weight)
    x = seeded(1, 16, 8, 8)
    torch.testing.assert_close(block(x), shortcut(x, 32))


def test_partial_convolution_is_one_convolution_a_map() -> None:
    layer = PartialConv(CONNECTIONS, 5)
    nn.init.uniform_(layer.bias)
    x = seeded(2, 6, 14, 14)
    found = layer(x)
    first = 0
    for o, inputs in enumerate(CONNECTIONS):
        kernel = layer.kernels[first : first + len(inputs)][None]
        torch.testing.assert_close(found[:, o : o + 1], F.conv2d(x[:, list(inputs)], kernel, layer.bias[o : o + 1]))
        first += len(inputs)


def test_squash_maps_one_to_one() -> None:
    """Appendix A chose its constants for that; they are rounded to five digits."""
    torch.testing.assert_close(squash(torch.tensor([-1.0, 0.0, 1.0])), torch.tensor([-1.0, 0.0, 1.0]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(16, 16), (17, 33), (5, 40), (1, 1)])
def test_unet_keeps_any_size(size: tuple[int, int]) -> None:
    net = UNet(3, 2).eval()
    x = seeded(2, 3, *size)
    assert net(x).shape == (2, 3, *size)


def test_unet_pads_at_the_far_edges_by_the_border() -> None:
    net = UNet(3, 2).eval()
    x = seeded(1, 3, 20, 31)
    torch.testing.assert_close(net(x), net(F.pad(x, (0, 1, 0, 12), mode="replicate"))[..., :20, :31])


# --- every architecture as a model -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", TINY)
def test_random_weights_are_the_same_every_time_and_leave_the_global_generator_alone(spec: str) -> None:
    before = torch.get_rng_state()
    first = MODELS.build(spec).info.weights_sha256
    torch.rand(3)
    assert MODELS.build(spec).info.weights_sha256 == first
    torch.set_rng_state(before)
    MODELS.build(spec)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("spec", TINY)
def test_gradients_reach_the_input_and_rows_stand_alone(spec: str) -> None:
    model = MODELS.build(spec)
    x = seeded(3, 3, 40, 56).requires_grad_()

    def values(images: Tensor) -> Tensor:
        raw = model.raw(images)
        return raw.log_score if isinstance(raw, Candidates) else raw.values

    whole = values(x)
    torch.testing.assert_close(whole[1:2], values(x[1:2]), atol=1e-5, rtol=1e-5)
    (grad,) = torch.autograd.grad(whole[1].sum(), x)
    assert grad[1].abs().sum() > 0
    assert not grad[0].any()
    assert not any(p.requires_grad for p in model.module.parameters())
    assert not model.module.training


@pytest.mark.parametrize("spec", TINY)
def test_models_keep_their_names_and_classes(spec: str) -> None:
    model = MODELS.build(spec)
    assert model.info.name == spec.partition("(")[0]
    assert model.info.parameters == parameters(model.module)


def test_lenet5_refuses_other_sizes() -> None:
    with pytest.raises(UserError, match="32x32"):
        MODELS.build("lenet5(input_size=28)")


@pytest.mark.parametrize("size", ["65", "'64x96'"])
def test_yolo_refuses_what_its_strides_do_not_divide(size: str) -> None:
    with pytest.raises(UserError, match="multiple of 32"):
        MODELS.build(f"yolov3-small(input_size={size})")


@pytest.mark.parametrize(("text", "size"), [("160x120", (120, 160)), ("48", (48, 48)), (48, (48, 48)), ("", None), (0, None)])
def test_sizes_are_read_as_width_by_height(text: str | int, size: tuple[int, int] | None) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0x4", "48x", "x48", "a", "-3", "48.0"])
def test_sizes_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="width x height"):
        parse_size(text)


# --- starting from files ---------------------------------------------------------------------------------------------------------


def test_a_described_file_brings_classes_size_normalisation_and_width(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    net = UNet(2, 3)
    write(
        path,
        net,
        Description(
            architecture="unet",
            classes=("road", "car"),
            input_size=(24, 32),
            mean=(0.1, 0.2, 0.3),
            std=(0.4, 0.5, 0.6),
            arguments={"width": 3},
        ),
        bits=32,
    )
    model = MODELS.build(f"unet(checkpoint={str(path)!r})")
    assert model.info.classes.names == ("road", "car")
    x = seeded(1, 3, 24, 32)
    normal = (x - torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1)) / torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1)
    torch.testing.assert_close(model.raw(x).values, net.eval()(normal))
    assert model.raw(seeded(1, 3, 50, 70)).values.shape == (1, 2, 50, 70)


def test_a_described_file_is_refused_by_another_architecture_and_width(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    write(path, UNet(2, 3), Description(architecture="unet", classes=("road", "car"), arguments={"width": 3}))
    with pytest.raises(UserError, match="weights of unet, not of lenet5"):
        MODELS.build(f"lenet5(checkpoint={str(path)!r})")
    with pytest.raises(UserError, match="width=3, not 8"):
        MODELS.build(f"unet(checkpoint={str(path)!r}, width=8)")
    with pytest.raises(UserError, match="3 class names"):
        MODELS.build(f"unet(checkpoint={str(path)!r}, classes='a,b,c')")
    assert MODELS.build(f"unet(checkpoint={str(path)!r}, classes='a, b')").info.classes.names == ("a", "b")


def test_a_bare_file_takes_the_users_width_and_stem(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "bare.safetensors"
    net = CifarResNet(3, 4, stem=2).eval()
    save_file(net.state_dict(), path)
    model = MODELS.build(f"cifar-resnet20(checkpoint={str(path)!r}, num_classes=4, stem=2, input_size=40)")
    x = seeded(1, 3, 40, 40)
    torch.testing.assert_close(model.raw(x).values, net(x))
    assert model.info.classes.are_numbered


def test_unknown_and_double_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no bundled weights 'moon'"):
        MODELS.build("unet(weights='moon')")
    with pytest.raises(UserError, match="exclude each other"):
        MODELS.build("unet(weights='scenes', checkpoint='x.safetensors')")
    with pytest.raises(UserError, match="no checkpoint file"):
        MODELS.build(f"unet(checkpoint={str(tmp_path / 'x.safetensors')!r})")


def test_damaged_metadata_is_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "mine.safetensors"
    save_file(UNet(2, 2).state_dict(), path, metadata={"robustbench_cv": '{"architecture": "unet"'})
    with pytest.raises(UserError, match="metadata cannot be read"):
        MODELS.build(f"unet(checkpoint={str(path)!r})")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="safetensors"):
        MODELS.build(f"unet(checkpoint={str(path)!r})")


def test_half_precision_costs_a_thousandth(tmp_path: Path) -> None:
    net, x = LeNet5(4).eval(), seeded(4, 3, 32, 32)
    path = tmp_path / "mine.safetensors"
    write(path, net, Description(architecture="lenet5", classes=("a", "b", "c", "d"), input_size=(32, 32)))
    assert path.stat().st_size < 2.2 * parameters(net) + 3000
    torch.testing.assert_close(MODELS.build(f"lenet5(checkpoint={str(path)!r})").raw(x).values, net(x), atol=5e-3, rtol=5e-3)


def test_published_resnet20_reaches_its_accuracy(caplog: pytest.LogCaptureFixture) -> None:
    """0.8135 on these 2,000 images, which went through JPEG (0.917 is published for the uncompressed test set)."""
    folder = os.environ.get("ROBUSTBENCH_CV_DATA")
    if not folder or not (Path(folder) / "cifar10" / "resnet20.safetensors").is_file():
        pytest.skip("real data: set ROBUSTBENCH_CV_DATA to a folder with cifar10/resnet20.safetensors and cifar10/test_2000.npz")
    data = numpy.load(Path(folder) / "cifar10" / "test_2000.npz")
    with caplog.at_level(logging.WARNING):
        model = MODELS.build(f"cifar-resnet20(checkpoint={str(Path(folder) / 'cifar10' / 'resnet20.safetensors')!r})")
    assert caplog.messages == []
    images = torch.from_numpy(data["images"]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        found = torch.cat([model.raw(part).values.argmax(1) for part in torch.split(images, 250)])
    assert float((found == torch.from_numpy(data["labels"])).float().mean()) == pytest.approx(0.8135, abs=1e-3)


# --- YOLO ------------------------------------------------------------------------------------------------------------------------


def obvious_boxes(maps: list[Tensor], anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes and log scores by one loop over every cell, in plain floats."""
    boxes, scores = [], []
    for grid, shapes, stride in zip(maps, anchors.tolist(), STRIDES, strict=True):
        for a, (w, h) in enumerate(shapes):
            for row in range(grid.shape[-2]):
                for column in range(grid.shape[-1]):
                    tx, ty, tw, th, to, *tc = grid[0, a, :, row, column].tolist()
                    x, y = (sigmoid(tx) + column) * stride, (sigmoid(ty) + row) * stride
                    bw, bh = w * math.exp(tw), h * math.exp(th)
                    boxes.append([x - bw / 2, y - bh / 2, x + bw / 2, y + bh / 2])
                    scores.append([math.log(sigmoid(to) * sigmoid(t)) for t in tc])
    return torch.tensor(boxes), torch.tensor(scores)


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def random_maps(classes: int, seed: int, height: int = 64, width: int = 64) -> list[Tensor]:
    shape = [(1, 3, 5 + classes, height // s, width // s) for s in STRIDES]
    return [(seeded(*s, seed=seed + i) - 0.5) * 4 for i, s in enumerate(shape)]


def test_decoding_equals_the_obvious_loop() -> None:
    maps, anchors = random_maps(2, 0, 64, 96), seeded(3, 3, 2, seed=9) * 40 + 5
    boxes, scores = obvious_boxes(maps, anchors)
    torch.testing.assert_close(decode.boxes(maps, anchors)[0], boxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(decode.log_score(*decode.logits(maps))[0], scores, atol=1e-4, rtol=1e-4)


def test_zero_output_is_the_anchor_at_the_cells_middle() -> None:
    """The published network's vector: anchor 116x90 at 416 px, cell (6, 6) of 13 -> centre 6.5/13, size 116/416 x 90/416."""
    maps = [torch.zeros(1, 3, 6, 416 // s, 416 // s) for s in STRIDES]
    anchors = torch.tensor([[[10.0, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]])
    boxes = decode.boxes(maps, anchors)[0]
    assert len(boxes) == 10647
    first = 3 * (52 * 52 + 26 * 26)
    x1, y1, x2, y2 = (boxes[first + 6 * 13 + 6] / 416).tolist()
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((0.5, 0.5))
    assert (x2 - x1, y2 - y1) == pytest.approx((116 / 416, 90 / 416))
    cells = decode.cells(maps)
    torch.testing.assert_close((cells[:, :2] + cells[:, 2:]) / 2, (boxes[:, :2] + boxes[:, 2:]) / 2)


def test_scores_stay_finite_for_absurd_logits() -> None:
    assert decode.log_score(torch.tensor([-1e4, 1e4]), torch.tensor([[-1e4], [1e4]])).isfinite().all()


def test_decode_matches_torchvisions_suppression() -> None:
    from torchvision.ops import batched_nms

    model = MODELS.build(TINY_YOLO)
    boxes = seeded(1, 60, 1, 2, seed=3) * 30
    boxes = torch.cat([boxes, boxes + 4 + seeded(1, 60, 1, 2, seed=4) * 25], dim=-1)
    raw = Candidates(boxes, (seeded(1, 60, 2, seed=5) * 0.9).log(), torch.arange(60)[None] % 7 != 0)
    (found,) = model.decode(raw)
    rows, labels = ((raw.log_score[0].exp() > 0.005) & raw.valid[0][:, None]).nonzero().unbind(1)
    scores = raw.log_score[0].exp()[rows, labels]
    kept = batched_nms(boxes[0, rows, 0], scores, labels, 0.45)[:100]
    torch.testing.assert_close(found.scores, scores[kept])
    torch.testing.assert_close(found.boxes, boxes[0, rows[kept], 0])
    assert torch.equal(found.labels, labels[kept])
    assert 5 < len(kept) < 100


@pytest.mark.parametrize(("height", "width"), [(64, 64), (30, 90), (128, 100)])
def test_letterbox_brings_boxes_back(height: int, width: int) -> None:
    frame = Letterbox(height, width, 64)
    boxes = torch.tensor([[1.0, 2, 20, 25], [0, 0, width, height]])
    torch.testing.assert_close(frame.back(frame.forth(boxes)), boxes, atol=1e-3, rtol=1e-3)
    image = torch.ones(1, 3, height, width)
    square = frame.images(image)
    assert square.shape == (1, 3, 64, 64)
    x1, y1, x2, y2 = frame.forth(boxes)[1].round().int().tolist()
    assert (square[..., y1:y2, x1:x2] > 0.99).all()
    assert square.sum() == pytest.approx(3 * (0.5 * 64 * 64 + 0.5 * (y2 - y1) * (x2 - x1)), rel=1e-4)


def test_letterbox_leaves_an_image_of_its_own_size_alone() -> None:
    image = seeded(1, 3, 64, 64)
    assert torch.equal(Letterbox(64, 64, 64).images(image), image)


def test_a_wide_image_has_candidates_only_on_the_picture() -> None:
    model = MODELS.build(TINY_YOLO)
    raw = model.raw(seeded(1, 3, 32, 64))
    assert int(raw.valid.sum()) == 3 * (8 * 4 + 4 * 2 + 2 * 2)
    boxes = raw.boxes[raw.valid][:, 0]
    assert (boxes[:, 0::2] >= 0).all()
    assert (boxes[:, 1::2] <= 32).all()


def test_detections_have_falling_scores_and_boxes_in_the_image() -> None:
    model = MODELS.build(TINY_YOLO)
    (found,) = predict(model, seeded(1, 3, 50, 70))
    assert isinstance(found, BoxPrediction)
    assert 0 < len(found.scores) <= 100
    assert (found.scores.diff() <= 0).all()
    assert (found.boxes[:, 2] <= 70).all()
    assert (found.boxes[:, 3] <= 50).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_kmeans_finds_separate_clusters_and_raises_the_mean_overlap() -> None:
    shapes = torch.cat([seeded(50, 2, seed=i) * 3 + torch.tensor(c) for i, c in enumerate([[8.0, 8], [10, 40], [50, 20]])])
    found = kmeans(shapes, 3)
    torch.testing.assert_close(found, torch.tensor([[9.5, 9.5], [11.5, 41.5], [51.5, 21.5]]), atol=0.6, rtol=0)
    assert shape_iou(shapes, found).amax(1).mean() > 0.8
    with pytest.raises(ValueError, match="at least 9"):
        kmeans(shapes[:5], 9)


# --- YOLO's loss -----------------------------------------------------------------------------------------------------------------

ANCHORS = torch.tensor([[[8.0, 8], [10, 20], [20, 10]], [[24, 24], [16, 36], [36, 16]], [[48, 48], [30, 60], [60, 30]]])


def bce(logit: float, target: float) -> float:
    return -target * math.log(sigmoid(logit)) - (1 - target) * math.log(1 - sigmoid(logit))


def obvious_loss(maps: list[Tensor], truths: list[list[float]], labels: list[int], ignore: float) -> float:
    """The definition, cell by cell, of one 64 px image."""
    owners: dict[tuple[int, int, int, int], list[int]] = {}
    loss = 0.0
    for k, (x1, y1, x2, y2) in enumerate(truths):
        w, h = x2 - x1, y2 - y1
        overlap = [min(w, a) * min(h, b) / (w * h + a * b - min(w, a) * min(h, b)) for a, b in ANCHORS.flatten(0, 1).tolist()]
        level, a = divmod(max(range(9), key=overlap.__getitem__), 3)
        x, y = (x1 + x2) / 2 / STRIDES[level], (y1 + y2) / 2 / STRIDES[level]
        owners.setdefault((level, a, int(y), int(x)), []).append(k)
        tx, ty, tw, th = maps[level][0, a, :4, int(y), int(x)].tolist()
        aw, ah = ANCHORS[level, a].tolist()
        place = bce(tx, x % 1) + bce(ty, y % 1)
        size = (tw - math.log(w / aw)) ** 2 / 2 + (th - math.log(h / ah)) ** 2 / 2
        loss += (2 - w * h / 64**2) * (place + size)
    boxes, _ = obvious_boxes(maps, ANCHORS)
    candidates = iter(boxes.tolist())
    for level, grid in enumerate(maps):
        for a in range(3):
            for row in range(grid.shape[-2]):
                for column in range(grid.shape[-1]):
                    box = next(candidates)
                    objectness, *kinds = grid[0, a, 4:, row, column].tolist()
                    owned = owners.get((level, a, row, column))
                    if owned:
                        loss += bce(objectness, 1)
                        loss += sum(bce(t, float(c in [labels[k] for k in owned])) for c, t in enumerate(kinds))
                    elif max(overlap_of(box, t) for t in truths) <= ignore:
                        loss += bce(objectness, 0)
    return loss


def overlap_of(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.parametrize("ignore", [0.3, 0.7])
def test_loss_equals_the_obvious_one(ignore: float) -> None:
    maps = random_maps(2, 7)
    truths: list[list[float]] = [
        [3, 5, 12, 13],
        [20, 10, 50, 62],
        [21, 12, 49, 60],
        [30, 30, 54, 55],
    ]  # the second and third share cell and anchor
    labels = [0, 1, 0, 1]
    found = yolo_loss(maps, ANCHORS, [torch.tensor(truths)], [torch.tensor(labels)], ignore)
    assert float(found) == pytest.approx(obvious_loss(maps, truths, labels, ignore), rel=1e-4)
    # Two images: the mean, so an image without objects counts its background.
    none, empty = random_maps(2, 8), (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long))
    both = [torch.cat(pair) for pair in zip(maps, none, strict=True)]
    joined = yolo_loss(both, ANCHORS, [torch.tensor(truths), empty[0]], [torch.tensor(labels), empty[1]], ignore)
    alone = yolo_loss(none, ANCHORS, [empty[0]], [empty[1]], ignore)
    assert float(joined) == pytest.approx(float(found + alone) / 2, rel=1e-5)


def test_ignoring_lowers_the_loss() -> None:
    maps = random_maps(2, 7)
    truth, label = [torch.tensor([[3.0, 5, 12, 13], [20, 10, 50, 62]])], [torch.tensor([0, 1])]
    assert yolo_loss(maps, ANCHORS, truth, label, 0.2) < yolo_loss(maps, ANCHORS, truth, label, 1.0)


def test_an_object_at_the_very_edge_belongs_to_the_last_cell() -> None:
    maps = random_maps(1, 1)
    assert yolo_loss(maps, ANCHORS, [torch.tensor([[60.0, 60, 68, 68]])], [torch.tensor([0])]).isfinite()


def test_loss_falls_on_four_images_and_the_objects_are_found() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Yolo(2, ANCHORS, width=8).train()
    images = seeded(4, 3, 64, 64) * 0.2
    truths = [torch.tensor([[8.0 + 6 * i, 10, 30 + 6 * i, 40]]) for i in range(4)]
    labels = [torch.tensor([i % 2]) for i in range(4)]
    for image, (box,), label in zip(images, truths, labels, strict=True):
        x1, y1, x2, y2 = box.int().tolist()
        image[int(label), y1:y2, x1:x2] = 1
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        loss = yolo_loss(net(images), net.anchors, truths, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[8] < losses[0]
    assert losses[-1] < 0.3 * losses[0]
    with torch.no_grad():
        maps = net(images)
    score = decode.log_score(*decode.logits(maps)).exp()
    best = score.flatten(1).argmax(1)
    assert (best % 2).tolist() == [0, 1, 0, 1]
    found = decode.boxes(maps, net.anchors)[torch.arange(4), best // 2]
    assert all(overlap_of(f.tolist(), t[0].tolist()) > 0.5 for f, t in zip(found, truths, strict=True))
