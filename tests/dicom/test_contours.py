from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import points_in_poly

from petlesion.dicom.contours import area, fill, outlines

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=9))
LENIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def united(polygons: list[NDArray[np.float64]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Pixels in any of the polygons, as systems find them that know no exclusive or."""
    mask = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        mask |= points_in_poly(np.argwhere(np.ones(shape)), polygon).reshape(shape)
    return mask


@given(MASKS)
@LENIENT
def test_outlines_give_back_the_mask(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill(outlines(mask), mask.shape), mask)


@given(MASKS)
@LENIENT
def test_outlines_united_give_back_the_mask(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(united(outlines(mask), mask.shape), mask)


@given(MASKS)
@LENIENT
def test_each_part_has_one_outline(mask: NDArray[np.bool_]) -> None:
    assert len(outlines(mask)) == ndimage.label(mask)[1]


@given(st.integers(1, 6), st.integers(1, 6))
@LENIENT
def test_a_rectangle_loses_its_corners_only(rows: int, columns: int) -> None:
    (polygon,) = outlines(np.ones((rows, columns), dtype=bool))
    assert area(polygon) == pytest.approx(rows * columns - 0.5)
    assert len(polygon) == 8 - 2 * (rows == 1) - 2 * (columns == 1)


def test_a_hole_is_left_empty() -> None:
    ring = np.ones((7, 8), dtype=bool)
    ring[2:5, 2:4] = ring[3, 5] = False
    (polygon,) = outlines(ring)
    np.testing.assert_array_equal(fill([polygon], ring.shape), ring)
    assert area(polygon) == pytest.approx(ring.sum() - 0.5 + 2 * 0.5)


def test_inner_contours_are_holes() -> None:
    square = np.array([[0.0, 0], [0, 8], [8, 8], [8, 0]])
    hole, island = square / 2 + 2, square / 8 + 3.5
    filled = fill([square, hole, island], (9, 9))
    assert filled.sum() == 81 - 25 + 1
    assert filled[4, 4]


def test_points_on_a_contour_belong_to_it_and_parts_outside_are_cut_off() -> None:
    filled = fill([np.array([[-5.0, 2], [-5, 4], [3, 4], [3, 2]])], (6, 6))
    expected = np.zeros((6, 6), dtype=bool)
    expected[:4, 2:5] = True
    np.testing.assert_array_equal(filled, expected)
