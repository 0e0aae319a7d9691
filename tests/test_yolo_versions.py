"""YOLO's versions as models, and the losses of the first two against their definitions, cell by cell."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.models.detectors.darknet import published_cfgs
from robustbench_cv.models.detectors.darknet.heads import AnchorHead, GridHead
from robustbench_cv.models.detectors.darknet.losses import WARM, grid_loss, region_loss
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.models.weights.description import Description, write
from robustbench_cv.types import predict

TRUTHS = [[3.0, 5, 12, 13], [20, 10, 50, 62], [21, 12, 49, 60], [70, 33, 95, 63]]
"""In an input of 64 x 96 px; the second and third share a cell."""
LABELS = [0, 1, 0, 2]
HEIGHT, WIDTH = 64, 96


def seeded(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def sigmoid(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def overlap(a: list[float], b: list[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_version_1_s_loss_is_equation_3() -> None:
    s, b, c = 4, 2, 3
    head = GridHead(c, s, b, root=True)
    vector = seeded(1, s * s * (c + 5 * b), seed=2)
    v = vector[0].tolist()
    owner: dict[int, int] = {}
    for k, (x1, y1, x2, y2) in enumerate(TRUTHS):
        owner.setdefault(int((y1 + y2) / 2 / HEIGHT * s) * s + int((x1 + x2) / 2 / WIDTH * s), k)
    assert len(owner) == 3
    loss = 0.0
    for cell in range(s * s):
        row, column = divmod(cell, s)
        confidence = v[s * s * c + cell * b :][:b]
        if cell not in owner:
            loss += 0.5 * sum(p * p for p in confidence)
            continue
        x1, y1, x2, y2 = TRUTHS[owner[cell]]
        boxes = [v[s * s * (c + b) + 4 * (cell * b + n) :][:4] for n in range(b)]
        shares = []
        for x, y, w, h in boxes:
            cx, cy, bw, bh = (column + x) / s * WIDTH, (row + y) / s * HEIGHT, w * w * WIDTH, h * h * HEIGHT
            shares.append(overlap([cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2], TRUTHS[owner[cell]]))
        best = max(range(b), key=shares.__getitem__)
        loss += sum(0.5 * p * p for n, p in enumerate(confidence) if n != best)
        loss += (confidence[best] - shares[best]) ** 2
        x, y, w, h = boxes[best]
        loss += 5 * ((x - ((x1 + x2) / 2 / WIDTH * s - column)) ** 2 + (y - ((y1 + y2) / 2 / HEIGHT * s - row)) ** 2)
        loss += 5 * ((w - math.sqrt((x2 - x1) / WIDTH)) ** 2 + (h - math.sqrt((y2 - y1) / HEIGHT)) ** 2)
        loss += sum((p - (j == LABELS[owner[cell]])) ** 2 for j, p in enumerate(v[cell * c :][:c]))
    truths, labels = torch.tensor(TRUTHS), torch.tensor(LABELS)
    assert float(grid_loss(head, vector, [truths], [labels], HEIGHT, WIDTH)) == pytest.approx(loss, rel=1e-5)
    empty = grid_loss(head, vector, [truths[:0]], [labels[:0]], HEIGHT, WIDTH)
    assert float(empty) == pytest.approx(0.5 * sum(p * p for p in v[s * s * c : s * s * (c + b)]), rel=1e-5)
    both = grid_loss(head, torch.cat([vector, vector]), [truths, truths[:0]], [labels, labels[:0]], HEIGHT, WIDTH)
    assert float(both) == pytest.approx((loss + float(empty)) / 2, rel=1e-5)


@pytest.mark.parametrize("seen", [0, WARM])
@pytest.mark.parametrize("thresh", [0.3, 0.6])
def test_version_2_s_loss_is_the_region_layer_s(seen: int, thresh: float) -> None:
    anchors = torch.tensor([[0.8, 0.6], [2.0, 3.0]])
    head = AnchorHead(3, anchors, in_cells=True, softmax=True)
    grid = (seeded(1, 16, 4, 6, seed=3) - 0.5) * 3
    owner: dict[tuple[int, int, int], list[int]] = {}
    for k, (x1, y1, x2, y2) in enumerate(TRUTHS):
        w, h = (x2 - x1) / 16, (y2 - y1) / 16
        shapes = [min(w, p) * min(h, q) / (w * h + p * q - min(w, p) * min(h, q)) for p, q in anchors.tolist()]
        owner.setdefault((max((0, 1), key=shapes.__getitem__), int((y1 + y2) / 32), int((x1 + x2) / 32)), []).append(k)
    loss, ignored = 0.0, 0
    for a in range(2):
        for j in range(4):
            for i in range(6):
                tx, ty, tw, th, to, *tc = grid[0, 8 * a : 8 * a + 8, j, i].tolist()
                x, y = (i + sigmoid(tx)) * 16, (j + sigmoid(ty)) * 16
                w, h = (math.exp(t) * p * 16 for t, p in zip((tw, th), anchors[a].tolist(), strict=True))
                shares = [overlap([x - w / 2, y - h / 2, x + w / 2, y + h / 2], t) for t in TRUTHS]
                if seen < WARM:
                    loss += 0.01 * ((sigmoid(tx) - 0.5) ** 2 + (sigmoid(ty) - 0.5) ** 2 + tw**2 + th**2) / 2
                if (a, j, i) not in owner:
                    ignored += max(shares) > thresh
                    loss += sigmoid(to) ** 2 / 2 if max(shares) <= thresh else 0
                for k in owner.get((a, j, i), []):
                    x1, y1, x2, y2 = TRUTHS[k]
                    loss += 5 * (sigmoid(to) - shares[k]) ** 2 / 2
                    loss -= math.log(math.exp(tc[LABELS[k]]) / sum(map(math.exp, tc)))
                    gx, gy = (x1 + x2) / 32 - i, (y1 + y2) / 32 - j
                    gw, gh = (math.log(d / 16 / p) for d, p in zip((x2 - x1, y2 - y1), anchors[a].tolist(), strict=True))
                    apart = (sigmoid(tx) - gx) ** 2 + (sigmoid(ty) - gy) ** 2 + (tw - gw) ** 2 + (th - gh) ** 2
                    loss += (2 - (x2 - x1) * (y2 - y1) / (HEIGHT * WIDTH)) * apart / 2
    assert (ignored > 0) == (thresh == 0.3)
    found = region_loss(head, grid, [torch.tensor(TRUTHS)], [torch.tensor(LABELS)], HEIGHT, WIDTH, seen=seen, thresh=thresh)
    assert float(found) == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("version", [1, 2])
def test_training_finds_the_objects(version: int) -> None:
    """A few steps on four images with one bright rectangle each."""
    if version == 1:
        sections = published_cfgs.narrow(published_cfgs.version1(64, 2, hidden=64, stride=16, norm=True, dropout=0.0), 8)
    else:
        sections = published_cfgs.narrow(published_cfgs.version2(64, 2, (1.0, 1.0, 2.0, 2.5), stride=16), 8, 32)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = DarknetNetwork(sections).train()
    images = seeded(4, 3, 64, 64) * 0.2
    boxes = [torch.tensor([[8.0 + 6 * i, 10, 30 + 6 * i, 40]]) for i in range(4)]
    labels = [torch.tensor([i % 2]) for i in range(4)]
    for image, (box,), label in zip(images, boxes, labels, strict=True):
        x1, y1, x2, y2 = box.int().tolist()
        image[int(label), y1:y2, x1:x2] = 1
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    first = last = 0.0
    for _ in range(60):
        (grid,), (head,) = network(images), network.heads
        loss = (grid_loss if version == 1 else region_loss)(head, grid, boxes, labels, 64, 64)  # type: ignore[operator]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = first or float(loss.detach()), float(loss.detach())
    assert last < 0.3 * first
    with torch.no_grad():
        (grid,) = network(images)
    found = network.heads[0].believe(grid, 64, 64)
    best = found.log_score.flatten(1).argmax(1)
    assert (best % 2).tolist() == [0, 1, 0, 1]
    places = found.boxes[torch.arange(4), best // 2].tolist()
    assert sum(overlap(p, b[0].tolist()) > 0.4 for p, b in zip(places, boxes, strict=True)) >= 3


# --- as models -------------------------------------------------------------------------------------------------------------------------


def test_version_1_stretches_and_later_ones_fit() -> None:
    first = build("yolov1(width=4, hidden=8, stride=16, batch_norm=1, input_size=64, num_classes=2)")
    later = build("yolov2(width=4, input_size=64, num_classes=2)")
    x = seeded(1, 3, 32, 64)
    assert first.raw(x).valid.all()  # type: ignore[union-attr]
    assert first.raw(x).log_score.shape == (1, 4 * 4 * 2, 2)  # type: ignore[union-attr]
    valid = later.raw(x).valid  # type: ignore[union-attr]
    assert valid.shape == (1, 5 * 2 * 2)
    assert valid.all()  # 16 px of border above and below leave a share of the picture in every cell of 32 px
    assert int(later.raw(seeded(1, 3, 16, 64)).valid.sum()) == 20  # type: ignore[union-attr]


def test_linear_scores_above_one_are_reported_as_one() -> None:
    model = build("yolov1(width=4, hidden=8, stride=16, batch_norm=1, input_size=64, num_classes=2)")
    raw = model.raw(seeded(1, 3, 64, 64))
    lifted = type(raw)(raw.boxes, raw.log_score + 20, raw.valid)  # type: ignore[union-attr,call-arg]
    (found,) = model.decode(lifted)  # type: ignore[arg-type]
    assert float(found.scores.max()) == 1  # type: ignore[union-attr]


def test_classes_by_name_and_by_number() -> None:
    assert build("yolov3-tiny", device="meta").info.classes.names[:3] == ("person", "bicycle", "car")
    assert build("yolov2-voc", device="meta").info.classes.names[-1] == "tvmonitor"
    assert build("yolov3-tiny(classes='cat,dog', width=4, input_size=32)").info.classes.names == ("cat", "dog")
    assert build("yolov3-tiny(num_classes=2, width=4, input_size=32)").info.classes.are_numbered


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("yolov1(input_size=100)", "multiple of 64"),
        ("yolov1(stride=7)", "cells of 64, 32, 16 or 8 px, not 7"),
        ("yolov1-darknet(hidden=3)", "for hidden take yolov1"),
        ("yolov2-voc(stride=16)", "for a stride take yolov2"),
        ("yolov2(stride=3)", "cells of 32, 16 or 8"),
        ("yolov2(input_size='64x32')", "takes a square|into a square"),
        ("yolov3(input_size=100)", "multiple of 32"),
        ("yolov3-tiny(checkpoint='none.weights', width=4)", "no Darknet file"),
    ],
)
def test_what_cannot_be_is_said(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(spec)


def test_a_described_file_brings_width_stride_and_anchors(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    network = DarknetNetwork(
        published_cfgs.narrow(published_cfgs.version2(64, 2, (1.0, 2.0, 3.0, 1.0, 2, 2, 1, 1, 3, 3), stride=16), 8, 32)
    )
    arguments = {"width": 8, "widest": 32, "stride": 16}
    write(path, network, Description(architecture="yolov2", classes=("cat", "dog"), input_size=(64, 64), arguments=arguments), bits=32)
    model = build(f"yolov2(checkpoint={str(path)!r})")
    x = seeded(1, 3, 64, 64)
    (grid,) = network.eval()(x)
    torch.testing.assert_close(model.raw(x).boxes[:, :, 0], network.heads[0].believe(grid, 64, 64).boxes.clamp(0, 64))  # type: ignore[union-attr]
    assert len(predict(model, x)) == 1
    assert model.info.classes.names == ("cat", "dog")
