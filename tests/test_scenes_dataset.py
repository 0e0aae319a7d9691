"""Scenes as a Dataset: ids, targets, regions, edits, bulk arrays, the contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import numpy as np
import pytest
import torch

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.contact_sheet import CELL, caption, contact_sheet, picture
from robustbench_cv.data.scenes.classes import CONTEXTS, OBJECTS, PIXELS
from robustbench_cv.data.scenes.sample import sample as render_sample
from robustbench_cv.data.scenes.scene import Object, Scene
from robustbench_cv.data.scenes.scene_arrays import arrays
from robustbench_cv.errors import UserError
from robustbench_cv.tasks import TASKS, Task
from robustbench_cv.types import ABSENT, BoxTarget, ClassTarget, Dataset, Editable, Labels, MaskTarget, Sample


def data(task: Task, **more: object) -> Dataset:
    return DATASETS.build("scenes(samples=12)", task=task, **more)


def samples(task: Task) -> Iterator[Sample]:
    dataset = data(task)
    return (dataset[i] for i in range(len(dataset)))


def test_ids_name_what_changes_the_picture() -> None:
    assert data("detection").ids[3] == "scenes-test-b80/000003"
    assert data("detection", bias=0.125, size=64, seed=2, split="train").ids[0] == "scenes-train-b12.5-s64-r2/000000"
    assert data("detection")[3].id == data("detection").ids[3]
    assert data("detection")[-1].id == data("detection").ids[11]
    with pytest.raises(IndexError, match="no sample 12"):
        data("detection")[12]


def test_the_three_tasks_annotate_the_same_picture() -> None:
    for a, b, c in zip(*(samples(task) for task in TASKS), strict=True):
        assert a.id == b.id == c.id
        assert torch.equal(a.image, b.image)
        assert torch.equal(a.image, c.image)
        assert isinstance(a.target, ClassTarget)
        assert isinstance(b.target, MaskTarget)
        assert isinstance(c.target, BoxTarget)
        assert a.target.label in c.target.labels.tolist()
        present = {OBJECTS[k] for k in c.target.labels.tolist()}
        assert present == {PIXELS[k] for k in torch.unique(b.target.labels).tolist()} & set(OBJECTS)


def test_images_are_float_rgb_of_the_eight_bit_pixels() -> None:
    for sample in samples("classification"):
        assert sample.image.shape == (3, 96, 96)
        assert sample.image.dtype == torch.float32
        assert sample.image.is_contiguous()
        assert torch.equal((sample.image * 255).round() / 255, sample.image)
        assert sample.image.min() >= 0
        assert sample.image.max() <= 1


def test_labels_match_the_task() -> None:
    assert data("classification").labels == data("detection").labels == Labels(OBJECTS)
    assert data("segmentation").labels == Labels(PIXELS)
    assert [data(t).task for t in get_args(Task)] == list(get_args(Task))


def test_regions_are_what_their_names_say() -> None:
    for sample in samples("detection"):
        assert isinstance(sample.target, BoxTarget)
        regions, n = sample.regions, len(sample.target.boxes)
        assert len(regions) == len(list(regions)) == len(set(regions))
        assert {f"instance:{k}" for k in range(n)} | {f"amodal:{k}" for k in range(n)} | {"object", "objects"} <= set(regions)
        union = torch.zeros(96, 96, dtype=torch.bool)
        for k in range(n):
            mask = regions[f"instance:{k}"]
            assert mask.dtype == torch.bool
            assert int(mask.sum()) == int(sample.target.area[k])
            assert (mask <= regions[f"amodal:{k}"]).all()
            assert (mask <= regions[f"class:{OBJECTS[int(sample.target.labels[k])]}"]).all()
            union |= mask
        assert torch.equal(union, regions["objects"])
        layers = torch.stack([regions[name] for name in regions if name.startswith("class:")])
        assert (layers.sum(dim=0) == 1).all()
        for missing in ("class:unicorn", f"instance:{n}", "amodal:-1", "nothing"):
            assert missing not in regions


def test_removal_of_the_main_object_makes_the_label_absent() -> None:
    for sample in samples("classification"):
        assert isinstance(sample.scene, Editable)
        main = next(k for k in range(5) if torch.equal(sample.regions[f"instance:{k}"], sample.regions["object"]))
        gone = sample.scene.without([main])
        assert gone.target.label == ABSENT  # type: ignore[union-attr]
        assert "object" not in gone.regions
        assert gone.id == sample.id
        assert sample.target.label != ABSENT  # type: ignore[union-attr]


def test_removal_in_detection_drops_that_box_and_keeps_the_others() -> None:
    for sample in samples("detection"):
        assert isinstance(sample.target, BoxTarget)
        assert sample.scene is not None
        n = len(sample.target.boxes)
        for k in range(n):
            rest = sample.scene.without([k])
            assert isinstance(rest.target, BoxTarget)
            assert len(rest.target.boxes) == n - 1
            assert rest.target.labels.tolist() == [v for j, v in enumerate(sample.target.labels.tolist()) if j != k]
        with pytest.raises(IndexError, match=f"it has {n} annotated"):
            sample.scene.without([n])


def test_context_edits() -> None:
    sample = data("segmentation")[0]
    assert sample.scene is not None
    assert sample.scene.contexts() == CONTEXTS
    assert isinstance(sample.target, MaskTarget)
    for context in CONTEXTS:
        moved = sample.scene.in_context(context)
        assert moved.attributes == {"context": context}
        assert isinstance(moved.target, MaskTarget)
        things = moved.target.labels >= PIXELS.index("car")
        assert torch.equal(things, sample.regions["objects"])
        empty = sample.scene.context_only(context)
        assert isinstance(empty.target, MaskTarget)
        assert (empty.target.labels < PIXELS.index("car")).all()
        assert not empty.regions["objects"].any()
    stage = sample.scene.context_only()
    outside = (stage.image != sample.image).any(dim=0)
    assert 0 < outside.float().mean() < 0.6


def test_fingerprints_follow_the_description() -> None:
    a = data("classification")
    assert len({a.fingerprint(i) for i in range(12)}) == 12
    assert a.fingerprint(0) == data("classification").fingerprint(0)
    others = [data("classification", **{k: v}) for k, v in (("seed", 1), ("size", 64), ("split", "train"))]
    assert len({a.fingerprint(0), *(d.fingerprint(0) for d in others), data("detection").fingerprint(0)}) == 5


@pytest.mark.parametrize("spec", ["bias=1.5", "size=8", "samples=0", "task='depth'"])
def test_arguments_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UserError, match=spec.split("=")[0]):
        DATASETS.build(f"scenes({spec})")


@pytest.mark.parametrize("task", TASKS)
def test_arrays_hold_the_same_samples(task: Task) -> None:
    made = arrays("test", 4, task=task, start=2)
    dataset = data(task)
    for row in range(4):
        sample = dataset[row + 2]
        assert torch.equal(torch.from_numpy(made.images[row]).permute(2, 0, 1) / 255, sample.image)
        if isinstance(sample.target, ClassTarget):
            assert sample.target.label == made.labels[row]
        if isinstance(sample.target, MaskTarget):
            assert made.maps is not None
            assert np.array_equal(made.maps[row], sample.target.labels.numpy())
        if isinstance(sample.target, BoxTarget):
            assert made.boxes is not None
            assert torch.equal(made.boxes[row].boxes, sample.target.boxes)
            assert torch.equal(made.boxes[row].labels, sample.target.labels)
            assert torch.equal(made.boxes[row].area, sample.target.area)


def test_an_object_that_is_hidden_has_no_region() -> None:
    cow = Object(name="cow", x=0.5, y=0.8, size=0.2, colour=(0.4, 0.3, 0.2), seed="a", depth=0.5, main=True)
    tent = Object(name="tent", x=0.5, y=0.85, size=0.7, colour=(0.9, 0.3, 0.2), seed="b", depth=0.1)
    made = render_sample(Scene(context="meadow", objects=(cow, tent)), "made/0", "detection")
    assert made.target.labels.tolist() == [OBJECTS.index("tent")]  # type: ignore[union-attr]
    assert "object" not in made.regions
    assert "class:cow" not in made.regions
    assert made.scene is not None
    revealed = made.scene.without([0])
    assert revealed.target.labels.tolist() == [OBJECTS.index("cow")]  # type: ignore[union-attr]


@pytest.mark.slow
def test_arrays_do_not_depend_on_the_number_of_processes() -> None:
    one, two = arrays("train", 300, size=48), arrays("train", 300, size=48, workers=2)
    assert np.array_equal(one.images, two.images)
    assert np.array_equal(one.labels, two.labels)


@pytest.mark.parametrize("task", TASKS)
def test_contact_sheet_shows_every_picture(task: Task) -> None:
    dataset = data(task)
    sheet = contact_sheet(dataset, count=5, columns=3)
    assert sheet.width > 3 * CELL
    assert 2 * CELL < sheet.height < 3 * CELL
    assert np.asarray(sheet).std() > 20
    plain, drawn = (np.asarray(picture(dataset[0], dataset.labels, 96, annotate=a)) for a in (False, True))
    assert np.array_equal(plain, (dataset[0].image * 255).round().byte().permute(1, 2, 0).numpy())
    assert np.array_equal(plain, drawn) == (task == "classification")
    words = caption(dataset[0], dataset.labels)
    assert words[1] == dataset[0].attributes["context"]
    assert any(name in words[0] for name in dataset.labels.names)


def test_contact_sheet_needs_a_picture() -> None:
    with pytest.raises(ValueError, match="count=0"):
        contact_sheet(data("classification"), count=0)
