"""Radioactive decay, by the half-life."""

from __future__ import annotations

import math


def decay(seconds: float, half_life_s: float) -> float:
    """Fraction of an activity that is left after a time in s; above 1 for the time before."""
    return float(2.0 ** (-seconds / half_life_s))


def average_count_rate_time_s(duration_s: float, half_life_s: float) -> float:
    """Time after the start of a frame, in s, at which the count rate equals its average over the frame.

    T_ave = ln(λT / (1 - exp(-λT))) / λ with the frame duration T (IBSI manual for SUV computation, version 1).
    """
    constant = math.log(2) / half_life_s
    decayed = constant * duration_s
    return math.log(decayed / -math.expm1(-decayed)) / constant
