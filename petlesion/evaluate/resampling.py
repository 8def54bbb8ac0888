"""Uncertainty of cohort figures: by resampling patients, and of shares of patients by Wilson's score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 2000
"""Number of bootstrap resamples (as published for S3)."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its two-sided interval."""

    estimate: float
    lower: float
    upper: float


def patient_interval(
    statistic: Callable[[NDArray[np.intp]], float] | Callable[[NDArray[np.intp]], NDArray[np.float64]],
    n_patients: int,
    *,
    vectorised: bool = False,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of any cohort figure, patients drawn with replacement.

    `scipy.stats.bootstrap` is not used because figures such as lesion F1 are not means over patients and may be
    undefined in a resample (no lesion drawn); those resamples are left out.

    Parameters
    ----------
    statistic
        Figure of the patients with these indices; NaN where it is not defined. For a paired comparison, the difference
        of two figures on the same indices.
    n_patients
        Size of the cohort.
    vectorised
        Whether `statistic` takes indices of shape (resamples, n_patients) too, and then returns a figure a row.
    level
        Coverage of the interval.
    resamples
        Number of resamples.
    seed
        Same seed, same interval.

    Raises
    ------
    ValueError
        If the cohort is empty.
    """
    if n_patients < 1:
        raise ValueError("an interval needs at least one patient")
    generator = np.random.default_rng(seed)
    draws = generator.integers(0, n_patients, size=(resamples, n_patients))
    values = statistic(draws) if vectorised else np.array([statistic(draw) for draw in draws], dtype=np.float64)
    tail = 100 * (1 - level) / 2
    lower, upper = np.nanpercentile(values, [tail, 100 - tail])
    return Interval(float(statistic(np.arange(n_patients))), float(lower), float(upper))


def share_interval(part: int, whole: int, *, level: float = 0.95) -> Interval:
    """Wilson's score interval of a share of patients (Brown, Cai and DasGupta, Stat Sci 2001).

    Where all patients or none count, resamples are all alike: their interval has no width, however few patients there
    are, and this one has.

    Parameters
    ----------
    part, whole
        Patients who count, and all of them, at least one.
    level
        Coverage of the interval.
    """
    found = stats.binomtest(part, whole).proportion_ci(level, method="wilson")
    share = part / whole
    return Interval(share, min(share, float(found.low)), max(share, float(found.high)))
