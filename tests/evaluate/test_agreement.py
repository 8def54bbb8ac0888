"""Bland-Altman, concordance and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from petlesion.evaluate.agreement import agreement
from petlesion.evaluate.resampling import patient_interval, share_interval


def test_constant_offset_is_all_bias() -> None:
    result = agreement([2.0, 3.0, 5.0], [1.0, 2.0, 4.0])
    assert (result.bias, result.lower, result.upper) == (1.0, 1.0, 1.0)
    assert result.pearson == pytest.approx(1.0)
    assert result.concordance == pytest.approx(2 * 14 / 9 / (2 * 14 / 9 + 1))


def test_limits_are_196_standard_deviations_from_the_bias() -> None:
    result = agreement([1.0, 4.0, 4.0], [1.0, 2.0, 3.0])
    assert result.bias == pytest.approx(1.0)
    assert result.upper - result.bias == pytest.approx(1.96)


def test_correlation_of_a_constant_is_undefined() -> None:
    assert agreement([1.0, 1.0], [1.0, 2.0]).pearson is None


def test_single_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more"):
        agreement([1.0], [1.0])


def test_interval_of_a_mean_agrees_with_scipy() -> None:
    values = np.random.default_rng(1).normal(5, 2, 60)
    ours = patient_interval(lambda index: float(values[index].mean()), values.size, resamples=4000)
    peer = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=2).confidence_interval
    assert (ours.lower, ours.upper) == pytest.approx((peer.low, peer.high), abs=0.05)
    assert ours.estimate == pytest.approx(values.mean())


def test_undefined_resamples_are_left_out_and_seed_repeats() -> None:
    values = np.array([np.nan, 1.0, 1.0])
    first, second = (
        patient_interval(lambda i: float(np.nanmean(values[i])) if (i > 0).any() else np.nan, 3, seed=4)
        for _ in range(2)
    )
    assert first == second
    assert (first.lower, first.upper) == (1.0, 1.0)


def test_share_of_patients_by_hand_and_with_width_at_its_ends() -> None:
    """Newcombe, Stat Med 1998: Wilson's score for 81 of 263, 15 of 148, 0 of 20 and 1 of 29."""
    for part, whole, lower, upper in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (1, 29, 0.0061, 0.1718)):
        found = share_interval(part, whole)
        assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=5e-5)
    none, all_ = share_interval(0, 20), share_interval(20, 20)
    assert (none.estimate, none.lower, all_.estimate, all_.upper) == (0.0, 0.0, 1.0, 1.0)
    assert (none.upper, 1 - all_.lower) == pytest.approx((0.1611, 0.1611), abs=5e-5)
