"""Voxel agreement and the false volumes of autoPET."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from petlesion.evaluate.voxels import untouched_voxels, voxel_scores

MASKS = arrays(bool, (4, 5, 6))


def test_scores_of_a_case_counted_by_hand() -> None:
    truth = np.zeros((3, 5, 9), bool)
    truth[1, 1, 0:4] = True  # found in part
    truth[1, 4, 8] = True  # missed
    predicted = np.zeros_like(truth)
    predicted[1, 1, 2:5] = True  # 2 of 3 voxels true
    predicted[0, 0, 7:9] = True  # false component of 2 voxels
    scores = voxel_scores(predicted, truth, voxel_ml=0.5)
    assert scores.dice == pytest.approx(2 * 2 / 10)
    assert scores.iou == pytest.approx(2 / 8)
    assert scores.sensitivity == pytest.approx(2 / 5)
    assert scores.ppv == pytest.approx(2 / 5)
    assert (scores.truth_ml, scores.predicted_ml) == (2.5, 2.5)
    assert (scores.false_positive_ml, scores.false_negative_ml) == (1.0, 0.5)


def test_diagonal_neighbours_touch_by_edge_not_by_corner() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[1, 2, 2] = True  # the last is a corner neighbour of the second
    other = np.zeros_like(mask)
    other[0, 0, 0] = True
    assert untouched_voxels(mask, other) == 1


def test_empty_masks_leave_ratios_undefined() -> None:
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    both_empty = voxel_scores(empty, empty, 1.0)
    assert (both_empty.dice, both_empty.iou, both_empty.sensitivity, both_empty.ppv) == (None, None, None, None)
    no_truth = voxel_scores(full, empty, 1.0)
    assert (no_truth.dice, no_truth.sensitivity, no_truth.ppv, no_truth.false_positive_ml) == (0.0, None, 0.0, 8.0)
    no_prediction = voxel_scores(empty, full, 1.0)
    assert (no_prediction.dice, no_prediction.sensitivity, no_prediction.false_negative_ml) == (0.0, 0.0, 8.0)


def test_masks_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        voxel_scores(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool), 1.0)


@settings(max_examples=50, deadline=None)
@given(MASKS, MASKS)
def test_swapping_prediction_and_truth_swaps_the_scores(a: np.ndarray, b: np.ndarray) -> None:
    forth, back = voxel_scores(a, b, 1.0), voxel_scores(b, a, 1.0)
    assert (forth.dice, forth.iou) == (back.dice, back.iou)
    assert (forth.sensitivity, forth.false_positive_ml) == (back.ppv, back.false_negative_ml)


@settings(max_examples=50, deadline=None)
@given(MASKS, MASKS, st.sampled_from([0, 1, 2]))
def test_scores_do_not_depend_on_the_axis_direction(a: np.ndarray, b: np.ndarray, axis: int) -> None:
    assert voxel_scores(np.flip(a, axis), np.flip(b, axis), 1.0) == voxel_scores(a, b, 1.0)
