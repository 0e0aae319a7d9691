"""The parts of classical detectors against plain loops: springs, pooled regions, box corrections, selective search."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from robustbench_cv.boxes import iou
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.models.detectors.deformable.distance_transform import best_shift, transform
from robustbench_cv.models.detectors.deformable.hog import hog
from robustbench_cv.models.detectors.region_based import box_coding
from robustbench_cv.models.detectors.region_based.roi_pooling import roi_max_pool, spatial_pyramid_pool
from robustbench_cv.models.detectors.region_based.selective_search import SelectiveSearch
from robustbench_cv.types import Dataset


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_part_goes_where_score_less_spring_is_best() -> None:
    scores, springs, reach = random(2, 3, 6, 7), random(3, 4, seed=1).abs(), 2
    found = transform(scores, springs, reach)
    for n, m, y, x in itertools.product(range(2), range(3), range(6), range(7)):
        a, b, c, d = springs[m].tolist()
        places = {
            (dy, dx): float(scores[n, m, y + dy, x + dx]) - (a * dx * dx + b * dx + c * dy * dy + d * dy)
            for dy, dx in itertools.product(range(-reach, reach + 1), repeat=2)
            if 0 <= y + dy < 6 and 0 <= x + dx < 7
        }
        assert float(found[n, m, y, x]) == pytest.approx(max(places.values()), abs=1e-5)
        assert places[best_shift(scores[n, m], y, x, springs[m], reach)] == pytest.approx(max(places.values()), abs=1e-5)


def test_the_best_place_passes_the_gradient_on() -> None:
    scores = random(2, 3, 6, 7).double().requires_grad_()
    springs = random(3, 4, seed=1).double()
    assert torch.autograd.gradcheck(lambda s: transform(s, springs, 2), (scores,))
    plain = scores
    for square, linear, dim in ((springs[:, 0], springs[:, 1], 3), (springs[:, 2], springs[:, 3], 2)):
        shifts = []
        for step in range(-2, 3):
            moved = torch.full_like(plain, -math.inf)
            size = plain.shape[dim] - abs(step)
            moved.narrow(dim, max(0, -step), size).copy_(plain.narrow(dim, max(0, step), size))
            shifts.append(moved - (square * step * step + linear * step)[:, None, None])
        plain = torch.stack(shifts).amax(0)
    weights = random(2, 3, 6, 7, seed=2).double()
    ours, theirs = (torch.autograd.grad((out * weights).sum(), scores)[0] for out in (transform(scores, springs, 2), plain))
    torch.testing.assert_close(ours, theirs)


def test_region_pooling_takes_the_largest_cell_of_each_part() -> None:
    maps = random(1, 2, 8, 8)
    x1, y1, x2, y2 = 0, 3, 6, 7
    found = roi_max_pool(maps, [torch.tensor([[x1, y1, x2, y2]]).float()], 2, 1)
    width, height = x2 - x1 + 1, y2 - y1 + 1
    for i, j in itertools.product(range(2), repeat=2):
        rows = range(y1 + math.floor(i * height / 2), y1 + math.ceil((i + 1) * height / 2))
        columns = range(x1 + math.floor(j * width / 2), x1 + math.ceil((j + 1) * width / 2))
        part = maps[0][:, list(rows)][:, :, list(columns)]
        torch.testing.assert_close(found[0, :, i, j], part.amax((1, 2)))


def test_a_pyramid_holds_every_level_and_the_first_is_the_largest_of_all() -> None:
    maps = random(1, 3, 10, 10)
    found = spatial_pyramid_pool(maps, [torch.tensor([[0.0, 0.0, 159.0, 159.0]])], (1, 2, 3, 6), 16)
    assert found.shape == (1, 3 * 50)
    torch.testing.assert_close(found[0, :3], maps[0, :, 1:, 1:].amax((1, 2)))


def test_corrections_undo_themselves() -> None:
    regions = torch.tensor([[0.0, 0, 10, 20], [5, 5, 30, 15]])
    truths = torch.tensor([[2.0, 1, 13, 30], [1, 2, 20, 30]])
    torch.testing.assert_close(box_coding.decode(regions, box_coding.encode(regions, truths)), truths)


def test_orientations_are_those_of_the_gradient() -> None:
    ramp = torch.arange(48.0)[None, :].expand(48, 48) / 60
    found = hog(ramp[None, None].expand(1, 3, -1, -1), 8)
    assert found.shape == (1, 32, 4, 4)
    assert int(found[0, :18, 1, 1].argmax()) == 0
    assert int(hog(ramp.T[None, None].expand(1, 3, -1, -1), 8)[0, 18:27, 1, 1].argmax()) in (4, 5)
    torch.testing.assert_close(found[:, :18].sum(1) > 0, torch.ones(1, 4, 4, dtype=torch.bool))


def test_selective_search_finds_most_objects_and_repeats_itself() -> None:
    pytest.importorskip("skimage", reason="the extra 'classical' is not installed")
    data: Dataset = DATASETS.build("scenes(split='test', samples=6, task='detection')")
    search, hits, objects = SelectiveSearch.for_side((96, 96)), 0, 0
    for i in range(len(data)):
        sample = data[i]
        boxes = search(sample.image)
        assert torch.equal(boxes, search(sample.image))
        overlap = iou(boxes, sample.target.boxes)  # type: ignore[union-attr]
        hits, objects = hits + int((overlap.amax(0) >= 0.5).sum()), objects + overlap.shape[1]
    assert hits / objects > 0.6


def test_selective_search_takes_values_outside_the_range_for_its_ends() -> None:
    """Checks show a model its images as a wrong normalisation would leave them."""
    image = 4 * random(3, 40, 40) - 2
    assert torch.equal(SelectiveSearch()(image), SelectiveSearch()(image.clamp(0, 1)))
