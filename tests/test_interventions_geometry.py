"""Geometry and look: known turns and shifts, exactly, in pixels, labels, boxes and masks."""

import colorsys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from robustbench_cv.boxes import area, from_mask
from robustbench_cv.catalogue import INTERVENTIONS, METRICS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.color import LUMA
from robustbench_cv.noise import Noise
from robustbench_cv.runner.sample_files import read_sample_file, write_sample
from robustbench_cv.types import ABSENT, IGNORE, BoxPrediction, BoxTarget, ClassTarget, MaskTarget, Sample, Target

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


def test_four_flips_are_exact() -> None:
    for direction, dims in (("horizontal", (1,)), ("vertical", (0,)), ("both", (0, 1))):
        spec = f"mirror(direction={direction!r})"
        before = sample("segmentation")
        after = edited(spec, before)
        assert torch.allclose(after.image, before.image.flip([d + 1 for d in dims]), atol=1e-6)
        assert torch.equal(after.target.labels, before.target.labels.flip(dims))
        assert torch.equal(after.edit.before.labels, before.target.labels)
        boxes = edited(spec, sample("detection")).target.boxes
        assert torch.equal(boxes, torch.stack([from_mask(before.regions[f"instance:{k}"].flip(dims)) for k in (0, 1)]))
    twice = edited("mirror", edited("mirror(direction='vertical')", sample("detection")))
    assert torch.equal(twice.image, edited("rotate(degrees=180)", sample("detection")).image)


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


def test_a_small_picture_in_a_large_frame_loses_nothing() -> None:
    small = edited("rescale(factor=0.25)", sample("segmentation"))
    assert torch.equal(small.edit.before.labels, sample("segmentation").target.labels)
    assert int((small.target.labels != IGNORE).sum()) == (SIDE // 4) ** 2
    boxes = edited("rescale(factor=0.25)", sample("detection"))
    assert boxes.target.area.tolist() == [35 / 16, 30 / 16]
    assert not boxes.target.crowd.any()


def test_an_object_that_is_gone_already_cannot_leave() -> None:
    before = sample("classification")
    gone = replace(before, target=ClassTarget(ABSENT), regions={"object": torch.zeros(SIDE, SIDE, dtype=torch.bool)})
    assert edited("translate(right=-0.4)", gone).target.label == ABSENT


def test_a_box_without_a_mask_is_moved_by_its_corners() -> None:
    before = sample("detection")
    bare = Sample(before.id, before.image, before.target, {})
    turned = edited("rotate(degrees=90)", bare)
    assert torch.allclose(turned.target.boxes, edited("rotate(degrees=90)", before).target.boxes, atol=1e-4)
    slanted, exact = (edited("rotate(degrees=45)", of).target for of in (bare, before))
    assert float(area(slanted.boxes).sum()) > float(area(exact.boxes).sum())
    assert slanted.area.tolist() == pytest.approx(before.target.area.tolist(), rel=0.1)


def test_masks_move_with_their_boxes_and_areas_with_their_pixels() -> None:
    before = sample("detection")
    masks = torch.stack([before.regions["instance:0"], before.regions["instance:1"]])
    target = replace(before.target, masks=masks, area=torch.tensor([31.5, 30.0]))  # as annotated, not as drawn
    flipped = edited("mirror", replace(before, target=target))
    assert torch.equal(flipped.target.masks, masks.flip(2))
    assert flipped.target.area.tolist() == [31.5, 30.0]
    assert torch.equal(flipped.edit.before.masks, masks)
    cut = edited("translate(right=0.375, down=0)", replace(before, target=target, regions={}))  # the masks alone tell
    assert cut.target.area.tolist() == [31.5, pytest.approx(30 * 2 / 5)]
    assert torch.equal(cut.target.boxes, edited("translate(right=0.375, down=0)", before).target.boxes)
    gone = edited("translate(right=0.5, down=0)", replace(before, target=target))
    assert gone.target.masks.shape == (1, SIDE, SIDE)
    assert gone.edit.before.masks.shape == (2, SIDE, SIDE)


def test_instances_are_numbered_as_the_boxes_that_are_left() -> None:
    before = sample("detection")
    regions = {"instance:0": before.regions["instance:0"]}  # the second is a box alone; swapped, it is the first
    target = before.target.select(torch.tensor([1, 0]))
    after = edited("translate(right=0.5)", replace(before, target=target, regions={"instance:1": regions["instance:0"]}))
    assert after.target.labels.tolist() == [1]
    assert torch.equal(after.regions["instance:0"][:, 12:], regions["instance:0"][:, :-12])


def test_uncovered_pixels_repeat_the_edge_where_asked() -> None:
    before = sample("segmentation")
    after = edited("translate(right=0.25, fill='edge')", before)
    assert torch.equal(after.image[:, :, :6], before.image[:, :, :1].expand(-1, -1, 6))
    assert torch.equal(after.target.labels, edited("translate(right=0.25)", before).target.labels)  # ignored all the same
    turned = edited("rotate(degrees=45, fill='edge')", before)
    assert torch.allclose(turned.image[:, 0, 0], turned.image[:, 0, 1], atol=0.5)
    assert not torch.allclose(turned.image[:, 0, 0], torch.full((3,), 0.5), atol=1e-3)
    with pytest.raises(UserError, match="fill='wrap' must be 'gray' or 'edge'"):
        INTERVENTIONS.build("translate(fill='wrap')")


def test_after_pixels_moved_label_maps_are_not_edited_by_place() -> None:
    turned = edited("rotate(degrees=90)", sample("segmentation"))
    with pytest.raises(NotApplicable, match="put what moves pixels last"):
        edited("slide-patch(side=6)", turned)
    assert edited("grayscale", turned).edit.moved
    assert edited("rotate(degrees=90)", edited("slide-patch(side=6)", sample("segmentation"))).edit.moved
    assert edited("slide-patch(side=6)", edited("mirror", sample("detection"))).edit.moved  # objects are known by their order


def test_a_file_remembers_that_pixels_moved(tmp_path: Path) -> None:
    for spec in ("mirror", "grayscale"):
        write_sample(tmp_path / spec, edited(spec, sample("detection")))
        assert read_sample_file(tmp_path / spec).edit.moved == (spec == "mirror")


def test_object_recall_looks_where_the_objects_are_now() -> None:
    before = sample("detection")
    after = edited("mirror", before)
    metric = METRICS.build("object-recall", operating_score=0.5)

    def score(boxes: torch.Tensor, of: Sample) -> float:
        return float(metric.measure(BoxPrediction(boxes, torch.ones(2), torch.tensor([1, 2])), of)["share"])

    assert score(after.target.boxes, after) == 1
    assert score(before.target.boxes, after) == 0
    assert score(before.target.boxes, replace(before, target=after.edit.before, edit=after.edit)) == 1
    with pytest.raises(NotApplicable, match="put what moves pixels last"):
        score(after.target.boxes, edited("occlude(share=0.2)", after))


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


def test_hsv_turns_as_the_standard_library_has_it() -> None:
    before = sample("classification")
    for degrees in (-140, 30, 120, 180):
        turned = edited(f"hue(degrees={degrees}, keep='hsv')", before).image
        for y, x in ((0, 0), (5, 7), (20, 3)):
            h, s, v = colorsys.rgb_to_hsv(*before.image[:, y, x].tolist())
            assert turned[:, y, x].tolist() == pytest.approx(colorsys.hsv_to_rgb((h + degrees / 360) % 1, s, v), abs=1e-6)
    third = edited("hue(degrees=120, keep='hsv')", before)
    assert torch.allclose(third.image, before.image.roll(1, 0), atol=1e-6)  # red is green is blue
    assert torch.allclose(edited("hue(degrees=-120, keep='hsv')", third).image, before.image, atol=1e-6)


def test_tiles_are_all_there_and_none_at_its_place() -> None:
    before = sample("classification")
    after = edited("patch-shuffle(grid=4)", before)
    old, new = (image.reshape(3, 4, 6, 4, 6).permute(1, 3, 0, 2, 4).reshape(16, -1) for image in (before.image, after.image))
    same = (old[:, None] == new[None, :]).all(dim=2)
    assert bool((same.sum(dim=0) == 1).all())
    assert not bool(same.diagonal().any())
    assert torch.equal(after.image[:, after.regions["object"]].sort().values, before.image[:, before.regions["object"]].sort().values)


def test_label_maps_go_with_their_tiles_and_boxes_cannot() -> None:
    before = sample("segmentation")
    # an image that shows its labels: what is seen at a pixel says what its label must be
    before = replace(before, image=(before.target.labels / 4).expand(3, -1, -1).clone())
    after = edited("patch-shuffle(grid=3)", before)
    assert torch.equal(after.image[0] * 4, after.target.labels.float())
    assert not torch.equal(after.target.labels, before.target.labels)
    assert torch.equal(after.edit.before.labels, before.target.labels)
    with pytest.raises(NotApplicable, match="have places"):
        edited("patch-shuffle", sample("detection"))
    orders = {tuple(edited("patch-shuffle", replace(before, id=id_)).image.flatten().tolist()) for id_ in "abab"}
    assert len(orders) == 2  # of each sample its own, and always the same
