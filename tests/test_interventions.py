"""Removal, occlusion and the sliding patch: what is special about each, and the masks, fills and places they are made of."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from torch import Tensor

from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import DATASETS, INTERVENTIONS
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.interventions.fill import FILLS, extend_background, fill_region
from robustbench_cv.interventions.object_selection import main_class, objects, things
from robustbench_cv.interventions.shapes import dilate_mask, pieces, place_elsewhere
from robustbench_cv.interventions.slide_patch import positions
from robustbench_cv.noise import Noise
from robustbench_cv.registry import load_file
from robustbench_cv.runner.run_facts import removes_objects
from robustbench_cv.types import ABSENT, IGNORE, Sample

synthetic = load_file(Path(__file__).parent / "synthetic_samples.py")
NOISE = Noise(0, ("synthetic/0",))
CAR, BOAT = 0, 1


def edit(spec: str, sample: Sample, noise: Noise = NOISE) -> Sample:
    return INTERVENTIONS.build(spec)(sample, noise)


def refusal(spec: str, sample: Sample) -> str:
    with pytest.raises(NotApplicable) as caught:
        edit(spec, sample)
    return str(caught.value)


# --- masks ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 30])
def test_dilation_is_every_pixel_within_the_radius(radius: int) -> None:
    mask = Noise(0, ("a",)).uniform((11, 17))[0] > 0.97
    ys, xs = mask.nonzero(as_tuple=True)
    y, x = torch.arange(11)[:, None, None], torch.arange(17)[None, :, None]
    expected = ((y - ys) ** 2 + (x - xs) ** 2 <= radius**2).any(dim=-1)
    assert torch.equal(dilate_mask(mask, radius), expected)


def test_growth_beyond_the_image_is_all_of_it_at_once() -> None:
    mask = torch.zeros(6, 9, dtype=torch.bool)
    assert not dilate_mask(mask, 10**9).any()
    mask[2, 3] = True
    assert dilate_mask(mask, 10**9).all()


def test_a_placed_shape_goes_everywhere_that_is_free_and_nowhere_else() -> None:
    shape = torch.zeros(6, 9, dtype=torch.bool)
    shape[:2, :3] = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    taken = torch.zeros(6, 9, dtype=torch.bool)
    taken[:2, :5] = True
    taken[4, 4] = True
    seen = set()
    for i in range(400):
        moved = place_elsewhere(shape, taken, Noise(0, (str(i),)))
        assert moved.sum() == shape.sum()
        assert not (moved & taken).any()
        seen.add(tuple(from_mask(moved).tolist()[:2]))
    free = {
        (float(x), float(y))
        for y in range(5)
        for x in range(7)
        if not (shape[:2, :3] & taken[y : y + 2, x : x + 3]).any() or not (shape[:2, :3].flip(1) & taken[y : y + 2, x : x + 3]).any()
    }
    assert seen == free


def test_no_place_is_not_applicable() -> None:
    shape = torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(NotApplicable, match="no object-free place"):
        place_elsewhere(shape, torch.tensor([[False, False], [True, False]]), NOISE)


def test_pieces_of_a_mask_are_placed_apart() -> None:
    mask = torch.zeros(8, 20, dtype=torch.bool)
    mask[1:4, 1:4] = mask[1:3, 17:19] = True  # as one shape, 18 wide, these fit nowhere below the bar
    taken = torch.zeros(8, 20, dtype=torch.bool)
    taken[:4] = taken[:, 9:11] = True
    assert [int(p.sum()) for p in pieces(mask)] == [9, 4]
    moved = place_elsewhere(mask, taken, NOISE)
    assert int(moved.sum()) == 13
    assert not (moved & taken).any()


# --- fills ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", FILLS)
def test_no_fill_looks_at_what_it_replaces(fill: str) -> None:
    image = Noise(1, ("a",)).uniform((3, 20, 30))[0]
    region = torch.zeros(20, 30, dtype=torch.bool)
    region[5:14, 8:20] = True
    filled = fill_region(image, region, fill, NOISE)
    other = fill_region(torch.where(region, 1 - image, image), region, fill, NOISE)
    torch.testing.assert_close(filled, other, atol=1e-6, rtol=0)
    assert torch.equal(filled[:, ~region], image[:, ~region])
    assert (filled[:, region] - image[:, region]).abs().mean() > 0.1


PLACES = {
    "left": (slice(20, 40), slice(0, 18)),
    "right": (slice(20, 40), slice(46, 64)),
    "top": (slice(0, 18), slice(20, 40)),
    "bottom": (slice(30, 48), slice(20, 40)),
    "top left": (slice(0, 15), slice(0, 15)),
    "top right": (slice(0, 15), slice(49, 64)),
    "bottom left": (slice(33, 48), slice(0, 15)),
    "bottom right": (slice(33, 48), slice(49, 64)),
    "a whole side": (slice(0, 12), slice(0, 64)),
    "inside": (slice(15, 33), slice(20, 40)),
}


@pytest.mark.parametrize("fill", FILLS)
def test_a_fill_is_the_same_whatever_stood_at_the_border(fill: str) -> None:
    ramp = torch.stack(
        [torch.linspace(0, 1, 64).expand(48, 64), torch.linspace(1, 0, 48)[:, None].expand(48, 64), NOISE.uniform((48, 64))[0]]
    )
    for rows, columns in PLACES.values():
        # A second piece lies in the strips that the first may be tiled from.
        region = torch.zeros(48, 64, dtype=torch.bool)
        region[rows, columns] = True
        region[2:6, 22:38] = True
        stood = [torch.tensor(colour)[:, None, None].expand_as(ramp) for colour in ((0.0, 0, 0), (1.0, 1, 1), (0.9, 0.1, 0.1))]
        fills = [fill_region(torch.where(region, colour, ramp), region, fill, NOISE) for colour in stood]
        assert all(torch.equal(other, fills[0]) for other in fills[1:]), (rows, columns)


@pytest.mark.parametrize(("fill", "method"), [("telea", cv2.INPAINT_TELEA), ("navier-stokes", cv2.INPAINT_NS)])
def test_away_from_the_border_a_fill_is_opencvs(fill: str, method: int) -> None:
    image = NOISE.uniform((3, 48, 64))[0]
    region = torch.zeros(48, 64, dtype=torch.bool)
    region[PLACES["inside"]] = True
    own = cv2.inpaint((image.permute(1, 2, 0) * 255).round().byte().numpy(), region.byte().numpy(), 3.0, method)
    filled = (fill_region(image, region, fill, NOISE)[:, region] * 255).round().byte()
    assert torch.equal(filled, torch.from_numpy(own).permute(2, 0, 1)[:, region])


def test_masked_pixels_are_extended_from_the_nearest_background() -> None:
    image = torch.arange(6.0).expand(3, 2, 6)
    region = torch.tensor([[True, True, False, True, True, False]] * 2)
    assert extend_background(image, region)[1].tolist() == [[2, 2, 2, 2, 5, 5]] * 2


@pytest.mark.parametrize("fill", ["mean", "blur", "telea", "navier-stokes", "tile"])
def test_fills_continue_an_even_colour(fill: str) -> None:
    colour = torch.tensor([0.2, 0.6, 1.0])[:, None, None].expand(3, 16, 24)
    region = torch.zeros(16, 24, dtype=torch.bool)
    region[0:9, 3:12] = True  # at the border too
    image = torch.where(region, torch.zeros(()), colour)
    torch.testing.assert_close(fill_region(image, region, fill, NOISE), colour.clone(), atol=2 / 255, rtol=0)


@pytest.mark.parametrize(
    ("spec", "removes"), [("remove", True), ("remove(fill='exact')", True), ("context-only", True), ("occlude", False)]
)
def test_what_takes_objects_away_is_declared(spec: str, *, removes: bool) -> None:
    assert INTERVENTIONS.build(spec).removes_objects is removes


def test_a_users_own_removal_is_one_whatever_its_name(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from robustbench_cv.interventions.remove import Placebo, Removal\n\n\n"
        "def emptied():\n    return Removal(what='all', fill='mean', dilate=None, max_share=0.5)\n\n\n"
        "def remove_nothing():\n    return Placebo(emptied())\n"
    )
    assert removes_objects(["occlude()", f"{own}:emptied"])
    assert not removes_objects(["occlude()", f"{own}:remove_nothing", "remove-control"])


def test_unknown_fill_lists_the_fills() -> None:
    with pytest.raises(UserError, match=r"no fill named 'lama'; choose one of .*'exact'.*'telea'"):
        INTERVENTIONS.build("remove(fill='lama')")


# --- removal -------------------------------------------------------------------------------------------------------------------------


def test_removing_the_labelled_object_leaves_no_right_class() -> None:
    after = edit("remove", synthetic.sample("classification"))
    assert after.target.label == ABSENT
    assert after.edit is not None
    assert after.edit.before.label == CAR
    assert after.edit.removed == {"car"}  # the other car too
    alone = edit("remove(what='object')", synthetic.sample("classification"))
    assert (alone.target.label, alone.edit.removed) == (ABSENT, set())


def test_removing_another_class_leaves_the_label() -> None:
    after = edit("remove(what='context-class')", synthetic.sample("classification"))
    assert after.target.label == CAR
    assert after.edit.removed == {"boat"}


def test_damage_to_the_labelled_object_is_refused() -> None:
    sample = synthetic.sample("classification")
    square = sample.regions["instance:2"]
    touching = replace(sample, regions={**sample.regions, "object": square})
    assert "over 25% of the labelled object" in refusal("remove(what='boat', dilate=3)", touching)
    assert "over 25% of the labelled object" in refusal("remove-control(what='boat', dilate=3)", touching)
    assert edit("remove(what='boat', dilate=0)", touching).target.label == CAR


def test_segmentation_ignores_what_was_filled() -> None:
    sample = synthetic.sample("segmentation")
    after = edit("remove(what='car', dilate=2)", sample)
    region = dilate_mask(sample.regions["class:car"], 2)
    assert torch.equal(after.edit.region, region)
    assert torch.equal(after.target.labels == IGNORE, region)
    assert torch.equal(after.target.labels[~region], sample.target.labels[~region])


def test_removed_boxes_leave_and_are_crowd_before() -> None:
    sample = synthetic.sample("detection")
    after = edit("remove(what='car', dilate=0)", sample)
    assert after.target.labels.tolist() == [BOAT]
    assert torch.equal(after.target.boxes, sample.target.boxes[1:2])
    assert after.edit.before.labels.tolist() == [BOAT, CAR, CAR]
    assert after.edit.before.crowd.tolist() == [False, True, True]
    assert torch.equal(after.regions["instance:0"], sample.regions["instance:1"])


def test_a_box_that_a_removal_damages_is_crowd_on_both_sides() -> None:
    after = edit("remove(what='boat', dilate=2)", synthetic.sample("detection"))  # reaches half of the square beside the bar
    assert after.target.crowd.tolist() == [False, True]
    assert after.edit.before.crowd.tolist() == [False, True, True]


def test_a_second_removal_follows_the_first() -> None:
    sample = synthetic.sample("detection")
    first = edit("remove(what='boat', dilate=0)", sample)
    second = edit("remove(what='car', dilate=0)", first)
    assert len(second.target.boxes) == 0
    assert second.edit.before.crowd.all()
    assert len(second.edit.before.boxes) == 3
    assert second.edit.removed == {"boat", "car"}
    assert torch.equal(second.edit.region, objects(sample))


def test_a_crowd_of_the_class_forbids_its_removal() -> None:
    sample = synthetic.sample("detection")
    crowded = replace(sample, target=replace(sample.target, crowd=torch.tensor([False, False, True])))
    assert "crowd" in refusal("remove(what='car')", crowded)
    assert edit("remove(what='random-class')", crowded).edit.removed == {"boat"}
    left_out = replace(crowded.target, labels=torch.tensor([0, 1, -1]))  # as a class map marks a class that is not evaluated
    assert edit("remove(what='car')", replace(crowded, target=left_out)).edit.removed == {"car"}
    assert edit("remove(what='random-object')", crowded).target.crowd.sum() >= 1


def test_large_masks_are_refused_with_the_share() -> None:
    assert "covers 5% of the image, more than 4%" in refusal("remove(what='object', max_share=0.04)", synthetic.sample("detection"))


def test_missing_class_names_the_regions_there_are() -> None:
    message = refusal("remove(what='plane')", synthetic.sample("detection"))
    assert "has no region 'class:plane' (it has ['class:boat', 'class:car'" in message


def test_random_choice_is_the_same_for_edit_and_control_and_differs_between_samples() -> None:
    spec, removed = "remove(what='random-class', dilate=0)", set()
    for i in range(12):
        sample = synthetic.sample("detection", f"s/{i}")
        noise = Noise(0, (sample.id,), "edit")
        after, control = edit(spec, sample, noise), edit(INTERVENTIONS.build(spec).control, sample, replace(noise, purpose="control"))
        removed |= after.edit.removed
        gone = [k for k in range(3) if synthetic.NAMES[k] in after.edit.removed]
        assert control.target.crowd.nonzero()[:, 0].tolist() == gone  # scored on the same objects
        assert control.edit.removed == set()
    assert removed == {"car", "boat"}


def test_placebo_of_a_segmentation_scores_what_the_removal_scores_less_its_own_region() -> None:
    sample = synthetic.sample("segmentation")
    after, control = edit("remove(what='car')", sample), edit("remove-control(what='car')", sample)
    assert torch.equal(control.target.labels == IGNORE, (after.target.labels == IGNORE) | control.edit.region)


def test_silhouettes_and_boxes() -> None:
    sample = synthetic.sample("classification")
    mask = sample.regions["object"]
    assert torch.equal((edit("context-only(what='object')", sample).image == 0).all(dim=0), mask)
    boxed = edit("context-only(what='object', shape='box', fill='gray')", sample)
    x1, y1, x2, y2 = (int(v) for v in from_mask(mask))
    assert (boxed.image[:, y1:y2, x1:x2] == 0.5).all()
    assert int(boxed.edit.region.sum()) == (x2 - x1) * (y2 - y1)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("remove(dilate=-1)", "dilate=-1 must be"),
        ("remove(max_share=30)", "max_share=30 must be a number above 0 and at most 1"),
        ("context-only(shape='circle')", "no shape named 'circle'"),
        ("occlude(share=0)", "share=0 must be a number above 0 and at most 1"),
        ("occlude(texture='grey')", "no texture named 'grey'; choose one of .'gray'"),
        ("slide-patch(index=-1)", "index=-1 must be a whole number from 0"),
        ("slide-patch(side=0)", "side=0 must be a whole number from 1"),
        ("swap-context(to='grey')", "no background named 'grey'"),
    ],
)
def test_wrong_arguments_name_the_rule(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        INTERVENTIONS.build(spec)


# --- regions -------------------------------------------------------------------------------------------------------------------------


def test_label_maps_without_objects_tell_things_from_surfaces_by_name() -> None:
    sample = synthetic.sample("segmentation")
    only_classes = replace(sample, regions={k: v for k, v in sample.regions.items() if k.startswith("class:")})
    assert set(things(only_classes)) == set(things(sample)) == {"car", "boat"}
    assert torch.equal(objects(only_classes), sample.regions["objects"])
    assert main_class(sample) == "car"
    placebo = edit("remove-control(what='boat')", only_classes)
    assert not (placebo.edit.region & sample.regions["objects"]).any()


def test_a_placebo_avoids_what_is_removed_even_where_it_is_no_object() -> None:
    for i in range(8):
        sample = synthetic.sample("segmentation", f"s/{i}")
        boat = sample.regions["class:boat"]
        unlisted = replace(sample, regions={"objects": sample.regions["instance:0"], "class:boat": boat})
        control = edit("remove-control(what='boat', dilate=6)", unlisted, Noise(0, (sample.id,)))
        assert not (control.edit.region & boat).any()


# --- occlusion -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["block", "blobs"])
@pytest.mark.parametrize("task", ["classification", "detection"])
def test_occluders_are_nested_and_cover_the_share(style: str, task: str) -> None:
    sample = synthetic.sample(task)
    smaller: Tensor = torch.zeros(synthetic.HEIGHT, synthetic.WIDTH, dtype=torch.bool)
    chosen = sample.regions["object" if task == "classification" else "objects"]
    for share in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        made = edit(f"occlude(share={share}, style={style!r})", sample, Noise(0, ("synthetic/0",), f"share {share}"))
        assert not (smaller & ~made.edit.region).any()
        smaller = made.edit.region
        covered = float((made.edit.region & chosen).sum() / chosen.sum())
        assert made.edit.share == pytest.approx(covered)
        assert made.edit.share == pytest.approx(share, abs=0.01 if style == "blobs" else 0.1)  # a row of these small objects is 0.1
    assert (smaller & chosen).sum() == chosen.sum()


def test_occluders_leave_other_objects_and_all_boxes_alone() -> None:
    sample = synthetic.sample("detection")
    made = edit("occlude(share=0.9, what='boat')", sample)
    assert torch.equal(made.target.boxes, sample.target.boxes)
    assert not made.target.crowd.any()
    others = sample.regions["instance:0"] | sample.regions["instance:2"]
    assert torch.equal(made.image[:, others], sample.image[:, others])
    assert torch.equal(made.regions["instance:0"], sample.regions["instance:0"])


def test_textures() -> None:
    sample = synthetic.sample("classification")
    region = edit("occlude", sample).edit.region
    assert (edit("occlude", sample).image[:, region] == 0.5).all()
    for texture in ("noise", "patch"):
        made = edit(f"occlude(texture={texture!r})", sample)
        assert torch.equal(made.edit.region, region)
        assert made.image[:, region].std() > 0.02
    red = torch.tensor(synthetic.COLOURS[0])[:, None]
    assert ((made.image[:, region] - red).abs().sum(dim=0) > 0.2).all()  # a patch of background shows no object


# --- the sliding patch ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width", "side", "stride"), [(20, 31, 7, 3), (224, 224, None, None), (5, 4, 9, 2), (1, 1, 3, 1)])
def test_patch_positions_cover_every_pixel_and_are_clipped(height: int, width: int, side: int | None, stride: int | None) -> None:
    count = torch.zeros(height, width)
    for at in positions(height, width, side, stride):
        assert 0 <= at.top < at.bottom <= height
        assert 0 <= at.left < at.right <= width
        count[at.top : at.bottom, at.left : at.right] += 1
    assert count.min() >= 1
    if (height, side) == (224, None):
        assert len(positions(height, width)) == 28 * 28
        assert (count[16:-16, 16:-16] == 4 * 4).all()  # 32 px in steps of 8


def test_patch_index_beyond_the_grid_says_how_many_there_are() -> None:
    assert "has 4 patch positions, no index 4" in refusal("slide-patch(index=4, side=9, stride=28)", synthetic.sample("detection"))


# --- real street scenes --------------------------------------------------------------------------------------------------------------


def test_cars_are_removed_from_real_label_maps() -> None:
    folder = os.environ.get("ROBUSTBENCH_CV_DATA")
    if folder is None:
        pytest.skip("set ROBUSTBENCH_CV_DATA to a folder with camvid/")
    dataset = DATASETS.build(f"masks:{folder}/camvid/test")
    for sample in (dataset[i] for i in (0, 60, 120)):
        car = sample.regions["class:car"]
        after, control = edit("remove(what='car')", sample), edit("remove-control(what='car')", sample)
        assert after.edit.removed == {"car"}
        assert not (car & ~after.edit.region).any()
        assert torch.equal(after.image[:, ~after.edit.region], sample.image[:, ~after.edit.region])
        assert int(control.edit.region.sum()) == int(after.edit.region.sum())
        assert not (control.edit.region & objects(sample)).any()
        assert {"car", "pedestrian", "bicyclist", "sign"} >= set(things(sample)) >= {"car"}
