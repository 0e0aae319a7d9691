"""Two-stage detectors: region operators against loops and torchvision, the published network's constants, the small ones' training."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign

from robustbench_cv.catalogue import RECIPES
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.detectors.faster_rcnn_regions import OPERATORS, Regions
from robustbench_cv.models.detectors.faster_rcnn_small import with_pyramid
from robustbench_cv.models.detectors.faster_rcnn_vgg16 import ProposalHead, base_anchors, published_network
from robustbench_cv.models.sources.torchvision_detection import detector
from robustbench_cv.training.training_set import NOTHING
from robustbench_cv.types import predict

WORKED = torch.arange(64.0).reshape(1, 1, 8, 8)
"""Row r, column c holds 8 r + c."""


def cut(operator: str, box: list[float], bins: int = 2, scale: float = 1.0, **more: int) -> list[list[float]]:
    return OPERATORS[operator](WORKED, [torch.tensor([box])], bins, scale, **more)[0, 0].tolist()


def test_roi_pool_on_a_worked_map() -> None:
    """The box (0.6, 1.4)-(5.4, 6.6) rounds to columns 1-5 and rows 1-7: bins of columns 1-3, 3-5 and rows 1-4, 4-7, which share cells."""
    assert cut("pool", [0.6, 1.4, 5.4, 6.6]) == [[8 * 4 + 3, 8 * 4 + 5], [8 * 7 + 3, 8 * 7 + 5]]


def test_roi_align_on_a_worked_map() -> None:
    """The map is 8 y + x, so that bilinear samples are exact: each bin's mean is the value at its middle."""
    x1, y1, x2, y2 = 0.6, 1.4, 5.4, 6.6
    expected = [[8 * (y1 + v * (y2 - y1)) + x1 + u * (x2 - x1) for u in (0.25, 0.75)] for v in (0.25, 0.75)]
    for samples in (1, 2):
        assert torch.tensor(cut("align", [x1, y1, x2, y2], samples=samples)).allclose(torch.tensor(expected))


def test_rounding_moves_what_roi_pool_sees_and_not_what_roi_align_sees() -> None:
    """Half a cell: RoIPool sees the same cells as before, RoIAlign what lies there."""
    assert cut("pool", [0.6, 1.4, 5.4, 6.6]) == cut("pool", [1.0, 1.0, 5.0, 7.0])
    assert cut("align", [0.6, 1.4, 5.4, 6.6]) != cut("align", [1.0, 1.0, 5.0, 7.0])
    assert cut("warp", [0.6, 1.4, 5.4, 6.6]) == cut("warp", [1.0, 1.0, 5.0, 7.0])


def test_the_crop_averages_the_cells_that_are_touched() -> None:
    """Columns 0-5 and rows 1-6 are touched: six by six cells, three by three in each bin."""
    assert cut("crop", [0.6, 1.4, 5.4, 6.6]) == [[8 * 2 + 1, 8 * 2 + 4], [8 * 5 + 1, 8 * 5 + 4]]


def test_roi_pool_equals_the_obvious_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 9, 11, generator=generator)
    boxes = [torch.rand(5, 4, generator=generator) * 60 for _ in range(2)]
    boxes = [torch.cat([torch.minimum(b[:, :2], b[:, 2:]), torch.maximum(b[:, :2], b[:, 2:])], dim=1) for b in boxes]
    found = OPERATORS["pool"](maps, boxes, 3, 1 / 8)
    rows = [(n, box) for n in range(2) for box in boxes[n].tolist()]
    for out, (n, box) in zip(found, rows, strict=True):
        x1, y1, x2, y2 = (math.floor(v / 8 + 0.5) for v in box)
        width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
        for i, j in itertools.product(range(3), range(3)):
            top, bottom = y1 + math.floor(i * height / 3), y1 + math.ceil((i + 1) * height / 3)
            left, right = x1 + math.floor(j * width / 3), x1 + math.ceil((j + 1) * width / 3)
            cells = maps[n, :, min(max(top, 0), 9) : min(max(bottom, 0), 9), min(max(left, 0), 11) : min(max(right, 0), 11)]
            expected = cells.amax((1, 2)) if cells.numel() else torch.zeros(3)
            torch.testing.assert_close(out[:, i, j], expected)


def test_levels_are_chosen_as_torchvision_does() -> None:
    generator = torch.Generator().manual_seed(1)
    features = {str(k): torch.randn(2, 4, 256 // 2 ** (k + 2), 320 // 2 ** (k + 2), generator=generator) for k in range(4)}
    sides = torch.tensor([8.0, 40, 111.9, 112, 150, 224, 300])[:, None].expand(7, 2)
    corner = torch.rand(7, 2, generator=generator) * 20
    boxes = [torch.cat([corner, corner + sides], dim=1), torch.cat([corner, corner + sides.flip(0)], dim=1)[:3]]
    shapes = [(256, 320), (256, 320)]
    expected = MultiScaleRoIAlign(list("0123"), 7, 2)(features, boxes, shapes)
    torch.testing.assert_close(Regions("align", "0123", 7)(features, boxes, shapes), expected)
    assert not Regions("pool", "0123", 7)(features, boxes, shapes).allclose(expected)


def test_the_published_anchors() -> None:
    """The table that the authors' generate_anchors.py prints, for corners counted from 1, both inclusive."""
    expected = [
        (-83, -39, 100, 56), (-175, -87, 192, 104), (-359, -183, 376, 200),
        (-55, -55, 72, 72), (-119, -119, 136, 136), (-247, -247, 264, 264),
        (-35, -79, 52, 96), (-79, -167, 96, 184), (-167, -343, 184, 360),
    ]  # fmt: skip
    assert [(x1 + 1, y1 + 1, x2, y2) for x1, y1, x2, y2 in base_anchors()] == expected


def test_the_published_network_layer_by_layer() -> None:
    with torch.device("meta"):
        network = published_network(20)
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in network.named_children()}
    assert count["backbone"] == 14_714_688
    assert count["rpn"] == 512 * 512 * 9 + 512 + 513 * 18 + 513 * 36
    assert count["roi_heads"] == 25_089 * 4096 + 4097 * 4096 + 4097 * 21 + 4097 * 84
    assert (network.rpn.pre_nms_top_n(), network.rpn.post_nms_top_n()) == (12_000, 2_000)
    network.eval()
    assert (network.rpn.pre_nms_top_n(), network.rpn.post_nms_top_n()) == (6_000, 300)


def test_the_proposals_objectness_is_a_softmax() -> None:
    head = ProposalHead(6, 9)
    x = torch.randn(2, 6, 4, 5)
    (objectness,), _ = head([x])
    scores = head.cls_score(head.conv(x).relu()).reshape(2, 2, 9, 4, 5)
    torch.testing.assert_close(objectness.sigmoid(), scores.softmax(dim=1)[:, 1])


@pytest.mark.parametrize("roi", OPERATORS)
def test_every_operator_reaches_the_input_of_a_pyramid(roi: str) -> None:
    network = with_pyramid(3, 8, 64)
    network.roi_heads.box_roi_pool = Regions(roi, "012", 6, side=64 / 3, canonical=3)
    x = torch.rand(2, 3, 48, 64, requires_grad=True)
    detector(network, ("a", "b", "c"), "rcnn").raw(x).log_score.sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("fpn", [True, False])
def test_operators_have_no_weights(fpn: bool) -> None:
    counts = {build(f"faster-rcnn(roi={roi!r}, fpn={fpn})", device="meta").info.parameters for roi in OPERATORS}
    assert len(counts) == 1


def test_the_network_without_a_pyramid_reads_stride_16() -> None:
    """ResNet-50 to its fourth stage, the fifth on every region: 15 anchors a cell, 6,000 proposals before suppression."""
    model: Any = build("faster-rcnn(fpn=False, num_classes=3, min_size=64, max_size=96)")
    with torch.no_grad():
        raw = model.raw(torch.rand(1, 3, 48, 64))
        maps = model.module.backbone(torch.rand(1, 3, 64, 96))
    assert maps["0"].shape == (1, 1024, 4, 6)
    assert raw.boxes.shape[2] == 2
    assert int(raw.valid.sum()) > 0


def test_wrong_designs_are_refused() -> None:
    with pytest.raises(UserError, match="choose one of pool, warp, align, crop"):
        build("faster-rcnn(roi='bilinear')")
    with pytest.raises(UserError, match="are of roi='align' with a pyramid"):
        build("faster-rcnn(roi='pool', weights='DEFAULT')")
    with pytest.raises(UserError, match="keeps their aspect"):
        build("retinanet-small(input_size='96x64')")


SMALL = {
    "scenes-faster-rcnn": "faster-rcnn-small",
    "scenes-faster-rcnn-fpn": "faster-rcnn-fpn-small",
    "scenes-mask-rcnn": "mask-rcnn-small",
    "scenes-retinanet": "retinanet-small",
}


@pytest.mark.parametrize("name", SMALL.values())
def test_small_detectors_decode_to_torchvision_s_own_output(name: str) -> None:
    model: Any = build(f"{name}(num_classes=3, input_size=64, threshold=0.05)")
    x = torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(3))
    for ours, theirs in zip(predict(model, x), model.module([*x]), strict=True):
        assert len(ours.scores) == len(theirs["scores"])  # type: ignore[union-attr]
        torch.testing.assert_close(ours.scores, theirs["scores"], rtol=1e-4, atol=1e-5)  # type: ignore[union-attr]
        torch.testing.assert_close(ours.boxes, theirs["boxes"], rtol=1e-3, atol=1e-2)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", SMALL)
def test_recipes_lower_their_loss_and_take_images_without_objects(name: str) -> None:
    recipe = RECIPES.build(name, width=8)
    assert recipe.architecture == SMALL[name]
    truths = instance_maps() if recipe.instances else rows()
    images = torch.full((2, 3, 96, 96), 0.3)
    images[0, 0, 20:60, 30:80] = 1

    class Pool:
        labels = ("a", "b")

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        network = recipe.network(Pool()).train()
    with torch.enable_grad():
        optimizer = torch.optim.Adam(network.parameters(), 3e-3)
        losses = []
        for _ in range(8):
            loss = recipe.loss(network, images, truths)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert all(math.isfinite(value) for value in losses)
    assert min(losses[-2:]) < 0.8 * losses[0]


def rows() -> Tensor:
    out = torch.full((2, 1, 5), float(NOTHING))
    out[0, 0] = torch.tensor([30.0, 20, 80, 60, 1])
    return out


def instance_maps() -> Tensor:
    out = torch.full((2, 96, 96), NOTHING, dtype=torch.int16)
    out[0, 20:60, 30:80] = 64
    return out
