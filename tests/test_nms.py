"""Non-maximum suppression against torchvision's own."""

import subprocess
import sys

import pytest
import torch
from torchvision import ops

from robustbench_cv.models.nms import batched_nms


@pytest.mark.parametrize("count", [0, 1, 7, 200, 1000, 1001, 3000])
@pytest.mark.parametrize("classes", [1, 3, 80])
def test_the_same_boxes_are_left_as_torchvision_leaves(count: int, classes: int) -> None:
    generator = torch.Generator().manual_seed(count * 100 + classes)
    corner = torch.rand((count, 2), generator=generator) * 300 - 20
    boxes = torch.cat([corner, corner + torch.rand((count, 2), generator=generator) * 120 + 1], dim=1)
    scores = (torch.rand(count, generator=generator) * 50).round() / 50  # many are equal
    labels = torch.randint(0, classes, (count,), generator=generator)
    for iou in (0.3, 0.5, 0.7):
        assert torch.equal(batched_nms(boxes, scores, labels, iou), ops.batched_nms(boxes, scores, labels, iou))


def test_it_loads_nothing_of_torchvision_but_the_kernel() -> None:
    """And torchvision itself can be loaded after it."""
    program = (
        "import sys, torch\n"
        "from robustbench_cv.models.nms import batched_nms\n"
        "boxes = torch.tensor([[0., 0., 10., 10.], [1., 1., 10., 10.], [20., 20., 30., 30.]])\n"
        "kept = batched_nms(boxes, torch.tensor([0.5, 0.9, 0.1]), torch.zeros(3, dtype=torch.long), 0.5)\n"
        "assert kept.tolist() == [1, 2], kept\n"
        "assert 'torchvision' not in sys.modules and 'torch._dynamo' not in sys.modules\n"
        "from torchvision.ops import nms\n"
        "assert nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist() == [1, 2]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
