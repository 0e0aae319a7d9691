"""Scenes: determinism, splits, exact counterfactuals, masks that agree with each other, the bias."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from robustbench_cv import boxes
from robustbench_cv.catalogue import DATASETS
from robustbench_cv.data.scenes.classes import CONTEXTS, HOME, OBJECTS, PIXELS, STUFF
from robustbench_cv.data.scenes.generate import generate
from robustbench_cv.data.scenes.noise_fields import Array
from robustbench_cv.data.scenes.render import MIN_PIXELS, MIN_SHARE, Rendered
from robustbench_cv.data.scenes.scene import Light, Object, Scene

SCENES = [generate("test", i) for i in range(48)]
CROWDED = [scene for scene in SCENES if len(scene.objects) > 2]

GOLDEN: dict[str, str] = {
    "test/0/0.8/96": "a6cd08e800c47d9b9c8421f079a44dc2f3c402bcd334bd9c3996d3f727b842ed",
    "test/1/0.8/96": "7f5dc199317c31372453f6e28372b3cf694e2025aa14d37ba3e6729ca48d4a2c",
    "test/2/0.8/96": "aae4c5546e2de86254d65ea01b75b7bf67dc544ba6ef57662d142ca3e8c6ea3e",
    "test/4/0.8/96": "329a271646bb4631d9e27663d4b6247cb609332f687e43ec5831581163f1b7b6",
    "test/5/0.8/96": "88b297ff63357aa82fc46c7e0e4835988853a9387750a95183fe8eeb1d8b17d7",
    "test/6/0.8/96": "f0b957e10cd95736a08ff8f56b586c389f65b51b2ab1c26e8e9fc187f6c016db",
    "test/7/0.8/96": "e1330ba839070324a7f67986ba0fbdd9fe4cd7650d3b8312aad6a43b7aec07db",
    "test/14/0.8/96": "3a5b4d5f9df0042c91d1f2bbc321db68a982e8580f399415572b4fe53b54c0fc",
    "train/0/0.8/96": "5d3fc58bb8973824dfbc3eada6403de3d6082c1c5f868100767a04b9a4f8b599",
    "train/7/0.0/64": "26ca6f8edd7e8825114339987cca474daa125dd514c6ded0343ac350ca767ab2",
    "test/3/1.0/161": "b8658562e4f7ccff4254a9802fa0eacad5e974bfa4476797184d067a748acf3a",
}
"""sha256 of image, labels, masks and boxes by split/index/bias/size. A new value needs a new RENDERER_VERSION and new bundled weights."""


def pixels(drawn: Rendered) -> str:
    return hashlib.sha256(drawn.image.tobytes() + drawn.labels.tobytes() + drawn.visible.tobytes() + drawn.boxes.tobytes()).hexdigest()


def differs(a: Rendered, b: Rendered) -> Array:
    return np.asarray((a.image != b.image).any(axis=2))


def grown(mask: Array) -> Array:
    """The mask and its eight neighbours: antialiased edges cover less than half of a pixel outside it."""
    padded = np.pad(mask, 1)
    height, width = mask.shape
    return np.asarray(np.any([padded[i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=0))


@pytest.mark.parametrize("key", GOLDEN)
def test_pixels_are_the_golden_ones(key: str) -> None:
    split, index, bias, size = key.split("/")
    scene = generate(split, int(index), float(bias), 0, int(size))
    assert pixels(scene.render()) == GOLDEN[key]


def test_rendering_twice_gives_the_same_bytes_whatever_was_rendered_between() -> None:
    first = pixels(SCENES[0].render())
    for scene in SCENES[1:5]:
        replace(scene, size=64).render()
    assert pixels(SCENES[0].render()) == first


def test_splits_share_no_scene() -> None:
    train = {repr(replace(generate("train", i), seed="")) for i in range(400)}
    test = {repr(replace(generate("test", i), seed="")) for i in range(400)}
    assert len(train) == len(test) == 400
    assert not train & test
    seeds = [{o.seed for i in range(400) for o in generate(split, i).objects} for split in ("train", "test")]
    assert not seeds[0] & seeds[1]


@pytest.mark.parametrize("bias", [0.0, 0.3, 0.8, 1.0])
def test_main_object_is_at_home_as_often_as_the_bias_says(bias: float) -> None:
    n = 3000
    scenes = [generate("train", i, bias) for i in range(n)]
    homely = sum(HOME[s.objects[0].name] == s.context for s in scenes)
    assert abs(homely - n * bias) <= 4.5 * (n * bias * (1 - bias)) ** 0.5
    away = {s.context for s in scenes if HOME[s.objects[0].name] != s.context}
    assert away == (set(CONTEXTS) if bias < 1 else set())


def test_other_objects_follow_the_bias_too() -> None:
    shares = []
    for bias in (0.2, 0.8):
        others = [HOME[o.name] == s.context for i in range(2000) for s in [generate("train", i, bias)] for o in s.objects[1:]]
        shares.append(sum(others) / len(others))
    assert shares[0] == pytest.approx(0.2, abs=0.06)
    assert shares[1] == pytest.approx(0.8, abs=0.06)


def test_classes_are_balanced_and_main_objects_are_the_largest() -> None:
    scenes = [generate("train", i) for i in range(3000)]
    counts = [sum(s.objects[0].name == name for s in scenes) for name in OBJECTS]
    assert counts == [300] * 10
    for scene in scenes:
        assert scene.main == scene.objects[0]
        assert all(o.size < 0.65 * scene.objects[0].size for o in scene.objects[1:])


def test_another_bias_keeps_the_main_object_where_it_was() -> None:
    for i in range(60):
        a, b = generate("test", i, 0.0), generate("test", i, 1.0)
        assert (a.objects[0], a.light, a.horizon) == (b.objects[0], b.light, b.horizon)
        assert a.context != b.context
        assert generate("test", i, 0.5) in (a, b) or generate("test", i, 0.5).context in (a.context, b.context)


@pytest.mark.parametrize("scene", CROWDED[:12], ids=lambda s: s.seed.split("/")[-2])
def test_removal_changes_only_the_object_and_its_shadow(scene: Scene) -> None:
    before = scene.render()
    for index in range(len(scene.objects)):
        after = scene.without([index]).render()
        changed = differs(before, after)
        assert changed.any()
        assert not (changed & ~before.touched[index]).any()
        relabelled = before.labels != after.labels
        owned = np.zeros_like(changed)
        for k, i in enumerate(before.annotated):
            owned |= before.amodal[k] if i == index else False
        assert not (relabelled & ~owned).any()


def test_what_is_touched_is_the_amodal_mask_its_edge_and_a_shadow_at_the_foot() -> None:
    for scene in SCENES:
        drawn = scene.render()
        for k, i in enumerate(drawn.annotated):
            outside = drawn.touched[i] & ~grown(drawn.amodal[k])
            if scene.context == "sky" or scene.objects[i].name == "plane":
                assert outside.sum() <= 8
            else:
                foot = int((scene.objects[i].y - 0.2 * scene.objects[i].size) * scene.size - 2)
                # A stroke thinner than half a pixel, such as a mast's tip, covers no pixel by half.
                assert outside[:foot].sum() <= 8


def test_removing_everything_leaves_the_empty_stage() -> None:
    scene = CROWDED[0]
    one_by_one = scene
    while one_by_one.objects:
        one_by_one = one_by_one.without([0])
    assert pixels(one_by_one.render()) == pixels(scene.without(range(len(scene.objects))).render())
    assert not np.isin(one_by_one.render().labels, range(len(STUFF), len(PIXELS))).any()


def test_masks_boxes_and_semantic_map_agree() -> None:
    for scene in SCENES:
        drawn = scene.render()
        assert drawn.image.shape == (96, 96, 3)
        assert drawn.image.dtype == np.uint8
        assert not (drawn.visible & ~drawn.amodal).any()
        assert (drawn.visible.sum(axis=0) <= 1).all()
        for k, i in enumerate(drawn.annotated):
            assert (drawn.labels[drawn.visible[k]] == PIXELS.index(scene.objects[i].name)).all()
            assert drawn.boxes[k].tolist() == boxes.from_mask(torch.from_numpy(drawn.visible[k])).tolist()
            assert drawn.visible[k].sum() >= max(MIN_PIXELS, MIN_SHARE * drawn.amodal[k].sum())
        things = drawn.labels >= len(STUFF)
        assert (drawn.visible.any(axis=0) <= things).all()
        if len(drawn.annotated) == len(scene.objects):
            assert (drawn.visible.any(axis=0) == things).all()


def test_amodal_masks_ignore_what_stands_in_front() -> None:
    for scene in CROWDED[:10]:
        drawn = scene.render()
        for k, i in enumerate(drawn.annotated):
            alone = scene.without(set(range(len(scene.objects))) - {i}).render()
            assert (alone.visible[0] == drawn.amodal[k]).all()


def test_another_context_moves_no_mask() -> None:
    for scene in CROWDED[:4]:
        drawn = scene.render()
        for context in CONTEXTS:
            moved = scene.in_context(context).render()
            assert (moved.visible == drawn.visible).all()
            assert (moved.amodal == drawn.amodal).all()
            if context != scene.context:
                assert differs(moved, drawn).mean() > 0.5


def test_objects_keep_their_pixels_in_another_context() -> None:
    scene = CROWDED[0]
    alone = scene.without(range(1, len(scene.objects)))
    a, b = alone.in_context("snow").render(), alone.in_context("desert").render()
    core = ~grown(~a.amodal[0])
    assert core.any()
    # Where two antialiased parts meet, a little of the backdrop shows through.
    same = (a.image[core] == b.image[core]).all(axis=1)
    assert same.mean() > 0.9
    assert differs(a, b)[~a.touched[0]].mean() > 0.5


def test_recolouring_occluding_and_reordering() -> None:
    scene = CROWDED[0]
    before = scene.render()
    painted = scene.with_colour(0, (0.0, 1.0, 0.0)).render()
    assert differs(before, painted).any()
    assert not (differs(before, painted) & ~before.touched[0]).any()
    assert (painted.visible == before.visible).all()
    main = scene.objects[0]
    hidden = scene.with_object(replace(main, name="tent", seed="occluder", depth=-1.0, main=False, turn=0.0)).render()
    k = hidden.annotated.index(0) if 0 in hidden.annotated else None
    assert k is None or hidden.visible[k].sum() < before.visible[0].sum()
    a = Object(name="cow", x=0.5, y=0.8, size=0.4, colour=(0.4, 0.3, 0.2), seed="a", depth=0.2)
    b = Object(name="car", x=0.55, y=0.8, size=0.4, colour=(0.9, 0.3, 0.2), seed="b", depth=0.1)
    scene = Scene(context="meadow", objects=(a, b))
    swapped = scene.with_change(0, depth=0.0)
    assert scene.render().visible[0].sum() < swapped.render().visible[0].sum()


def test_what_cannot_be_seen_is_not_annotated() -> None:
    cow = Object(name="cow", x=0.5, y=0.8, size=0.2, colour=(0.4, 0.3, 0.2), seed="a", depth=0.5, main=True)
    tent = Object(name="tent", x=0.5, y=0.85, size=0.7, colour=(0.9, 0.3, 0.2), seed="b", depth=0.1)
    outside = replace(tent, x=3.0)
    assert Scene(context="meadow", objects=(cow,)).render().annotated == (0,)
    assert Scene(context="meadow", objects=(cow, tent)).render().annotated == (1,)
    assert pixels(Scene(context="meadow", objects=(cow, outside)).render()) == pixels(Scene(context="meadow", objects=(cow,)).render())
    speck = replace(cow, size=0.05)
    assert Scene(context="meadow", objects=(speck,)).render().annotated == ()
    assert Scene(context="meadow", objects=(speck,), size=512).render().annotated == ()


def test_editing_leaves_the_scene_as_it_was() -> None:
    scene = CROWDED[0]
    copy, before = repr(scene), pixels(scene.render())
    scene.without([0])
    scene.in_context("sky").render()
    scene.with_colour(0, (1, 0, 0))
    assert repr(scene) == copy
    assert pixels(scene.render()) == before


def test_a_larger_picture_shows_the_same_scene() -> None:
    for scene in SCENES[:12]:
        small, large = scene.render(), replace(scene, size=192).render()
        mean = large.image.reshape(96, 2, 96, 2, 3).mean(axis=(1, 3))
        assert np.abs(mean - small.image).mean() < 12
        assert (large.labels[::2, ::2] == small.labels).mean() > 0.9


def test_every_context_and_hour_renders_at_odd_sizes() -> None:
    for context in CONTEXTS:
        for hour in ("noon", "morning", "golden", "dusk", "overcast"):
            for size in (33, 70):
                drawn = Scene(context=context, objects=(), light=Light(hour, -0.7), horizon=0.45, seed="x", size=size).render()
                assert drawn.image.shape == (size, size, 3)
                assert drawn.image.std() > 5


def test_wrong_descriptions_are_refused() -> None:
    with pytest.raises(ValueError, match="no context 'moon'"):
        Scene(context="moon")
    with pytest.raises(ValueError, match="no object class 'ufo'"):
        Object(name="ufo", x=0.5, y=0.5, size=0.3, colour=(1, 1, 1), seed="a")
    with pytest.raises(IndexError, match="no object 9"):
        SCENES[0].without([9])


def test_every_class_is_shown_often_enough_to_learn() -> None:
    seen = np.zeros(len(PIXELS))
    for i in range(300):
        counts = np.bincount(generate("train", i).render().labels.ravel(), minlength=len(PIXELS))
        seen += counts > 60
    assert (seen >= 15).all()


def test_the_registry_finds_scenes() -> None:
    assert "scenes" in DATASETS.names()
