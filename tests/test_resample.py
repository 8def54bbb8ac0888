"""Volumes on other grids, by world coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

import petlesion.resample
from petlesion.resample import Interpolation, lies_apart, resample
from petlesion.volume import Grid, Volume


def _ramp(grid: Grid) -> np.ndarray:
    """A linear function of the place, which linear interpolation reproduces."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)
    return (grid.to_world(index) @ [1.0, 2.0, -3.0]).astype(np.float32)


def _around_origin(shape: tuple[int, int, int], spacing: float, seed: int, shear: float = 0.0) -> Grid:
    direction = Rotation.random(random_state=seed).as_matrix()
    direction[:, 0] += shear * direction[:, 1]
    grid = Grid.from_geometry(shape, (spacing, spacing, spacing), direction=direction)
    affine = grid.affine.copy()
    affine[:3, 3] = -grid.to_world((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


@settings(max_examples=40, deadline=None)
@given(source=st.integers(0, 1000), target=st.integers(0, 1000), shear=st.floats(-0.5, 0.5))
def test_ramp_stays_a_ramp_on_any_grid(source: int, target: int, shear: float) -> None:
    """Rotated and sheared grids included."""
    fine = _around_origin((30, 30, 30), 2.0, source, shear)
    coarse = _around_origin((7, 8, 9), 3.0, target)
    result = resample(Volume(_ramp(fine), fine), coarse, outside=-999.0)
    assert result.array.dtype == np.float32
    np.testing.assert_allclose(result.array, _ramp(coarse), atol=1e-3)


@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("slab", [1, 500, 10**9])
def test_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch, interpolation: Interpolation, slab: int) -> None:
    """Against SimpleITK in one piece, the target partly outside."""
    monkeypatch.setattr(petlesion.resample, "SLAB_VOXELS", slab)
    source = _around_origin((12, 14, 16), 2.0, 1)
    target = _around_origin((9, 20, 11), 2.5, 2)
    array = np.random.default_rng(0).integers(0, 1000, source.shape).astype(np.int16)
    result = resample(Volume(array, source), target, interpolation, outside=-5)
    linear = interpolation is Interpolation.LINEAR
    reference = sitk.Resample(
        _image(array.astype(np.float32) if linear else array, source),
        _image(np.zeros(target.shape, np.uint8), target),
        sitk.Transform(),
        sitk.sitkLinear if linear else sitk.sitkNearestNeighbor,
        -5,
        sitk.sitkFloat32 if linear else sitk.sitkInt16,
    )
    np.testing.assert_allclose(result.array, sitk.GetArrayFromImage(reference), atol=1e-3)
    assert (result.array == -5).any()
    assert result.array.dtype == (np.float32 if linear else np.int16)


def _image(array: np.ndarray, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(grid.origin_mm)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetDirection(grid.direction[:, ::-1].ravel().tolist())
    return image


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int32])
def test_labels_keep_their_type_and_values(dtype: type) -> None:
    grid = Grid.from_geometry((4, 4, 4), (4.0, 4.0, 4.0))
    labels = np.arange(64).reshape(4, 4, 4).astype(dtype)
    fine = Grid.from_geometry((8, 8, 8), (2.0, 2.0, 2.0), (-1.0, -1.0, -1.0))
    result = resample(Volume(labels, grid), fine, Interpolation.NEAREST)
    assert result.array.dtype == dtype
    np.testing.assert_array_equal(result.array, labels.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def test_nothing_in_common() -> None:
    grid = Grid.from_geometry((4, 4, 4), (1.0, 1.0, 1.0))
    far = Grid.from_geometry((3, 3, 3), (1.0, 1.0, 1.0), (100.0, 0.0, 0.0))
    assert (resample(Volume(np.ones(grid.shape, np.float32), grid), far, outside=-1024).array == -1024).all()
    one = np.zeros(grid.shape, np.uint8)
    assert not lies_apart(Volume(one, grid), far)
    one[0, 0, 0] = 1
    assert lies_apart(Volume(one, grid), far)
    assert not lies_apart(Volume(one, grid), Grid.from_geometry((1, 1, 1), (3.0, 3.0, 3.0)))


def test_same_grid_is_not_touched() -> None:
    grid = _around_origin((4, 5, 6), 1.3, 3)
    array = np.random.default_rng(0).random(grid.shape, np.float32)
    assert resample(Volume(array, grid), Grid(grid.shape, grid.affine)).array is array
