"""Outlines: exact volumes, one piece, confined to their room, and conserved on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.phantom.blobs import grow, radius_mm
from petlesion.phantom.patient import paint_instances
from petlesion.phantom.truth import Blob, Growth, Shape
from petlesion.volume import Grid


def blob(volume: float, growth: Growth = Growth.ELLIPSOID, **more: float) -> Blob:
    return Blob((3.0, -20.0, 100.0), volume, growth, seed=4, **more)


@pytest.mark.parametrize("growth", list(Growth))
@pytest.mark.parametrize("volume", [0.1, 1.3, 30.0, 200.0])
def test_volume_is_the_one_asked_for(growth: Growth, volume: float) -> None:
    shape, _ = grow(blob(volume, growth))
    # Pieces that are not connected to the main one are dropped.
    assert shape.volume_ml == pytest.approx(volume, rel=0.12)
    assert shape.volume_ml <= volume * 1.02
    assert ndimage.label(shape.inside)[1] == 1
    assert np.linalg.norm(np.subtract(shape.centroid_mm, (3, -20, 100))) < radius_mm(volume)


def test_forms_differ() -> None:
    solidity = {}
    for growth in Growth:
        inside = grow(blob(20.0, growth))[0].inside
        surface = np.count_nonzero(inside & ~ndimage.binary_erosion(inside))
        solidity[growth] = surface / np.count_nonzero(inside) ** (2 / 3)
    assert solidity[Growth.ELLIPSOID] < solidity[Growth.SPICULATED]
    assert solidity[Growth.ELLIPSOID] < solidity[Growth.CONFLUENT]


def test_grows_where_there_is_room() -> None:
    def right_half(points: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(points[:, 0] < 3.0)

    free, _ = grow(blob(5.0))
    shape, _ = grow(blob(5.0), right_half)
    assert shape.volume_ml == pytest.approx(free.volume_ml, rel=0.1)
    x = shape.grid.to_world(np.argwhere(shape.inside))[:, 0]
    assert x.max() < 3.0 + shape.grid.spacing_mm[0]


def test_no_room_no_shape() -> None:
    shape, _ = grow(blob(1.0), lambda points: np.zeros(len(points), dtype=np.bool_))
    assert shape.volume_ml == 0


def test_core_lies_inside() -> None:
    shape, core = grow(blob(40.0, necrosis=0.3))
    assert core is not None
    assert core.volume_ml == pytest.approx(0.3 * shape.volume_ml, rel=0.05)
    assert not (core.inside & ~ndimage.binary_erosion(shape.inside)).any()


def test_same_recipe_larger_is_the_same_lesion_grown() -> None:
    small, large = (grow(blob(v, Growth.LOBULATED))[0] for v in (4.0, 8.0))
    inside = small.grid.to_world(np.argwhere(small.inside))
    index = np.rint(large.grid.to_index(inside)).astype(int)
    assert large.inside[tuple(index.T)].mean() > 0.95


@settings(max_examples=25, deadline=None)
@given(
    spacing=st.tuples(*[st.floats(1.5, 6.0)] * 3),
    shift=st.tuples(*[st.floats(-3.0, 3.0)] * 3),
    volume=st.floats(0.1, 20.0),
)
def test_occupancy_conserves_volume(
    spacing: tuple[float, float, float], shift: tuple[float, float, float], volume: float
) -> None:
    shape, _ = grow(blob(volume))
    counts = tuple(int(90 / s) + 2 for s in spacing)
    grid = Grid.from_geometry((counts[0], counts[1], counts[2]), spacing, np.array((-42.0, -65.0, 55.0)) + shift)
    found = shape.occupancy(grid)
    assert found is not None
    block, part = found
    assert part.shape == tuple(s.stop - s.start for s in block)
    assert part.max() <= 1
    assert part.sum() * grid.voxel_ml == pytest.approx(shape.volume_ml, rel=1e-3)


def test_occupancy_outside_the_grid() -> None:
    shape, _ = grow(blob(1.0))
    assert shape.occupancy(Grid.from_geometry((5, 5, 5), (2, 2, 2), (500, 0, 0))) is None


def test_oblique_grids_are_refused() -> None:
    shape, _ = grow(blob(1.0))
    flipped = Grid.from_geometry((50, 50, 50), (3, 3, 3), direction=np.diag([1.0, 1.0, -1.0])[:, ::-1])
    with pytest.raises(ValueError, match="axial grids"):
        shape.occupancy(flipped)


def test_smallest_lesion_keeps_a_voxel_and_neighbours_stay_apart() -> None:
    def ball(x: float, volume: float) -> Shape:
        return grow(Blob((x, 0.0, 0.0), volume, Growth.ELLIPSOID, seed=1))[0]

    grid = Grid.from_geometry((30, 30, 30), (5.0, 4.0, 4.0), (-58, -58, -72))
    labels = paint_instances([ball(-20, 0.1), ball(0, 8.0), ball(16, 3.0)], grid)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert np.count_nonzero(labels == 1) >= 1
    assert np.count_nonzero(labels == 2) * grid.voxel_ml == pytest.approx(8.0, rel=0.2)
