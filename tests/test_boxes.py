"""Box geometry against torchvision and against counting pixels."""

import torch
from torchvision.ops import box_area, box_iou

from robustbench_cv import boxes


def _random_boxes(count: int, seed: int) -> torch.Tensor:
    corner = torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) * 40
    return torch.cat([corner, corner + 0.5 + torch.rand(count, 2, generator=torch.Generator().manual_seed(seed + 1)) * 20], dim=1)


def test_iou_and_area_agree_with_torchvision() -> None:
    a, b = _random_boxes(30, 0), _random_boxes(20, 5)
    torch.testing.assert_close(boxes.iou(a, b), box_iou(a, b))
    torch.testing.assert_close(boxes.area(a), box_area(a))


def test_empty_boxes_overlap_nothing() -> None:
    empty = torch.tensor([[3.0, 3, 3, 3]])
    assert boxes.iou(empty, empty).item() == 0


def test_box_of_a_mask_holds_exactly_its_pixels() -> None:
    mask = torch.zeros(9, 12, dtype=torch.bool)
    mask[2:5, 3:11] = True
    box = boxes.from_mask(mask)
    assert box.tolist() == [3, 2, 11, 5]
    assert torch.equal(boxes.to_mask(box, 9, 12), mask)
    assert boxes.from_mask(torch.zeros(3, 3, dtype=torch.bool)).tolist() == [0, 0, 0, 0]


def test_xywh_and_clip() -> None:
    assert boxes.xywh_to_xyxy(torch.tensor([[1.0, 2, 3, 4]])).tolist() == [[1, 2, 4, 6]]
    assert boxes.clip(torch.tensor([[-1.0, 2, 99, 4]]), height=3, width=10).tolist() == [[0, 2, 10, 3]]
