"""Accuracy: what is not applicable, and how ties rank."""

from __future__ import annotations

import pytest
import torch

from robustbench_cv.catalogue import METRICS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.types import ABSENT, ClassPrediction, ClassTarget, Sample

TOP1, TOP5 = METRICS.build("top-1"), METRICS.build("top-5")


def case(probs, label):
    return ClassPrediction(torch.tensor(probs)), Sample("a", torch.zeros(3, 1, 1), ClassTarget(label))


def test_an_image_without_its_object_has_no_right_answer():
    for metric in (TOP1, TOP5):
        with pytest.raises(NotApplicable, match="removed"):
            metric.measure(*case([0.1] * 10, ABSENT))


def test_a_label_that_the_model_does_not_have_is_not_applicable():
    with pytest.raises(NotApplicable, match="12"):
        TOP1.measure(*case([0.1] * 10, 12))


def test_top_5_says_nothing_of_five_classes():
    with pytest.raises(NotApplicable, match="always 1"):
        TOP5.measure(*case([0.2] * 5, 0))
    assert TOP5.measure(*case([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], 0)) == 1


def test_equal_probabilities_rank_by_class_so_that_a_constant_model_is_right_by_chance():
    assert [TOP1.measure(*case([0.1] * 10, label)) for label in range(10)] == [1] + [0] * 9
    assert [TOP5.measure(*case([0.1] * 10, label)) for label in range(10)] == [1] * 5 + [0] * 5


def test_top_1_is_the_prediction_s_own_label():
    for seed in range(50):
        probs = torch.randint(0, 4, (8,), generator=torch.Generator().manual_seed(seed)).float().tolist()
        hits = [TOP1.measure(*case(probs, label)) for label in range(8)]
        assert hits.index(1) == ClassPrediction(torch.tensor(probs)).label
        assert sum(hits) == 1


def test_nan_is_neither_right_nor_wrong():
    with pytest.raises(NotApplicable, match="NaN"):
        TOP1.measure(*case([float("nan"), 0.5], 0))
