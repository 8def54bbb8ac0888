"""SUVpeak against the IBSI digital phantom, a brute-force sphere, and its own definition."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from petlesion.measure.peak import PEAK_RADIUS_MM, sphere_means, sphere_offsets, suv_peak
from petlesion.volume import Grid, Volume


def ibsi_phantom(shared_data: Path) -> tuple[Volume, NDArray[np.bool_]]:
    image, mask = (nib.load(shared_data / "ibsi_phantom" / f"{name}.nii.gz") for name in ("phantom", "mask"))
    array = np.asarray(image.dataobj, dtype=np.float32).T
    spacing = tuple(float(mm) for mm in image.header.get_zooms()[::-1])
    return Volume(array, Grid.from_geometry(array.shape, spacing)), np.asarray(mask.dataobj).T > 0


def brute_force_mean(pet: Volume, voxel: NDArray[np.intp], radius_mm: float) -> float:
    centres = pet.grid.to_world(np.argwhere(np.ones(pet.array.shape, dtype=bool)))
    distance = np.linalg.norm(centres - pet.grid.to_world(voxel), axis=1)
    return float(pet.array.reshape(-1)[distance <= radius_mm].astype(np.float64).mean())


def test_radius_is_that_of_one_cubic_centimetre() -> None:
    assert 4 / 3 * np.pi * PEAK_RADIUS_MM**3 == pytest.approx(1000.0)


def test_ibsi_phantom_peak(shared_data: Path) -> None:
    pet, mask = ibsi_phantom(shared_data)
    assert round(suv_peak(pet, np.argwhere(mask)), 1) == 3.1


def test_offsets_on_a_2_mm_grid() -> None:
    offsets = sphere_offsets(Grid.from_geometry((5, 5, 5), (2.0, 2.0, 2.0)))
    assert len(offsets) == sum(
        4 * (z * z + y * y + x * x) <= PEAK_RADIUS_MM**2
        for z in range(-4, 5)
        for y in range(-4, 5)
        for x in range(-4, 5)
    )


def test_sphere_smaller_than_a_voxel_is_the_voxel() -> None:
    array = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    pet = Volume(array, Grid.from_geometry((3, 3, 3), (7.0, 7.0, 7.0)))
    assert suv_peak(pet, np.argwhere(array < 20)) == 19.0


def test_voxels_outside_the_lesion_count_and_outside_the_image_do_not() -> None:
    array = np.zeros((1, 1, 5), dtype=np.float32)
    array[0, 0, :2] = (3.0, 9.0)
    pet = Volume(array, Grid.from_geometry((1, 1, 5), (4.0, 4.0, 4.0)))
    mask = np.zeros(array.shape, dtype=bool)
    mask[0, 0, 0] = True
    assert suv_peak(pet, np.argwhere(mask)) == 6.0


def test_many_voxels_are_summed_in_parts() -> None:
    rng = np.random.default_rng(0)
    pet = Volume(rng.random((48, 48, 48), dtype=np.float32), Grid.from_geometry((48, 48, 48), (3.0, 4.0, 4.0)))
    voxels = np.argwhere(pet.array >= 0)
    means = sphere_means(pet, voxels)
    for index in (0, 12345, 32767, 32768, 65536, len(voxels) - 1):
        assert means[index] == pytest.approx(brute_force_mean(pet, voxels[index], PEAK_RADIUS_MM), rel=1e-12)


def test_no_voxel_is_refused() -> None:
    pet = Volume(np.ones((2, 2, 2), dtype=np.float32), Grid.from_geometry((2, 2, 2), (1, 1, 1)))
    with pytest.raises(ValueError, match="zero-size"):
        suv_peak(pet, np.empty((0, 3), dtype=np.intp))


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    spacing=st.tuples(*[st.sampled_from([1.7, 2.5, 3.27, 4.07, 6.0, 6.5])] * 3),
    angle=st.floats(0, 1.5),
)
def test_agrees_with_brute_force_on_any_grid(
    seed: int, shape: tuple[int, int, int], spacing: tuple[float, float, float], angle: float
) -> None:
    rng = np.random.default_rng(seed)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    grid = Grid.from_geometry(shape, spacing, (10, -20, 30), turn @ np.eye(3)[:, ::-1])
    pet = Volume(rng.random(shape, dtype=np.float32), grid)
    voxels = np.argwhere(rng.random(shape) < 0.5)
    expected = [brute_force_mean(pet, voxel, PEAK_RADIUS_MM) for voxel in voxels]
    np.testing.assert_allclose(sphere_means(pet, voxels), expected, rtol=1e-12)
