"""Objects and boxes at the operating score, what an attack did to them, and hallucinations by place."""

from __future__ import annotations

import pytest
import torch

from robustbench_cv.catalogue import METRICS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.metrics.detection_attack import detection_attack
from robustbench_cv.metrics.detection_rates import CLAIMED, FOUND, MISLABELLED, VANISHED, reported_boxes
from robustbench_cv.types import (
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

LABELS = Labels(("background", "car", "boat"))
LEFT, RIGHT, FAR = [0, 0, 10, 10], [20, 0, 30, 10], [0, 50, 10, 60]


def boxes(*rows):
    """(box, score, label) each."""
    table = torch.tensor([[*b, s, c] for b, s, c in rows], dtype=torch.float32).reshape(-1, 6)
    return BoxPrediction(table[:, :4], table[:, 4], table[:, 5].long())


def target(*rows, crowd=None):
    table = torch.tensor([[*b, c] for b, c in rows], dtype=torch.float32).reshape(-1, 5)
    return BoxTarget.of(table[:, :4], table[:, 4].long(), None if crowd is None else torch.tensor(crowd))


def states(found, truth, score=0.25):
    return reported_boxes(found, truth, score)["objects"]


def test_the_states_of_an_object():
    truth = target((LEFT, 1), (RIGHT, 2), (FAR, 1))
    assert states(boxes((LEFT, 0.9, 1), (RIGHT, 0.9, 1)), truth) == [FOUND, MISLABELLED, VANISHED]


def test_only_boxes_at_the_operating_score_count():
    truth = target((LEFT, 1))
    assert states(boxes((LEFT, 0.2, 1)), truth) == [VANISHED]
    assert states(boxes((LEFT, 0.2, 1)), truth, score=0.2) == [FOUND]
    assert states(boxes((LEFT, 0.9, 2), (LEFT, 0.2, 1)), truth) == [MISLABELLED]


def test_one_box_finds_one_object():
    """Two objects in nearly one place and a single box: the second is claimed, not vanished."""
    near = [1, 0, 11, 10]
    assert sorted(states(boxes((LEFT, 0.9, 1)), target((LEFT, 1), (near, 1)))) == [CLAIMED, FOUND]
    assert states(boxes((LEFT, 0.9, 1), (near, 0.8, 1)), target((LEFT, 1), (near, 1))) == [FOUND, FOUND]
    assert states(boxes((LEFT, 0.9, 1), (LEFT, 0.8, 1)), target((LEFT, 1), (near, 1))) == [FOUND, FOUND]


def test_a_box_on_nothing_is_fabricated_and_one_on_another_class_is_not():
    made = reported_boxes(boxes((LEFT, 0.9, 2), (FAR, 0.9, 1), (FAR, 0.1, 1)), target((LEFT, 1)), 0.25)
    assert (made["fabricated"], made["boxes"]) == (1, 2)


def test_a_crowd_is_no_object_and_covers_what_lies_half_inside_it():
    truth = target((LEFT, 1), ([0, 40, 60, 100], 1), crowd=[False, True])
    made = reported_boxes(boxes((FAR, 0.9, 1), ([100, 100, 110, 110], 0.9, 1)), truth, 0.25)
    assert made == {"objects": [VANISHED], "fabricated": 1, "boxes": 2}


def test_clean_mistakes_are_not_credited_to_the_attack():
    truth = target((LEFT, 1), (RIGHT, 2), (FAR, 1))
    clean = {"a": reported_boxes(boxes((LEFT, 0.9, 1), (RIGHT, 0.9, 2)), truth, 0.25)}
    attacked = {"a": reported_boxes(boxes((RIGHT, 0.9, 1)), truth, 0.25)}
    made = detection_attack(clean, attacked)
    assert made.n_reference == 2
    assert (made.vanished.value, made.mislabelled.value) == (0.5, 0.5)
    assert detection_attack(clean, clean).vanished.value == 0.0
    assert detection_attack(clean, clean).touched.value == 0.0
    assert made.touched.value == 1.0


def test_fabrication_is_what_the_attack_adds():
    truth = target((LEFT, 1))
    ghosts = [([100 + 20 * k, 100, 110 + 20 * k, 110], 0.9, 1) for k in range(12)]
    clean = {k: reported_boxes(boxes((LEFT, 0.9, 1), *ghosts[:2]), truth, 0.25) for k in "ab"}
    attacked = {"a": reported_boxes(boxes((LEFT, 0.9, 1), *ghosts), truth, 0.25), "b": clean["b"]}
    made = detection_attack(clean, attacked)
    assert (made.fabricated.value, made.fabrication.value, made.touched.value) == (5.0, 0.5, 0.5)
    assert made.vanished.value == 0.0


def test_an_attack_on_nothing_found_has_no_success_rate():
    truth = target((LEFT, 1))
    nothing = {"a": reported_boxes(boxes(), truth, 0.25)}
    made = detection_attack(nothing, nothing)
    assert made.n_reference == 0
    assert made.vanished.value is None
    assert "no object was found" in made.vanished.reason


def test_two_conditions_of_different_objects_are_not_compared():
    one, two = (reported_boxes(boxes(), target(*rows), 0.25) for rows in ([(LEFT, 1)], [(LEFT, 1), (FAR, 1)]))
    with pytest.raises(ValueError, match="1 objects in one condition and 2"):
        detection_attack({"a": one}, {"a": two})


def hallucination(where, prediction, sample, score=0.25):
    return METRICS.build(f"hallucination-{where}", labels=LABELS, operating_score=score).measure(prediction, sample)


def edited(truth, removed=("car",), size=64):
    region = torch.zeros(size, size, dtype=torch.bool)
    region[:20, :20] = True
    return Sample("a", torch.zeros(3, size, size), truth, edit=Edit("removal", region, truth, frozenset(removed)))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (boxes(), (0, 0, 0)),
        (boxes((LEFT, 0.9, 1)), (1, 1, 0)),
        (boxes((FAR, 0.9, 1)), (1, 0, 1)),
        (boxes((LEFT, 0.9, 1), (FAR, 0.9, 1)), (1, 1, 1)),
        (boxes((LEFT, 0.9, 2)), (0, 0, 0)),
        (boxes((LEFT, 0.2, 1)), (0, 0, 0)),
        (boxes(([0, 0, 38, 38], 0.9, 1)), (1, 1, 0)),
        (boxes(([0, 0, 60, 60], 0.9, 1)), (1, 0, 1)),
    ],
)
def test_a_ghost_has_a_place(found, expected):
    sample = edited(target())
    assert tuple(hallucination(where, found, sample) for where in ("rate", "inside", "outside")) == expected


def test_segments_have_a_place_too():
    sample = edited(MaskTarget(torch.full((64, 64), 2).index_fill(0, torch.tensor([63]), 255)))
    area = METRICS.build("hallucinated-area", labels=LABELS)
    for rows, columns, expected, pixels in (
        (slice(0, 2), slice(0, 20), (1, 1, 0), 40),
        (slice(0, 1), slice(0, 20), (0, 0, 0), 20),
        (slice(30, 40), slice(0, 4), (1, 0, 1), 0),
        (slice(63, 64), slice(0, 64), (0, 0, 0), 0),
    ):
        labels = torch.zeros(64, 64, dtype=torch.long)
        labels[rows, columns] = 1
        found = MaskPrediction(labels)
        assert tuple(hallucination(where, found, sample) for where in ("rate", "inside", "outside")) == expected
        assert area.measure(found, sample) == {"reported": pixels, "edited": 400}


def test_a_classifier_answers_without_a_place():
    sample = edited(ClassTarget(-1))
    assert hallucination("rate", ClassPrediction(torch.tensor([0.1, 0.8, 0.1])), sample) == 1
    assert hallucination("rate", ClassPrediction(torch.tensor([0.8, 0.1, 0.1])), sample) == 0
    with pytest.raises(NotApplicable, match="where"):
        hallucination("inside", ClassPrediction(torch.tensor([0.1, 0.8, 0.1])), sample)
    with pytest.raises(NotApplicable, match="still there"):
        hallucination("rate", ClassPrediction(torch.tensor([0.1, 0.8, 0.1])), edited(ClassTarget(2)))


def test_the_unedited_image_of_a_pair_says_how_often_the_class_was_seen_there():
    sample = edited(target((LEFT, 1)))
    assert hallucination("inside", boxes((LEFT, 0.9, 1)), sample) == 1
    assert hallucination("rate", ClassPrediction(torch.tensor([0.1, 0.8, 0.1])), edited(ClassTarget(1))) == 1


def test_where_nothing_was_removed_nothing_can_be_hallucinated():
    for sample in (Sample("a", torch.zeros(3, 8, 8), target()), edited(target(), removed=())):
        with pytest.raises(NotApplicable, match="no class was removed"):
            hallucination("rate", boxes(), sample)
    with pytest.raises(NotApplicable, match="no class cat"):
        hallucination("rate", boxes(), edited(target(), removed=("cat",)))
