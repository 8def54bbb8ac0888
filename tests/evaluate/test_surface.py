from __future__ import annotations

import numpy as np
import pytest

from petlesion.evaluate.surface import surface_dice

SPACING = (2.0, 2.0, 2.0)


def cube(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((20, 20, 20), dtype=bool)
    mask[start:stop, start:stop, start:stop] = True
    return mask


def test_equal_masks_agree_and_empty_ones_are_not_defined() -> None:
    assert surface_dice(cube(4, 9), cube(4, 9), SPACING) == 1.0
    empty = np.zeros((20, 20, 20), dtype=bool)
    assert surface_dice(empty, empty, SPACING) is None
    assert surface_dice(cube(4, 9), empty, SPACING, 5.0) == 0.0
    assert surface_dice(empty, cube(4, 9), SPACING) == 0.0
    full = np.ones((3, 3, 3), dtype=bool)
    assert surface_dice(full, full, SPACING) == 1.0  # no outline at the edge of the image


def test_counted_by_hand() -> None:
    # outlines of nested cubes of 5 and 7 voxels: 98 and 218 voxels, 1 voxel (2 mm) apart face to face
    inner, outer = cube(5, 10), cube(4, 11)
    assert surface_dice(inner, outer, SPACING, 0.0) == 0.0
    # within 2 mm: every inner voxel, and of the outer one those straight above a face of the inner: 6 x 25
    assert surface_dice(inner, outer, SPACING, 2.0) == pytest.approx((98 + 150) / (98 + 218))
    assert surface_dice(inner, outer, SPACING, 3.5) == 1.0  # across corners: 2 sqrt(3) = 3.46 mm
    assert surface_dice(outer, inner, SPACING, 2.0) == surface_dice(inner, outer, SPACING, 2.0)


def test_spacing_counts_and_shapes_must_agree() -> None:
    a, b = np.zeros((9, 9, 9), dtype=bool), np.zeros((9, 9, 9), dtype=bool)
    a[4, 4, 4], b[5, 4, 4] = True, True
    assert surface_dice(a, b, (4.0, 1.0, 1.0), 2.0) == 0.0
    assert surface_dice(a, b, (1.0, 4.0, 4.0), 2.0) == 1.0
    with pytest.raises(ValueError, match="shape"):
        surface_dice(a, b[:5], SPACING)
