"""Two methods on the same patients: paired differences, their intervals, and a test of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from petlesion.errors import UsageError
from petlesion.evaluate.cohort import of_patients, over
from petlesion.evaluate.figures import FIGURES
from petlesion.evaluate.patients import PatientRow
from petlesion.evaluate.resampling import RESAMPLES, Interval, patient_interval

COMPARED: Final = (
    "dice",
    "surface_dice",
    "false_positive_ml",
    "false_negative_ml",
    "volume_agreement_percent",
    "ttv_absolute_error_ml",
    "lesion_f1",
    "lesion_average_precision",
    "patient_accuracy",
)
"""Figures that are compared, as far as they are defined: those that the truth defines, whatever a method predicts."""


@dataclass(frozen=True)
class Difference:
    """One figure of two methods.

    Attributes
    ----------
    first, second
        Estimates.
    difference
        First less second, with the 95 % bootstrap interval over patients, the same patients being drawn for both.
    p_value
        Two-sided, of the test that swaps the methods within patients at random (`scipy.stats.permutation_test`).
    adjusted_p_value
        Times the number of figures compared (Bonferroni), at most 1.
    """

    first: float
    second: float
    difference: Interval
    p_value: float
    adjusted_p_value: float


def compare(first: Sequence[PatientRow], second: Sequence[PatientRow], *, seed: int = 0) -> dict[str, Difference]:
    """Compare two methods on the same patients.

    Under the hypothesis that the methods are equally good, whose prediction is whose could as well have been decided by
    a coin, patient by patient. Unlike a t-test or Wilcoxon's, this holds for any figure, lesion F1 included.

    Parameters
    ----------
    first, second
        Rows of the same cases in the same order.
    seed
        Of draws and swaps.

    Raises
    ------
    UsageError
        If the cases differ, or are of fewer than two patients.
    """
    if [row.case for row in first] != [row.case for row in second]:
        raise UsageError("the two methods were not evaluated on the same cases", remedy="give the same truth for both")
    if len(of_patients(first)) < 2:
        raise UsageError("a paired comparison needs two patients or more", remedy="add some, or leave out --against")
    names = [name for name in COMPARED if np.isfinite(FIGURES[name](first)) and np.isfinite(FIGURES[name](second))]
    return {name: _difference(name, first, second, len(names), seed) for name in names}


def _difference(
    name: str, first: Sequence[PatientRow], second: Sequence[PatientRow], tests: int, seed: int
) -> Difference:
    figure, one, other = FIGURES[name], of_patients(first), of_patients(second)
    count = len(one)
    of_first, of_second, of_both = over(one, figure), over(other, figure), over([*one, *other], figure)

    def difference(drawn: NDArray[np.intp]) -> float:
        return of_first(drawn) - of_second(drawn)

    def swapped(drawn: NDArray[np.intp], against: NDArray[np.intp]) -> float:
        return of_both(drawn) - of_both(against)

    test = stats.permutation_test(
        (np.arange(count), np.arange(count) + count),
        swapped,
        permutation_type="samples",
        vectorized=False,
        n_resamples=RESAMPLES,
        random_state=seed,
    )
    p_value = float(test.pvalue)
    return Difference(
        first=figure(first),
        second=figure(second),
        difference=patient_interval(difference, count, seed=seed),
        p_value=p_value,
        adjusted_p_value=min(1.0, p_value * tests),
    )
