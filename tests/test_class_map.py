"""Classes matched by name, and samples and predictions moved accordingly."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustbench_cv.data.class_map import DROPPED, ClassMap, parse_overrides
from robustbench_cv.data.class_names import match_names
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.python_files import load_file
from robustbench_cv.types import (
    ABSENT,
    IGNORE,
    BoxPrediction,
    BoxTarget,
    ClassPrediction,
    ClassTarget,
    Edit,
    Labels,
    MaskPrediction,
    MaskTarget,
    Sample,
)

IMAGE = torch.zeros(3, 2, 3)
DATA = Labels(("Traffic_Light", "auto", "sign"))
MODEL = Labels(("__background__", "car", "person", "traffic light", "sign"))


def labels(*names):
    return Labels(names)


def given_map():
    return ClassMap.match(DATA, MODEL, {"auto": "car", "sign": "-"})


def boxes(*classes, crowd=None):
    return BoxTarget.of(torch.arange(4.0 * len(classes)).reshape(-1, 4), torch.tensor(classes), crowd)


def test_names_match_exactly_first_then_alike():
    assert ClassMap.match(labels("b", "a"), labels("a", "B", "b")).index == (2, 0)
    assert ClassMap.match(
        labels("Traffic_Light", "SEA-LION", "background"), labels("sea lion", "__background__", "traffic light")
    ).index == (2, 0, 1)
    assert ClassMap.match(labels("a", "b"), labels("b", "a")).how == ("same name", "same name")


def test_overrides_win_and_dash_leaves_out():
    found = given_map()
    assert found.index == (3, 1, DROPPED)
    assert found.how == ("like name", "given", "left out")
    assert ClassMap.match(labels("a", "b"), labels("a", "b"), {"A": "B"}).index == (1, 1)


def test_missing_classes_are_listed_with_the_closest_names_and_the_way_out():
    with pytest.raises(UserError) as caught:
        ClassMap.match(labels("car", "bicyclist", "zzz"), labels("Car", "bicycle", "person"))
    message = str(caught.value)
    assert "2 classes of the data are not among the model's 3 (Car, bicycle, person)" in message
    assert "'bicyclist': close to 'bicycle'" in message
    assert "'zzz'\n" in message
    assert "--class-map bicyclist=bicycle" in message
    assert "--class-map bicyclist=-" in message


@pytest.mark.parametrize(
    ("data", "model", "overrides", "why"),
    [
        (["cat"], ["Cat", "CAT"], {}, r"matches several of the model: 'Cat' \(0\), 'CAT' \(1\); say which: --class-map cat=Cat"),
        (["Cat", "cat"], ["cat"], {}, "'Cat' and 'cat' of the data match one class of the model, 'cat'"),
        (["cat"], ["cat"], {"dog": "cat"}, "names 'dog', but the data has no such class; it has cat"),
        (["cat"], ["cat"], {"cat": "cart"}, "names 'cart', but the model has no such class; did you mean 'cat'"),
        (["cat"], ["Cat", "CAT"], {"cat": "caT"}, "means several classes of the model: 'Cat', 'CAT'"),
        (["cat"], ["cat"], {"cat": "-"}, "leaves out every class"),
        (["cat"], ["cat"], {"cat": "cat", "CAT": "-"}, "gives 'cat' two partners"),
    ],
)
def test_what_is_not_clear_is_an_error(data, model, overrides, why):
    with pytest.raises(UserError, match=why):
        ClassMap.match(Labels(tuple(data)), Labels(tuple(model)), overrides)


def test_numbered_classes_match_by_position_if_equally_many():
    for data, model in [
        (Labels.numbered(2), labels("a", "b")),
        (labels("a", "b"), Labels.numbered(2)),
        (Labels.numbered(2), Labels.numbered(2)),
    ]:
        found = ClassMap.match(data, model)
        assert found.index == (0, 1)
        assert "position" in found.notes[0]
        assert "position" in found.describe()
    assert "position" not in ClassMap.match(labels("a", "b"), labels("a", "b")).describe()


@pytest.mark.parametrize("sides", [(9, 10), (10, 9)])
def test_numbered_classes_of_another_count_never_match(sides):
    with pytest.raises(UserError, match=rf"{sides[0]} classes of the data \(numbered\) and {sides[1]} of the model \(numbered\)"):
        ClassMap.match(Labels.numbered(sides[0]), Labels.numbered(sides[1]))
    with pytest.raises(UserError, match="cannot be matched"):
        ClassMap.match(labels("a", "b"), Labels.numbered(3))
    assert ClassMap.match(labels("a", "b"), Labels.numbered(3), {"a": "class 2", "b": "-"}).index == (2, DROPPED)


def test_class_labels_move_and_left_out_ones_are_not_applicable():
    moved = given_map().sample(Sample("s", IMAGE, ClassTarget(1)))
    assert isinstance(moved.target, ClassTarget)
    assert moved.target.label == 1
    with pytest.raises(NotApplicable, match="sample s is of class 'sign'"):
        given_map().sample(Sample("s", IMAGE, ClassTarget(2)))
    gone = given_map().sample(Sample("s", IMAGE, ClassTarget(ABSENT)))
    assert isinstance(gone.target, ClassTarget)
    assert gone.target.label == ABSENT


def test_pixels_move_and_left_out_ones_are_ignored():
    moved = given_map().sample(Sample("s", IMAGE, MaskTarget(torch.tensor([[0, 1, 2], [255, 1, 0]]))))
    assert isinstance(moved.target, MaskTarget)
    assert moved.target.labels.tolist() == [[3, 1, 255], [255, 1, 3]]
    assert moved.target.labels.dtype == torch.int64


def test_boxes_move_and_left_out_ones_become_crowd_in_place():
    target = boxes(2, 0, 1, crowd=torch.tensor([False, True, False]))
    moved = given_map().sample(Sample("s", IMAGE, target)).target
    assert isinstance(moved, BoxTarget)
    assert moved.labels.tolist() == [DROPPED, 3, 1]
    assert moved.crowd.tolist() == [True, True, False]
    assert torch.equal(moved.boxes, target.boxes)
    assert torch.equal(moved.area, target.area)
    assert target.labels.tolist() == [2, 0, 1]


def test_an_edit_follows_into_the_models_names():
    edit = Edit("remove", torch.ones(2, 3, dtype=torch.bool), boxes(0, 1, 2), frozenset({"Traffic_Light", "sign"}))
    moved = given_map().sample(Sample("s", IMAGE, boxes(1), edit=edit)).edit
    assert moved is not None
    assert isinstance(moved.before, BoxTarget)
    assert moved.before.labels.tolist() == [3, 1, DROPPED]
    assert moved.removed == {"traffic light"}


def test_a_class_merged_from_two_is_gone_only_when_both_are():
    merged = ClassMap.match(labels("auto", "truck"), labels("vehicle"), {"auto": "vehicle", "truck": "vehicle"})
    assert any("auto, truck are one class of the model, 'vehicle'" in note for note in merged.notes)
    edit = Edit("remove", torch.ones(2, 3, dtype=torch.bool), boxes(0, 1), frozenset({"auto"}))
    for left, removed in [(boxes(1), frozenset()), (boxes(), {"vehicle"})]:
        moved = merged.sample(Sample("s", IMAGE, left, edit=edit)).edit
        assert moved is not None
        assert moved.removed == removed


def test_a_removed_main_object_takes_its_name_along():
    edit = Edit("remove", torch.ones(2, 3, dtype=torch.bool), ClassTarget(1), frozenset({"auto"}))
    for target, removed in [(ClassTarget(ABSENT), {"car"}), (ClassTarget(1), frozenset())]:
        moved = given_map().sample(Sample("s", IMAGE, target, edit=edit)).edit
        assert moved is not None
        assert isinstance(moved.before, ClassTarget)
        assert moved.before.label == 1
        assert moved.removed == removed


def test_predictions_lose_what_the_data_cannot_judge():
    found = given_map()
    detected = found.prediction(BoxPrediction(torch.rand(5, 4), torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5]), torch.tensor([1, 2, 3, 4, 0])))
    assert isinstance(detected, BoxPrediction)
    assert detected.labels.tolist() == [1, 3]
    torch.testing.assert_close(detected.scores, torch.tensor([0.9, 0.7]))
    assert len(detected.boxes) == 2
    pixels = found.prediction(MaskPrediction(torch.tensor([[0, 1, 2, 3, 4, -1]])))
    assert isinstance(pixels, MaskPrediction)
    assert pixels.labels.tolist() == [[-1, 1, -1, 3, -1, -1]]


def test_class_predictions_keep_their_argmax():
    prediction = ClassPrediction(torch.tensor([0.5, 0.4, 0.1, 0.0, 0.0]))
    assert given_map().prediction(prediction) is prediction
    assert prediction.label == 0


def test_index_255_of_a_model_cannot_be_a_pixel_label():
    model = Labels(tuple(f"c{i}" for i in range(300)))
    sample = Sample("s", IMAGE, MaskTarget(torch.tensor([[0, 1, 255]])))
    moved = ClassMap.match(labels("c299", "c256"), model).sample(sample).target
    assert isinstance(moved, MaskTarget)
    assert moved.labels.tolist() == [[299, 256, IGNORE]]
    with pytest.raises(UserError, match=r"class 255 \('c255'\) cannot be evaluated"):
        ClassMap.match(labels("c1", "c255"), model).sample(sample)


def test_the_table_names_partners_and_what_is_left_over():
    text = given_map().describe()
    lines = text.splitlines()
    assert lines[0].split() == ["data", "model", "matched", "by"]
    assert lines[1].split("  ")[0] == "Traffic_Light"
    assert "traffic light" in lines[1]
    assert "(not evaluated)" in lines[3]
    assert "3 of the model's 5 classes are not in the data (__background__, person, sign)" in text


def test_keys_follow_what_the_map_does_and_nothing_else():
    same = ClassMap.match(labels("a", "b"), labels("b", "a"))
    assert same.key() == ClassMap.match(labels("a", "b"), labels("b", "a"), {"a": "a"}).key()
    assert same.key() != ClassMap.match(labels("a", "b"), labels("b", "a"), {"a": "b", "b": "-"}).key()
    assert same.key() != ClassMap.match(labels("a", "b"), labels("a", "b")).key()
    # pinned: a stored result must be found again by a later version
    assert ClassMap.match(labels("a"), labels("a")).key().startswith(PINNED)


PINNED = "eef9b286eef9"


def test_overrides_are_parsed():
    assert parse_overrides("auto=car,sign=-") == {"auto": "car", "sign": "-"}
    assert parse_overrides(' traffic light = "Traffic, light" , "a=b"=c,') == {"traffic light": "Traffic, light", "a=b": "c"}
    assert parse_overrides("") == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("auto", "is not data=model"),
        ("a=", "is not"),
        ("=a", "is not"),
        ("a=b=c", "is not"),
        ("a==b", "is not"),
        ("a=b=", "is not"),
        ("a= =b", "is not"),
        ('""=b', "is not"),
        ("a=b,a=c", "twice"),
        ("a=b," * 500, "names 'a' twice"),
        ('"",' * 500 + "x", "is not data=model"),
        ('a="b', "not closed"),
        ('"' * 501, "not closed"),
    ],
)
def test_overrides_that_say_nothing_are_refused_in_a_line(text, why):
    with pytest.raises(UserError, match=why) as caught:
        parse_overrides(text)
    assert len(str(caught.value)) < 250


def test_an_accent_of_its_own_is_the_same_name():
    assert ClassMap.match(labels("Cafe\u0301", "bar"), labels("bar", "caf\u00e9")).index == (1, 0)


NAMES = st.lists(
    st.text("abcAB _-", min_size=1, max_size=4),
    min_size=1,
    max_size=8,
    unique_by=lambda n: " ".join(n.lower().replace("_", " ").replace("-", " ").split()),
)


@settings(deadline=None)
@given(NAMES.filter(lambda names: all(n.strip(" _-") for n in names)), st.randoms(use_true_random=False), st.data())
def test_a_map_and_its_inverse_are_the_identity(names, random, data):
    shuffled = random.sample(names, len(names))
    there, back = (
        ClassMap.match(Labels(tuple(names)), Labels(tuple(shuffled))),
        ClassMap.match(Labels(tuple(shuffled)), Labels(tuple(names))),
    )
    assert [shuffled[i] for i in there.index] == names
    pixels = torch.tensor(data.draw(st.lists(st.sampled_from([*range(len(names)), IGNORE]), min_size=1, max_size=6)))[None]
    moved = there.sample(Sample("s", IMAGE, MaskTarget(pixels)))
    assert isinstance(moved.target, MaskTarget)
    for before, after in zip(pixels[0].tolist(), moved.target.labels[0].tolist(), strict=True):
        assert (before == after == IGNORE) or names[before] == shuffled[after]
    home = back.sample(moved).target
    assert isinstance(home, MaskTarget)
    assert torch.equal(home.labels, pixels)
    prediction = MaskPrediction(moved.target.labels)
    assert there.prediction(prediction) is prediction


def test_the_protocol_says_matching_names_in_one_line() -> None:
    """And still lists every class where any of them has a partner of another name."""
    from robustbench_cv.catalogue import REPORTS
    from robustbench_cv.results import Pairing

    made = load_file(Path(__file__).parent / "synthetic_results.py").make(n=4)
    group = made.groups()[0]
    for classes, wanted in ((labels("car", "dog"), "2 classes, each matched"), (labels("car", "hound"), "hound")):
        found = ClassMap.match(classes, labels("car", "dog"), {"hound": "dog"} if "hound" in classes.names else {})
        pairing = Pairing(group.task, group.model, group.dataset, found.describe(), found.summary())
        run = msgspec.structs.replace(made.run, pairings=(pairing,))
        table = next(t for t in REPORTS.build("protocol")(dataclasses.replace(made, run=run)) if t.label == "data")
        cell = next(v for v in table.frame["classes, matched by name"] if v)
        assert wanted in cell
        assert ("given" in cell) == ("hound" in cell)


def test_as_many_classes_as_a_hostile_file_holds_are_matched_in_seconds() -> None:
    names = [f"class {k}" for k in range(100_000)]
    started = time.process_time()
    match = match_names(names, [name.upper() for name in reversed(names)], {}, (False, False))
    assert match.index[0] == len(names) - 1
    assert time.process_time() - started < 20
