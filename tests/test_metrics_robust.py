"""Worst case per sample, and attack success with its denominators."""

from __future__ import annotations

import pytest

from robustbench_cv.catalogue import METRICS
from robustbench_cv.metrics.score_intervals import wilson
from robustbench_cv.metrics.worst_case import attack_success, worst_case
from robustbench_cv.types import Labels

TOP1 = METRICS.build("top-1")
CLEAN = {"a": 1, "b": 1, "c": 1, "d": 0}
WEAK = {"a": 1, "b": 0, "c": 1, "d": 0}
OTHER = {"a": 0, "b": 1, "c": 1, "d": 1}


def test_the_worst_case_is_taken_per_sample_and_never_averaged():
    worst = worst_case(TOP1, [CLEAN, WEAK, OTHER])
    assert worst.to_dict() == {"a": False, "b": False, "c": True, "d": False}
    alone = [TOP1.reduce(list(side.values())) for side in (WEAK, OTHER)]
    assert TOP1.reduce(worst.values) == 0.25 < min(alone)


def test_the_worst_of_a_metric_that_is_better_when_low_is_the_highest():
    metric = METRICS.build("hallucination-rate", labels=Labels(("car",)), operating_score=0.25)
    assert worst_case(metric, [{"a": 0, "b": 0}, {"a": 1, "b": 0}]).to_dict() == {"a": True, "b": False}


def test_only_samples_with_every_condition_count():
    assert worst_case(TOP1, [CLEAN, {"a": 1, "c": 0}]).ids.to_pylist() == ["a", "c"]
    with pytest.raises(ValueError, match="at least one"):
        worst_case(TOP1, [])


def test_a_ratio_of_sums_has_no_worst_case():
    with pytest.raises(ValueError, match="needs a rate"):
        worst_case(METRICS.build("miou"), [{"a": []}])


def test_success_has_its_denominators():
    made = attack_success(CLEAN, worst_case(TOP1, [CLEAN, WEAK]))
    assert (made.n_total, made.n_clean_correct, made.n_attacked, made.n_broken, made.n_robust) == (4, 3, 4, 1, 2)
    assert made.inconsistencies() == []
    of_correct, of_all = made.of_correct(), made.of_all()
    assert (of_correct.value, of_correct.low, of_correct.high, of_correct.n) == (1 / 3, *wilson(1, 3), 3)
    assert (of_all.value, of_all.n) == (1 / 4, 4)


def test_an_attack_that_repairs_a_sample_is_found_out():
    (reason,) = attack_success(CLEAN, OTHER).inconsistencies()
    assert "take the clean outcome into the worst case" in reason


def test_a_sample_that_was_never_attacked_is_neither_robust_nor_broken():
    made = attack_success(CLEAN, {"a": 0, "b": 1})
    assert made.n_missed == 1
    assert made.of_correct().value == 0.5
    assert made.of_correct().excluded == 1
    (reason,) = made.inconsistencies()
    assert "never attacked" in reason


def test_skipping_the_samples_that_are_wrong_anyway_is_consistent():
    made = attack_success(CLEAN, {"a": 0, "b": 1, "c": 1})
    assert made.inconsistencies() == []
    assert (made.n_attacked, made.of_correct().n) == (3, 3)


def test_a_sample_without_a_clean_outcome_is_refused():
    with pytest.raises(ValueError, match="'z'"):
        attack_success(CLEAN, {"z": 1})


def test_a_model_that_is_never_right_has_no_success_rate():
    made = attack_success({"a": 0}, {"a": 0})
    assert made.of_correct().value is None
    assert made.of_correct().reason
    assert made.of_all().value == 0.0
