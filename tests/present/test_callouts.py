"""Numbers beside a projection: in order, apart, within bounds, near their lesions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from petlesion.present.callouts import place_callouts, spread
from petlesion.present.projection import Outline


def square(number: int, u: float, v: float) -> Outline:
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    return Outline(number, (corners + np.array([u, v]),))


@settings(derandomize=True, deadline=None, max_examples=200)
@given(wanted=st.lists(st.floats(-50, 150), min_size=1, max_size=20))
def test_spread_keeps_gap_order_and_bounds(wanted: list[float]) -> None:
    placed = spread(np.sort(wanted), 5.0, 0.0, 100.0)
    assert (np.diff(placed) >= 5.0 - 1e-9).all()
    assert placed.min() >= -1e-9
    assert placed.max() <= 100.0 + 1e-9


def test_positions_far_enough_apart_stay() -> None:
    assert spread(np.array([10.0, 20.0, 40.0]), 5.0, 0.0, 100.0).tolist() == [10.0, 20.0, 40.0]


def test_crowded_positions_move_evenly_to_both_sides() -> None:
    assert spread(np.array([50.0, 50.0, 50.0]), 5.0, 0.0, 100.0).tolist() == [45.0, 50.0, 55.0]


def test_numbers_stand_on_the_side_of_their_lesion() -> None:
    left, right = place_callouts([square(1, 10, 30), square(2, 90, 70)], 50.0, 0.0, 100.0, 5.0)
    assert (left.number, left.on_left, left.anchor_mm) == (1, True, (9.0, 29.0))
    assert (right.number, right.on_left, right.anchor_mm[0]) == (2, False, 91.0)
    assert left.height_mm == pytest.approx(29.0)


def test_a_full_side_gives_way_to_the_other_and_the_rest_gets_no_number() -> None:
    outlines = [square(number, 10, 50) for number in range(1, 30)]
    callouts = place_callouts(outlines, 50.0, 0.0, 50.0, 5.0)
    assert sorted(callout.number for callout in callouts) == list(range(1, 21))
    for on_left in (True, False):
        heights = np.array([callout.height_mm for callout in callouts if callout.on_left == on_left])
        assert len(heights) == 10
        assert (np.diff(heights) >= 5.0 - 1e-9).all()


def test_no_lesion_has_no_number() -> None:
    assert place_callouts([], 50.0, 0.0, 100.0, 5.0) == ()
