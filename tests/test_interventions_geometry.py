"""Geometry and look: known turns and shifts, exactly, in pixels, labels, boxes and masks."""

import pytest
import torch

from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import INTERVENTIONS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.look import LUMA
from robustbench_cv.noise import Noise
from robustbench_cv.types import IGNORE, BoxTarget, ClassTarget, MaskTarget, Sample, Target

SIDE = 24


def sample(task: str, side: int = SIDE) -> Sample:
    """Two objects on noise."""
    rng = torch.Generator().manual_seed(3)
    masks = torch.zeros(2, side, side, dtype=torch.bool)
    masks[0, 4:9, 5:12], masks[1, 14:20, 13:18] = True, True
    labels = torch.where(masks[0], 1, torch.where(masks[1], 2, 0))
    boxes = torch.stack([from_mask(mask) for mask in masks])
    targets: dict[str, Target] = {
        "classification": ClassTarget(1),
        "segmentation": MaskTarget(labels),
        "detection": BoxTarget.of(boxes, torch.tensor([1, 2])),
    }
    regions = {"object": masks[0], "objects": masks.any(dim=0), "instance:0": masks[0], "instance:1": masks[1], "class:car": masks[0]}
    return Sample("a", torch.rand(3, side, side, generator=rng), targets[task], regions)


def edited(spec: str, before: Sample) -> Sample:
    return INTERVENTIONS.build(spec)(before, Noise(0, (before.id,)))


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_right_angles_are_exact(turns: int) -> None:
    degrees = {1: 90, 2: 180, 3: -90, -1: -90}[turns]
    before = sample("segmentation")
    after = edited(f"rotate(degrees={degrees})", before)
    torch.testing.assert_close(after.image, torch.rot90(before.image, turns, (1, 2)), atol=1e-5, rtol=0)
    assert torch.equal(after.target.labels, torch.rot90(before.target.labels, turns, (0, 1)))
    assert torch.equal(after.regions["object"], torch.rot90(before.regions["object"], turns, (0, 1)))
    assert torch.equal(after.edit.before.labels, before.target.labels)  # nothing is lost
    boxes = edited(f"rotate(degrees={degrees})", sample("detection")).target.boxes
    assert torch.equal(boxes, torch.stack([from_mask(torch.rot90(before.regions[f"instance:{k}"], turns, (0, 1))) for k in (0, 1)]))


def test_mirror_is_its_own_inverse() -> None:
    before = sample("detection")
    once = edited("mirror", before)
    assert torch.allclose(once.image, before.image.flip(2), atol=1e-6)
    x1, y1, x2, y2 = before.target.boxes.unbind(1)
    assert torch.equal(once.target.boxes, torch.stack([SIDE - x2, y1, SIDE - x1, y2], dim=1))
    assert torch.allclose(edited("mirror", once).image, before.image, atol=1e-6)


def test_a_shift_by_whole_pixels_moves_everything_and_ignores_what_is_lost() -> None:
    before = sample("segmentation")
    after = edited("translate(right=0.25, down=-0.125)", before)  # 6 to the right, 3 up
    assert torch.equal(after.image[:, :-3, 6:], before.image[:, 3:, :-6])
    assert torch.equal(after.image[:, :, :6], torch.full((3, SIDE, 6), 0.5))
    assert torch.equal(after.target.labels[:-3, 6:], before.target.labels[3:, :-6])
    assert bool((after.target.labels[:, :6] == IGNORE).all())
    assert bool((after.edit.before.labels[:, -6:] == IGNORE).all())
    assert torch.equal(after.edit.before.labels[3:, :-6], before.target.labels[3:, :-6])


def test_objects_that_leave_the_image_are_crowds_or_gone() -> None:
    before = sample("detection")
    after = edited("translate(right=0.5, down=0)", before)  # 12: the first keeps all of 7 columns, the second none of 5
    assert after.target.labels.tolist() == [1]
    assert after.edit.before.labels.tolist() == [1, 2]
    assert after.edit.before.crowd.tolist() == [False, True]
    half = edited("translate(right=0.375, down=0)", before)  # 9: of the second two columns of five are left
    assert half.target.labels.tolist() == [1, 2]
    assert half.target.crowd.tolist() == half.edit.before.crowd.tolist() == [False, True]
    assert half.target.boxes[1].tolist() == [22.0, 14.0, 24.0, 20.0]
    assert set(half.regions) >= {"instance:0", "instance:1"}


def test_a_label_without_its_object_is_not_applicable() -> None:
    before = sample("classification")
    with pytest.raises(NotApplicable, match="leaves the image"):
        edited("translate(right=-0.4, down=0)", before)
    assert edited("translate(right=0.1)", before).target.label == 1


def test_scaling_frames_or_crops_about_the_centre() -> None:
    before = sample("detection")
    half = edited("rescale(factor=0.5)", before)
    assert torch.equal(half.image[:, :5], torch.full((3, 5, SIDE), 0.5))
    assert half.target.boxes[0, 2] - half.target.boxes[0, 0] == pytest.approx(3.5, abs=0.6)
    double = edited("rescale(factor=2.0)", before)
    assert float(double.image[:, 12, 12].mean()) == pytest.approx(float(before.image[:, 11:13, 11:13].mean()), abs=0.2)


def test_a_box_without_a_mask_is_moved_by_its_corners() -> None:
    before = sample("detection")
    bare = Sample(before.id, before.image, before.target, {})
    turned = edited("rotate(degrees=90)", bare)
    assert torch.allclose(turned.target.boxes, edited("rotate(degrees=90)", before).target.boxes, atol=1e-4)
    slanted = edited("rotate(degrees=45)", bare).target
    assert float(slanted.area.sum()) > float(edited("rotate(degrees=45)", before).target.area.sum())


def test_what_changes_nothing_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="leaves the image as it is"):
        edited("rotate(degrees=0)", sample("detection"))
    grey = sample("classification")
    with pytest.raises(NotApplicable, match="leaves the image as it is"):
        edited("grayscale", edited("grayscale", grey))
    with pytest.raises(UserError, match="degrees"):
        INTERVENTIONS.build("rotate(degrees=400)")


def test_grey_is_luminance_and_hues_keep_it() -> None:
    before = sample("classification")
    grey = edited("grayscale", before).image
    expected = sum(w * before.image[c] for c, w in enumerate(LUMA))
    assert torch.allclose(grey, expected.expand(3, -1, -1), atol=1e-6)
    muted = Sample(before.id, 0.4 + 0.1 * before.image, before.target, before.regions)
    turned = edited("hue(degrees=90)", muted).image
    weights = torch.tensor([0.213, 0.715, 0.072])[:, None, None]
    assert torch.allclose((turned * weights).sum(0), (muted.image * weights).sum(0), atol=2e-3)
    back = edited("hue(degrees=-90)", edited("hue(degrees=90)", muted)).image
    assert torch.allclose(back, muted.image, atol=0.02)


def test_tiles_are_all_there_and_none_at_its_place() -> None:
    before = sample("classification")
    after = edited("patch-shuffle(grid=4)", before)
    old, new = (image.reshape(3, 4, 6, 4, 6).permute(1, 3, 0, 2, 4).reshape(16, -1) for image in (before.image, after.image))
    same = (old[:, None] == new[None, :]).all(dim=2)
    assert bool((same.sum(dim=0) == 1).all())
    assert not bool(same.diagonal().any())
    assert after.regions == {}
