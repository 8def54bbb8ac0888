"""Projections show the patient upright, the right way round and to scale, however the volume is stored."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from petlesion.lesions import Lesions
from petlesion.present.projection import (
    ANTERIOR_DEG,
    LEFT_LATERAL_DEG,
    Projection,
    lesion_outlines,
    maximum_intensity_projection,
    orientation_letters,
    to_plane,
)
from petlesion.report import MethodRecord
from petlesion.volume import Grid, Volume

SHAPE = (9, 7, 5)
SPACING = (3.0, 2.0, 4.0)
GRID = Grid.from_geometry(SHAPE, SPACING, (-10.0, 20.0, 500.0))


def hot_voxel(grid: Grid, index: tuple[int, int, int] = (7, 1, 4)) -> Volume:
    """One hot voxel: high up, in front, on the patient's left."""
    array = np.zeros(grid.shape, dtype=np.float32)
    array[index] = 10.0
    return Volume(array, grid)


def rotated_grid(degrees: float, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    """A grid turned about the axis from feet to head."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return Grid.from_geometry(shape, spacing, (-10.0, 20.0, 500.0), turn @ np.eye(3)[:, ::-1])


def brightest_mm(projection: Projection) -> NDArray[np.float64]:
    row, column = np.unravel_index(projection.image.argmax(), projection.image.shape)
    (dv, du), (u, v) = projection.spacing_mm, projection.origin_mm
    return np.array([u + column * du, v - row * dv])


def area_mm2(contour: NDArray[np.float64]) -> float:
    u, v = contour.T
    return float(abs(np.dot(u, np.roll(v, 1)) - np.dot(v, np.roll(u, 1))) / 2)


def test_anterior_view_has_head_up_and_the_patients_left_on_the_right() -> None:
    projection = maximum_intensity_projection(hot_voxel(GRID), ANTERIOR_DEG)
    assert projection.image.shape == (9, 5)
    assert projection.spacing_mm == pytest.approx((3.0, 4.0))
    assert np.argwhere(projection.image).tolist() == [[9 - 1 - 7, 4]]
    assert projection.extent_mm == pytest.approx((-12.0, 8.0, 498.5, 525.5))


def test_lateral_view_has_the_front_on_the_left() -> None:
    projection = maximum_intensity_projection(hot_voxel(GRID), LEFT_LATERAL_DEG)
    assert projection.image.shape == (9, 7)
    assert projection.spacing_mm == pytest.approx((3.0, 2.0))
    assert np.argwhere(projection.image).tolist() == [[1, 1]]
    assert projection.extent_mm == pytest.approx((19.0, 33.0, 498.5, 525.5))


def test_posterior_view_mirrors_the_anterior_one() -> None:
    volume = Volume(np.random.default_rng(0).random(SHAPE, dtype=np.float32), GRID)
    posterior = maximum_intensity_projection(volume, 180.0)
    np.testing.assert_array_equal(posterior.image, maximum_intensity_projection(volume).image[:, ::-1])
    assert orientation_letters(180.0) == ("L", "R")
    assert orientation_letters(45.0) in {("RA", "LP"), ("AR", "PL")}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    angle=st.sampled_from([0.0, 90.0, 180.0, 270.0]),
)
def test_projection_does_not_depend_on_how_the_grid_is_stored(
    seed: int, order: tuple[int, ...], flips: tuple[bool, ...], angle: float
) -> None:
    array = np.random.default_rng(seed).random(SHAPE, dtype=np.float32)
    labels = (array > 0.8).astype(np.uint16)
    affine = GRID.affine @ np.eye(4)[:, [*order, 3]]
    stored, stored_labels = array.transpose(order), labels.transpose(order)
    for axis in np.flatnonzero(flips):
        affine[:3, 3] += affine[:3, axis] * (stored.shape[axis] - 1)
        affine[:3, axis] *= -1
        stored, stored_labels = np.flip(stored, axis), np.flip(stored_labels, axis)
    grid = Grid(stored.shape, affine)
    one = maximum_intensity_projection(Volume(array, GRID), angle)
    other = maximum_intensity_projection(Volume(stored, grid), angle)
    np.testing.assert_array_equal(other.image, one.image)
    assert other.spacing_mm == pytest.approx(one.spacing_mm)
    assert other.origin_mm == pytest.approx(one.origin_mm)
    method = MethodRecord("fixed", "1")
    outlines = [lesion_outlines(Lesions(a, g, method), angle) for a, g in ((labels, GRID), (stored_labels, grid))]
    areas = [sorted(area_mm2(contour) for outline in lesions for contour in outline.contours) for lesions in outlines]
    assert areas[0] == pytest.approx(areas[1])


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 200.0])
@pytest.mark.parametrize("degrees", [0.5, 10.0, 45.0])
def test_oblique_volumes_are_resampled_to_the_right_place(angle: float, degrees: float) -> None:
    grid = rotated_grid(degrees, (21, 40, 30), (3.0, 2.0, 2.5))
    index = (15, 10, 20)
    array = np.zeros(grid.shape, dtype=np.float32)
    array[14:17, 9:12, 19:22] = 10.0
    projection = maximum_intensity_projection(Volume(array, grid), angle)
    assert projection.image.max() == pytest.approx(10.0, rel=0.05)
    expected = to_plane(grid.to_world(index), angle)
    assert np.abs(brightest_mm(projection) - expected).max() <= 3.0
    (outline,) = lesion_outlines(Lesions((array > 0).astype(np.uint16), grid, MethodRecord("fixed", "1")), angle)
    assert outline.contours[0].mean(axis=0) == pytest.approx(expected, abs=1.5)


def test_a_single_oblique_slice_is_not_lost() -> None:
    grid = rotated_grid(20.0, (1, 40, 40), (3.0, 2.0, 2.0))
    projection = maximum_intensity_projection(Volume(np.ones(grid.shape, dtype=np.float32), grid), ANTERIOR_DEG)
    assert projection.image.shape[0] == 1
    assert projection.image.max() == pytest.approx(1.0)


@pytest.mark.parametrize("degrees", [0.0, 30.0])
def test_single_voxel_lesions_keep_an_outline(degrees: float) -> None:
    grid = rotated_grid(degrees, SHAPE, SPACING)
    labels = np.zeros(SHAPE, dtype=np.uint16)
    labels[0, 0, 0], labels[8, 6, 4] = 1, 2
    for angle in (ANTERIOR_DEG, LEFT_LATERAL_DEG):
        outlines = lesion_outlines(Lesions(labels, grid, MethodRecord("fixed", "1")), angle)
        assert [outline.number for outline in outlines] == [1, 2]
        for outline, index in zip(outlines, ((0, 0, 0), (8, 6, 4)), strict=True):
            (contour,) = outline.contours
            centre = to_plane(grid.to_world(index), angle)
            assert (contour.min(axis=0) < centre).all()
            assert (contour.max(axis=0) > centre).all()


def test_outlines_follow_the_voxel_borders_with_holes() -> None:
    labels = np.zeros((8, 1, 8), dtype=np.uint16)
    labels[1:7, 0, 1:7] = 1
    labels[3:5, 0, 3:5] = 0
    grid = Grid.from_geometry(labels.shape, (2.0, 2.0, 2.0))
    (outline,) = lesion_outlines(Lesions(labels, grid, MethodRecord("fixed", "1")))
    outer, hole = sorted(outline.contours, key=area_mm2, reverse=True)
    assert (outer.min(axis=0).tolist(), outer.max(axis=0).tolist()) == ([1.0, 1.0], [13.0, 13.0])
    assert (hole.min(axis=0).tolist(), hole.max(axis=0).tolist()) == ([5.0, 5.0], [9.0, 9.0])


def test_a_real_tumour_lies_in_its_outline_and_under_its_maximum(shared_data: Path) -> None:
    folder = shared_data / "sts" / "STS_001"
    image, mask = (nib.load(folder / f"{name}.nii.gz") for name in ("pet", "gtv"))
    pet, labels = np.asarray(image.dataobj, dtype=np.float32).T, np.asarray(mask.dataobj).T.astype(np.uint16)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine @ np.eye(4)[:, [2, 1, 0, 3]]
    grid = Grid(pet.shape, affine)
    hottest = grid.to_world(np.unravel_index(np.where(labels > 0, pet, 0).argmax(), pet.shape))
    for angle in (ANTERIOR_DEG, LEFT_LATERAL_DEG):
        projection = maximum_intensity_projection(Volume(pet, grid), angle)
        assert projection.image.max() == pet.max()
        (outline,) = lesion_outlines(Lesions(labels, grid, MethodRecord("fixed", "1")), angle)
        outer = max(outline.contours, key=area_mm2)
        point = to_plane(hottest, angle)
        assert (outer.min(axis=0) < point).all()
        assert (point < outer.max(axis=0)).all()
