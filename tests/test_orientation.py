"""Canonical views: the same voxels at the same places in every storage order."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from petlesion.orientation import Orientation
from petlesion.volume import Grid


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)))
def test_view_keeps_voxels_where_they_are(axes: tuple[int, ...], flips: tuple[int, ...]) -> None:
    direction = np.eye(3)[:, ::-1][:, list(axes)] * flips
    grid = Grid.from_geometry((3, 4, 5), (2.0, 3.0, 4.0), (10.0, -20.0, 30.0), direction)
    array = np.arange(60).reshape(3, 4, 5)
    orientation = Orientation.of(grid)
    view = orientation.view(array)
    assert view.base is not None
    assert np.allclose(orientation.grid.direction, np.eye(3)[:, ::-1])
    for index in np.ndindex(view.shape):
        stored = np.rint(grid.to_index(orientation.grid.to_world(index))).astype(int)
        assert view[index] == array[tuple(stored)]
    back = orientation.back(view)
    assert np.array_equal(back, array)
    assert back.flags.c_contiguous


def test_oblique_grid_keeps_its_angles() -> None:
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    grid = Grid.from_geometry((3, 4, 5), (2, 2, 2), direction=turn @ np.eye(3)[:, ::-1] * (1, -1, 1))
    orientation = Orientation.of(grid)
    assert orientation.axes == (0, 1, 2)
    assert orientation.flips == (False, True, False)
    assert np.allclose(orientation.grid.direction, turn @ np.eye(3)[:, ::-1])
