"""Matching of lesions, F1, average precision, and the S2 rating."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from petlesion.evaluate.lesions import LesionMatching, Match, as_instances, average_precision, match_lesions
from petlesion.evaluate.rating import Rating, rate

LABELS = arrays(np.uint16, (3, 4, 5), elements=st.integers(0, 4))


def _row(*values: int) -> np.ndarray:
    return np.array(values, np.uint16).reshape(1, 1, -1)


def test_one_prediction_over_two_lesions_finds_the_one_it_covers_best() -> None:
    matching = match_lesions(_row(1, 1, 1, 1, 1, 0), _row(7, 7, 7, 0, 9, 0))
    assert [(m.predicted, m.truth, m.iou, m.dice) for m in matching.matches] == [(1, 7, 3 / 5, 6 / 8)]
    assert (matching.missed, matching.false) == ((9,), ())
    assert matching.f1 == pytest.approx(2 / 3)


def test_second_prediction_on_a_found_lesion_is_false_unless_spared() -> None:
    predicted, truth = _row(1, 1, 2, 0), _row(5, 5, 5, 0)
    assert match_lesions(predicted, truth).false == (2,)
    assert match_lesions(predicted, truth, spare_overlapping=True).false == ()


def test_iou_must_exceed_the_threshold() -> None:
    predicted, truth = _row(1, 0, 0, 0), _row(1, 1, 1, 1)
    assert match_lesions(predicted, truth, min_iou=0.24).sensitivity == 1.0
    assert match_lesions(predicted, truth, min_iou=0.25).sensitivity == 0.0


def test_nothing_to_find_and_nothing_found_is_undefined() -> None:
    matching = match_lesions(_row(0, 0), _row(0, 0))
    assert (matching.f1, matching.sensitivity, matching.ppv) == (None, None, None)


def test_components_are_18_connected() -> None:
    mask = np.zeros((2, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 1, 0] = mask[0, 2, 1] = True
    assert as_instances(mask).max() == 2


def test_lesions_without_a_candidate_earn_no_precision() -> None:
    # Three lesions, two found by the surest candidates, one false: the toy case of picai_eval, 0.667.
    assert average_precision([0.9, 0.8, 0.7], [True, True, False], n_truth=3) == pytest.approx(2 / 3)


def test_ties_in_confidence_are_one_point_of_the_curve() -> None:
    assert average_precision([0.5, 0.5], [True, False], 1) == average_precision([0.5, 0.5], [False, True], 1) == 0.5


@pytest.mark.parametrize(("confidences", "expected"), [([], 0.0), ([0.3], 1.0)])
def test_extremes_of_average_precision(confidences: list[float], expected: float) -> None:
    assert average_precision(confidences, [True] * len(confidences), 1) == expected
    assert average_precision(confidences, [True] * len(confidences), 0) is None


@settings(max_examples=60, deadline=None)
@given(LABELS, LABELS, st.floats(0, 0.9))
def test_every_lesion_is_counted_once_and_stricter_rules_match_fewer(a: np.ndarray, b: np.ndarray, iou: float) -> None:
    loose, strict = match_lesions(a, b), match_lesions(a, b, min_iou=iou)
    for matching in (loose, strict):
        assert len(matching.matches) + len(matching.false) == len(np.unique(a[a > 0]))
        assert len(matching.matches) + len(matching.missed) == len(np.unique(b[b > 0]))
    assert len(strict.matches) <= len(loose.matches)


@pytest.mark.parametrize(
    ("found", "missed", "false", "iou", "expected"),
    [
        (4, 0, 0, 0.9, Rating.PERFECT),
        (0, 0, 0, 0.9, Rating.PERFECT),
        (4, 0, 0, 0.5, Rating.MINOR_OPTIMAL),
        (4, 3, 2, 0.9, Rating.MINOR_ACCEPTABLE),
        (4, 4, 0, 0.9, Rating.MAJOR_ACCEPTABLE),
        (4, 6, 4, 0.9, Rating.MAJOR_ACCEPTABLE),
        (4, 7, 0, 0.9, Rating.NON_USABLE),
        (4, 0, 5, 0.9, Rating.NON_USABLE),
        (0, 2, 0, 0.9, Rating.NON_USABLE),
    ],
)
def test_rating_follows_the_published_scale(found: int, missed: int, false: int, iou: float, expected: Rating) -> None:
    matches = tuple(Match(i, i, iou, iou) for i in range(found))
    assert rate(LesionMatching(matches, tuple(range(missed)), tuple(range(false)))) is expected
