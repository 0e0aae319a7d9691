"""SSD: the network against torchvision's, the default boxes of the paper, matching, loss and decoding against plain loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from robustbench_cv.boxes import iou
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.detectors.ssd_network import (
    SSD300,
    SSD512,
    Ssd,
    decode_boxes,
    default_boxes,
    encode_boxes,
    match_boxes,
    ssd_loss,
)
from robustbench_cv.types import Candidates


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_network_is_torchvisions() -> None:
    """Every tensor in order, at 300 px: the same scores and offsets from the same numbers."""
    from torchvision.models.detection import ssd300_vgg16

    theirs: Any = ssd300_vgg16(weights=None, weights_backbone=None, num_classes=4).eval()
    mine = Ssd(3, SSD300).eval()
    their_body = [m for m in theirs.backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    my_body = [m for part in (mine.body, mine.extras) for m in part.modules() if isinstance(m, torch.nn.Conv2d)]
    heads = zip(
        [*theirs.head.classification_head.module_list, *theirs.head.regression_head.module_list], [*mine.kinds, *mine.places], strict=True
    )
    with torch.no_grad():
        for a, b in [*zip(their_body, my_body, strict=True), *heads]:
            b.weight.copy_(a.weight)
            b.bias.copy_(a.bias.normal_(0, 0.1, generator=torch.Generator().manual_seed(len(a.bias))))
        theirs.backbone.scale_weight.copy_(seeded(512) * 20)
        mine.scale.copy_(theirs.backbone.scale_weight)
        x = seeded(1, 3, 300, 300) * 4 - 2
        features = list(theirs.backbone(x).values())
        heads_out = theirs.head(features)
        scores, offsets = mine(x)
    torch.testing.assert_close(scores, heads_out["cls_logits"], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(offsets, heads_out["bbox_regression"], rtol=1e-3, atol=1e-3)
    assert [f.shape[-1] for f in features] == mine.shapes(300) == [38, 19, 10, 5, 3, 1]


def test_default_boxes_are_torchvisions_without_the_cut() -> None:
    """With COCO's scales, which torchvision has: squares first, then each ratio both ways. Its steps are the paper's rounded ones."""
    from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
    from torchvision.models.detection.image_list import ImageList

    scales = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]
    shapes = [38, 19, 10, 5, 3, 1]
    generator = DefaultBoxGenerator([[2], [2, 3], [2, 3], [2, 3], [2], [2]], scales=scales, clip=False)
    features = [torch.zeros(1, 1, s, s) for s in shapes]
    theirs = generator(ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), features)[0]
    mine = default_boxes(shapes, SSD300.boxes, scales, 300)
    corners = torch.cat([mine[:, :2] - mine[:, 2:] / 2, mine[:, :2] + mine[:, 2:] / 2], dim=1)
    torch.testing.assert_close(corners, theirs, rtol=1e-4, atol=1e-2)


def test_scales_are_the_published_ones() -> None:
    assert [round(s * 300) for s in SSD300.scales()] == [30, 60, 111, 162, 213, 264, 315]
    assert [round(s * 512, 2) for s in SSD512.scales()] == [20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72]
    with torch.device("meta"):
        assert Ssd(1, SSD512).shapes(512) == [64, 32, 16, 8, 4, 2, 1]


@pytest.mark.parametrize("side", [300, 96, 70])
def test_sides_of_the_sources_are_what_the_network_gives(side: int) -> None:
    layout = SSD300.cut(4) if side < 300 else SSD300
    net = Ssd(1, layout, width=4).eval()
    with torch.no_grad():
        found = [f.shape[-1] for f in net.features(seeded(1, 3, side, side))]
    assert found == net.shapes(side)


def test_offsets_lead_there_and_back() -> None:
    from torchvision.models.detection._utils import BoxCoder

    defaults = torch.cat([seeded(20, 2) * 80, seeded(20, 2, seed=1) * 30 + 5], dim=1)
    corners = torch.cat([defaults[:, :2] - defaults[:, 2:] / 2, defaults[:, :2] + defaults[:, 2:] / 2], dim=1)
    boxes = seeded(20, 4, seed=2) * 20
    boxes = torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:] + 3], dim=1)
    coder = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
    offsets = encode_boxes(boxes, defaults)
    torch.testing.assert_close(offsets, coder.encode_single(boxes, corners), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(decode_boxes(offsets, defaults), boxes, rtol=1e-3, atol=1e-3)
    wild = torch.randn(20, 4, generator=torch.Generator().manual_seed(3)) * 30
    torch.testing.assert_close(decode_boxes(wild, defaults), coder.decode_single(wild, corners), rtol=1e-3, atol=1e-2)


DEFAULTS = default_boxes([6, 3], (4, 6), [0.15, 0.4, 0.8], 60)
BOXES = torch.tensor([[3.0, 5, 12, 13], [20, 10, 50, 55], [56, 56, 59, 59]])


def test_every_object_gets_a_box_and_near_ones_get_more() -> None:
    owner = match_boxes(BOXES, DEFAULTS).tolist()
    corners = torch.cat([DEFAULTS[:, :2] - DEFAULTS[:, 2:] / 2, DEFAULTS[:, :2] + DEFAULTS[:, 2:] / 2], dim=1)
    shares = iou(BOXES, corners).tolist()
    expected = [
        max(range(3), key=lambda k: shares[k][i]) if max(shares[k][i] for k in range(3)) > 0.5 else -1 for i in range(len(DEFAULTS))
    ]
    for k in range(3):
        expected[max(range(len(DEFAULTS)), key=shares[k].__getitem__)] = k
    assert owner == expected
    assert set(owner) == {-1, 0, 1, 2}
    assert match_boxes(BOXES[:0], DEFAULTS).unique().tolist() == [-1]


def test_the_loss_is_equation_1_with_hard_negatives() -> None:
    scores, offsets = seeded(2, len(DEFAULTS), 4, seed=1) * 4, seeded(2, len(DEFAULTS), 4, seed=2) * 2 - 1
    boxes, labels = [BOXES, BOXES[1:2]], [torch.tensor([0, 2, 1]), torch.tensor([1])]
    total, matches = 0.0, 0
    for row in range(2):
        owner = match_boxes(boxes[row], DEFAULTS).tolist()
        background: list[float] = []
        for i, k in enumerate(owner):
            log_probs = scores[row, i].log_softmax(0).tolist()
            if k < 0:
                background.append(-log_probs[0])
                continue
            matches += 1
            total -= log_probs[int(labels[row][k]) + 1]
            wanted = encode_boxes(boxes[row][k : k + 1], DEFAULTS[i : i + 1])[0]
            for d in (offsets[row, i] - wanted).abs().tolist():
                total += d * d / 2 if d < 1 else d - 0.5
        total += sum(sorted(background)[::-1][: 3 * (len(owner) - len(background))])
    assert float(ssd_loss(scores, offsets, DEFAULTS, boxes, labels)) == pytest.approx(total / matches, rel=1e-4)
    nothing = [BOXES[:0]] * 2, [torch.zeros(0, dtype=torch.long)] * 2
    assert float(ssd_loss(scores, offsets, DEFAULTS, *nothing)) == 0


def test_training_finds_the_objects() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = Ssd(2, SSD300.cut(4), width=8, widest=32, norm=True).train()
    images = seeded(4, 3, 64, 64) * 0.2
    boxes = [torch.tensor([[8.0 + 6 * i, 10, 30 + 6 * i, 40]]) for i in range(4)]
    labels = [torch.tensor([i % 2]) for i in range(4)]
    for image, (box,), label in zip(images, boxes, labels, strict=True):
        x1, y1, x2, y2 = box.int().tolist()
        image[int(label), y1:y2, x1:x2] = 1
    layout = SSD300.cut(4)
    defaults = default_boxes(net.shapes(64), layout.boxes, layout.scales(), 64)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(40):
        loss = ssd_loss(*net(images), defaults, boxes, labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        scores, offsets = net(images)
    probs = scores.softmax(-1)[..., 1:]
    best = probs.flatten(1).argmax(1)
    assert (best % 2).tolist() == [0, 1, 0, 1]
    found = decode_boxes(offsets, defaults)[torch.arange(4), best // 2]
    assert all(iou(f[None], b)[0, 0] > 0.5 for f, b in zip(found, boxes, strict=True))


def test_decoding_equals_the_obvious_loop() -> None:
    model: Any = build("ssd300(num_classes=2, width=4, levels=4, batch_norm=1, input_size=64)")
    corner = seeded(1, 90, 1, 2, seed=3) * 40
    boxes = torch.cat([corner, corner + 4 + seeded(1, 90, 1, 2, seed=4) * 25], dim=-1)
    log_score = (seeded(1, 90, 2, seed=5) * 0.5).log()
    valid = torch.arange(90)[None] % 7 != 0
    (found,) = model.decode(Candidates(boxes, log_score, valid))
    kept: list[tuple[float, int, int]] = []
    pairs = [(log_score[0, i, c].exp().item(), i, c) for i in range(90) for c in range(2) if valid[0, i]]
    for score, i, c in sorted(pairs, reverse=True):
        rivals = [j for _, j, d in kept if d == c]
        if score > 0.01 and all(iou(boxes[0, i], boxes[0, j])[0, 0] <= 0.45 for j in rivals):
            kept.append((score, i, c))
    assert len(found.scores) == len(kept) > 10
    torch.testing.assert_close(found.scores, torch.tensor([k[0] for k in kept]))
    torch.testing.assert_close(found.boxes, torch.stack([boxes[0, k[1], 0] for k in kept]))
    assert found.labels.tolist() == [k[2] for k in kept]


def test_raw_is_the_softmax_without_its_background() -> None:
    model: Any = build("ssd300(num_classes=2, width=4, levels=4, batch_norm=1, input_size=64)")
    x = seeded(2, 3, 64, 64)
    raw = model.raw(x)
    net = model.module.net
    mean = torch.tensor([123.0, 117, 104])[:, None, None]
    scores, offsets = net(x * 255 - mean)
    torch.testing.assert_close(raw.log_score.exp(), F.softmax(scores, -1)[..., 1:], rtol=1e-3, atol=1e-4)
    assert float(raw.log_score.exp().sum(-1).max()) < 1
    torch.testing.assert_close(raw.boxes[:, :, 0], decode_boxes(offsets, model.module.defaults).clamp(0, 64), rtol=1e-2, atol=1e-2)
    assert math.isclose(raw.boxes.shape[1], 4 * 64 + 6 * 16 + 6 * 4 + 6)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(UserError, match=r"too small for 6 levels.*levels=4"):
        build("ssd300(num_classes=2, width=4, input_size=64)")
    with pytest.raises(UserError, match="2 to 6 levels, not 9"):
        build("ssd300(levels=9)", device="meta")
    with pytest.raises(UserError, match="takes a square"):
        build("ssd300(input_size='64x32')", device="meta")


def test_ssdlite_is_torchvisions_own() -> None:
    mine, theirs = build("ssdlite", device="meta"), build("torchvision:ssdlite320_mobilenet_v3_large", device="meta")
    assert mine.info.parameters == theirs.info.parameters
    assert mine.info.classes == theirs.info.classes
