"""Uncertainty of cohort figures by resampling patients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
"""Number of bootstrap resamples (as published for S3)."""


@dataclass(frozen=True)
class Interval:
    """An estimate and its two-sided percentile bootstrap interval."""

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
