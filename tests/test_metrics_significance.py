"""Exact paired tests and corrections, against published vectors, scipy and simulation."""

from __future__ import annotations

import numpy
import pytest

from robustbench_cv.metrics.paired_tests import benjamini_hochberg, compare_outcomes, holm, mcnemar

P = [0.001, 0.008, 0.039, 0.041, 0.042, 0.06, 0.074, 0.205, 0.212, 0.216]


def test_mcnemar_has_the_published_values():
    made = mcnemar(10, 2)
    assert made.two_sided == pytest.approx(0.0385742, abs=1e-7)
    assert made.mid_p == pytest.approx(0.0224609, abs=1e-7)
    assert mcnemar(0, 0) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(("b", "c"), [(0, 1), (1, 0), (3, 3), (5, 9), (30, 12), (12, 30), (2000, 2100)])
def test_mcnemar_is_the_binomial_test(b, c):
    stats = pytest.importorskip("scipy.stats", reason="scipy is in the development group only")
    made = mcnemar(b, c)
    assert made.two_sided == pytest.approx(stats.binomtest(b, b + c).pvalue, rel=1e-9)
    assert made.one_sided == pytest.approx(stats.binomtest(b, b + c, alternative="greater").pvalue, rel=1e-9)
    if b != c:
        assert made.mid_p == pytest.approx(made.two_sided - stats.binom.pmf(min(b, c), b + c, 0.5), rel=1e-9)


def test_mcnemar_is_exact_where_floats_underflow():
    made = mcnemar(3000, 0)
    assert made.two_sided == 0.0 < mcnemar(1000, 0).two_sided == 2.0**-999


def test_mcnemar_is_symmetric_but_for_its_direction():
    there, back = mcnemar(14, 5), mcnemar(5, 14)
    assert there[:2] == back[:2]
    assert there.one_sided < 0.05 < back.one_sided


def test_outcomes_are_compared_pair_by_pair():
    a, b = [1, 1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 0, 0, 1]
    assert compare_outcomes(a, b) == mcnemar(3, 1)
    with pytest.raises(ValueError, match="zip"):
        compare_outcomes(a, b[:-1])


def test_a_count_below_zero_is_refused():
    with pytest.raises(ValueError, match="-1"):
        mcnemar(-1, 2)


def test_holm_and_benjamini_hochberg_have_the_published_values():
    assert holm(P) == pytest.approx([0.01, 0.072, 0.312, 0.312, 0.312, 0.312, 0.312, 0.615, 0.615, 0.615])
    expected = [0.01, 0.04, 0.084, 0.084, 0.084, 0.1, 0.1057, 0.216, 0.216, 0.216]
    assert benjamini_hochberg(P) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("adjust", [holm, benjamini_hochberg])
def test_corrections_follow_the_order_given(adjust):
    order = numpy.random.default_rng(0).permutation(len(P))
    plain = adjust(P)
    assert adjust([P[i] for i in order]) == [plain[i] for i in order]
    assert adjust([]) == []
    assert adjust([0.3]) == [0.3]
    with pytest.raises(ValueError, match=r"1\.5"):
        adjust([0.2, 1.5])


def test_holm_bounds_the_chance_of_any_false_claim():
    rng = numpy.random.default_rng(1)
    false_claims = [min(holm(rng.random(8).tolist())) < 0.05 for _ in range(2000)]
    assert 0.03 < sum(false_claims) / 2000 < 0.065
