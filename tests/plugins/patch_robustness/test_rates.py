"""Rates, intervals and thresholds by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from perception.errors import PerceptionError
from perception.plugins.patch_robustness.rates import (
    Rate,
    attack_rates,
    bootstrap_interval,
    fnr_threshold,
    summarise,
    wilson_interval,
)


def test_wilson_interval_of_textbook_cases():
    assert wilson_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert math.isnan(Rate.of(0, 0).value)
    with pytest.raises(PerceptionError, match=r"0\.\.3"):
        wilson_interval(4, 3)


def test_success_counts_only_what_was_detected_clean():
    rates = attack_rates(np.array([0.9, 0.6, 0.2, 0.0]), np.array([0.1, 0.7, 0.9, 0.0]), 0.5)
    assert (rates.truths, rates.clean, rates.attacked, rates.success) == (4, 2, 2, 1)
    assert (rates.asr, rates.fnr_clean, rates.fnr_attacked) == (50.0, 50.0, 50.0)


def test_a_missing_detection_is_detected_only_in_compat_mode():
    clean, attacked = np.array([0.0, 0.4]), np.array([0.0, 0.0])
    assert attack_rates(clean, attacked, 0.0).clean == 1
    assert attack_rates(clean, attacked, 0.0, compat=True).clean == 2


def test_means_weighted_and_pooled():
    rows = [
        attack_rates(np.full(10, 0.9), np.array([0.1] * 5 + [0.9] * 5), 0.5),
        attack_rates(np.full(30, 0.9), np.full(30, 0.9), 0.5),
        attack_rates(np.zeros(4), np.zeros(4), 0.5),
    ]
    summary = summarise(rows)
    assert summary["mean_asr"] == 25.0
    assert summary["weighted_asr"] == 12.5
    assert summary["combined_asr"] == 12.5
    assert summary["mean_fnr_clean"] == pytest.approx(100 / 3)


def test_bootstrap_draws_whole_scenes():
    ups, downs = np.array([1, 1, 0, 0]), np.ones(4)
    apart = bootstrap_interval(ups, downs, ["a", "a", "b", "b"])
    assert apart == (0.0, 1.0)  # two scenes that differ: anything is possible
    assert bootstrap_interval(np.ones(4), downs, "abcd") == (1.0, 1.0)
    assert all(math.isnan(end) for end in bootstrap_interval(np.zeros(0), np.zeros(0), []))


def test_threshold_for_a_requested_fnr():
    scores, matched = np.array([0.2, 0.4, 0.6, 0.8]), np.ones(4)
    assert fnr_threshold(scores, matched, 0.3) == pytest.approx(0.4, abs=1.5e-3)  # one of four missed
    with pytest.raises(PerceptionError, match="FNR below"):
        fnr_threshold(scores, np.zeros(4), 0.3)
