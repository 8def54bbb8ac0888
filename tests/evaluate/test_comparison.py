"""Two methods on the same patients."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from petlesion.errors import UsageError
from petlesion.evaluate.comparison import COMPARED, compare
from petlesion.evaluate.figures import FIGURES
from petlesion.evaluate.patients import PatientRow
from petlesion.evaluate.rating import Rating
from petlesion.evaluate.voxels import voxel_scores


def row(case: str, hits: int, *, found: int = 1, missed: int = 0) -> PatientRow:
    """A patient with ten voxels of lesion, of which `hits` are found and nothing else."""
    truth = np.ones((1, 1, 10), dtype=bool)
    predicted = np.arange(10).reshape(1, 1, 10) < hits
    return PatientRow(
        case=case,
        patient=case,
        tracer=None,
        voxels=voxel_scores(predicted, truth, 1.0),
        surface_dice=None,
        found=found,
        missed=missed,
        false=0,
        lesion_f1=None,
        rating=Rating.PERFECT,
        predicted_uptake=None,
        true_uptake=None,
        candidates=None,
    )


def cohort(hits: list[int]) -> list[PatientRow]:
    return [row(str(n), count) for n, count in enumerate(hits)]


def test_constant_gain_has_the_p_value_of_all_coins_on_one_side() -> None:
    worse, better = cohort([4, 5, 6, 7]), cohort([5, 6, 7, 8])
    found = compare(better, worse)
    volume = found["ttv_absolute_error_ml"]
    assert (volume.first, volume.second) == (3.5, 4.5)
    assert (volume.difference.estimate, volume.difference.lower, volume.difference.upper) == (-1.0, -1.0, -1.0)
    assert volume.p_value == pytest.approx(2 / 2**4)  # exact: all swaps of four patients, two of them as extreme
    assert volume.adjusted_p_value == pytest.approx(min(1.0, len(found) * 2 / 2**4))
    assert found["dice"].difference.lower > 0


def test_same_predictions_do_not_differ() -> None:
    rows = cohort([3, 5, 9, 2, 8])
    for difference in compare(rows, rows).values():
        assert difference.difference.estimate == 0
        assert difference.p_value == 1.0


def test_no_gain_on_average_is_not_significant() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(2, 9, size=(2, 30)).tolist()
    dice = compare(cohort(first), cohort(second))["dice"]
    assert dice.difference.lower < 0 < dice.difference.upper
    assert dice.p_value > 0.05


def test_figure_over_all_lesions_is_compared_too() -> None:
    first = [row(str(n), 5, found=3, missed=0) for n in range(8)]
    second = [row(str(n), 5, found=1, missed=2) for n in range(8)]
    found = compare(first, second)["lesion_f1"]
    assert (found.first, found.second) == (1.0, 0.5)
    assert found.p_value == pytest.approx(2 / 2**8)


def test_scans_of_one_patient_are_swapped_and_drawn_together() -> None:
    """Two scans of each of four patients say no more of the p value than one."""
    worse, better = (
        [replace(each, patient=str(n % 4)) for n, each in enumerate(cohort(hits * 2))]
        for hits in ([4, 5, 6, 7], [5, 6, 7, 8])
    )
    assert compare(better, worse)["ttv_absolute_error_ml"].p_value == pytest.approx(2 / 2**4)
    with pytest.raises(UsageError, match="two patients"):
        compare(*([replace(each, patient="a") for each in rows] for rows in (better, worse)))


def test_undefined_figures_are_left_out() -> None:
    assert "lesion_average_precision" not in compare(cohort([1, 2]), cohort([2, 3]))
    assert set(COMPARED) <= set(FIGURES)


def test_other_cases_and_single_cases_are_refused() -> None:
    rows = cohort([1, 2])
    with pytest.raises(UsageError, match="same cases"):
        compare(rows, [rows[0], replace(rows[1], case="other")])
    with pytest.raises(UsageError, match="two patients"):
        compare(rows[:1], rows[:1])
