"""Measurements of lesions: reference values, definitions, invariants."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.report import MethodRecord, Report, SuvRecord
from petlesion.study import Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

METHOD = MethodRecord("fixed", "1", parameters={"suv": 3.0})
MEASURES = ("volume_ml", "suv_max", "suv_mean", "suv_min", "suv_sd", "suv_peak", "tlu")


def make_study(pet: ArrayLike, grid: Grid) -> PetCt:
    return PetCt(
        pet=Volume(np.asarray(pet, dtype=np.float32), grid),
        ct=None,
        tracer=TRACERS[TracerName.F18_FDG],
        patient=Patient(),
        suv=SuvRecord("GML", "START", 1.0, None, None),
        study_instance_uid="1.2",
        pet_series_instance_uid="1.2.3",
        warnings=("slices are unequally spaced",),
    )


def make_lesions(labels: ArrayLike, grid: Grid) -> Lesions:
    return Lesions(np.asarray(labels, dtype=np.uint16), grid, METHOD)


def two_lesions(shape: tuple[int, int, int] = (6, 7, 8)) -> NDArray[np.uint16]:
    labels = np.zeros(shape, dtype=np.uint16)
    labels[1:3, 1:4, 2:6] = 1
    labels[4, 5:7, 1:3] = 2
    return labels


def measure_arrays(pet: ArrayLike, labels: ArrayLike, grid: Grid) -> Report:
    return measure(make_study(pet, grid), make_lesions(labels, grid))


def test_ibsi_phantom(shared_data: Path) -> None:
    image, mask = (nib.load(shared_data / "ibsi_phantom" / f"{name}.nii.gz") for name in ("phantom", "mask"))
    labels = np.asarray(mask.dataobj).T > 0
    (lesion,) = measure_arrays(np.asarray(image.dataobj).T, labels, Grid.from_geometry(labels.shape, (2, 2, 2))).lesions
    assert round(lesion.suv_mean, 2) == 2.15
    assert round(lesion.suv_sd**2, 2) == 3.05, "IBSI's variance is that of the population"
    assert (lesion.suv_min, lesion.suv_max) == (1.0, 6.0)
    assert round(lesion.suv_peak, 1) == 3.1
    assert lesion.volume_ml == pytest.approx(74 * 0.008)
    assert lesion.tlu == pytest.approx(lesion.suv_mean * lesion.volume_ml)


def test_a_real_tumour_agrees_with_direct_numpy(shared_data: Path) -> None:
    folder = shared_data / "sts" / "STS_001"
    image, mask = (nib.load(folder / f"{name}.nii.gz") for name in ("pet", "gtv"))
    pet, labels = np.asarray(image.dataobj, dtype=np.float32).T, np.asarray(mask.dataobj).T > 0
    spacing = [float(mm) for mm in image.header.get_zooms()[::-1]]
    (lesion,) = measure_arrays(pet, labels, Grid.from_geometry(pet.shape, spacing)).lesions
    values = pet[labels].astype(np.float64)
    assert lesion.volume_ml == pytest.approx(labels.sum() * np.prod(spacing) / 1000)
    assert lesion.suv_mean == pytest.approx(values.mean())
    assert lesion.suv_max == values.max()
    assert lesion.suv_mean < lesion.suv_peak < lesion.suv_max


def test_centroid_is_the_mean_voxel_centre_in_lps() -> None:
    grid = Grid.from_geometry((6, 7, 8), (3.0, 2.0, 2.0), origin_mm=(-100.0, 50.0, 700.0))
    first, second = measure_arrays(np.ones(grid.shape), two_lesions(), grid).lesions
    assert first.centroid_mm == pytest.approx((-100 + 3.5 * 2, 50 + 2 * 2, 700 + 1.5 * 3))
    assert second.centroid_mm == pytest.approx((-100 + 1.5 * 2, 50 + 5.5 * 2, 700 + 4 * 3))


def test_no_lesion_has_no_suv() -> None:
    grid = Grid.from_geometry((2, 3, 4), (3, 2, 2))
    report = measure_arrays(np.ones(grid.shape), np.zeros(grid.shape), grid)
    totals = report.totals
    assert report.lesions == ()
    assert (totals.n_lesions, totals.ttv_ml, totals.tlu) == (0, 0.0, 0.0)
    assert totals.suv_max is totals.suv_mean is totals.suv_peak is totals.min_lesion_suv_mean is None
    assert Report.from_json(report.to_json()) == report


def test_totals_are_sums_extremes_and_a_volume_weighted_mean() -> None:
    grid = Grid.from_geometry((6, 7, 8), (3, 2, 2))
    pet = np.random.default_rng(1).random(grid.shape)
    report = measure_arrays(pet, two_lesions(), grid)
    first, second = report.lesions
    assert report.totals.ttv_ml == pytest.approx(first.volume_ml + second.volume_ml)
    assert report.totals.tlu == pytest.approx(first.tlu + second.tlu)
    assert report.totals.suv_mean == pytest.approx(pet[two_lesions() > 0].mean(), rel=1e-6)
    assert report.totals.suv_max == max(first.suv_max, second.suv_max)
    assert report.totals.suv_peak == max(first.suv_peak, second.suv_peak)
    assert report.totals.min_lesion_suv_mean == min(first.suv_mean, second.suv_mean)


def test_locations_confidences_and_warnings_are_passed_on() -> None:
    grid = Grid.from_geometry((6, 7, 8), (3, 2, 2))
    lesions = replace(
        make_lesions(two_lesions(), grid),
        locations={2: "liver"},
        confidences={1: 0.25},
        warnings=("the bladder is among the candidates", "slices are unequally spaced"),
    )
    report = measure(make_study(np.ones(grid.shape), grid), lesions)
    assert [lesion.location for lesion in report.lesions] == [None, "liver"]
    assert [lesion.confidence for lesion in report.lesions] == [0.25, None]
    assert report.warnings == ("slices are unequally spaced", "the bladder is among the candidates")


def test_tracking_uids_are_reproducible_and_tell_lesions_apart() -> None:
    grid = Grid.from_geometry((6, 7, 8), (3, 2, 2))
    study, lesions = make_study(np.ones(grid.shape), grid), make_lesions(two_lesions(), grid)
    shifted = make_lesions(np.roll(two_lesions(), 1, axis=2), grid)
    variants = [
        measure(study, lesions),
        measure(study, shifted),
        measure(study, replace(lesions, method=replace(METHOD, version="2"))),
        measure(study, replace(lesions, method=replace(METHOD, weights_sha256="0" * 64))),
        measure(study, replace(lesions, method=replace(METHOD, parameters={"suv": 4.0}))),
        measure(replace(study, pet_series_instance_uid="1.2.4"), lesions),
    ]
    uids = [lesion.tracking_uid for report in variants for lesion in report.lesions]
    assert len(set(uids)) == 2 * len(variants)
    again = measure(study, make_lesions(two_lesions(), grid))
    assert [lesion.tracking_uid for lesion in again.lesions] == uids[:2]


def test_lesions_of_the_same_shape_at_other_places_differ() -> None:
    labels = np.zeros((1, 1, 9), dtype=np.uint16)
    labels[..., 1:3], labels[..., 5:7] = 1, 2
    grid = Grid.from_geometry(labels.shape, (2, 2, 2))
    first, second = measure_arrays(np.ones(labels.shape), labels, grid).lesions
    assert first.tracking_uid != second.tracking_uid


def test_other_grids_and_gaps_in_the_numbers_are_refused() -> None:
    grid, other = (Grid.from_geometry((6, 7, 8), (3, 2, mm)) for mm in (2, 2.5))
    with pytest.raises(ValueError, match="grid"):
        measure(make_study(np.ones(grid.shape), grid), make_lesions(two_lesions(), other))
    with pytest.raises(ValueError, match="lesion 1 has no voxel"):
        measure_arrays(np.ones(grid.shape), np.where(two_lesions() == 1, 3, two_lesions()), grid)


def reoriented(
    array: NDArray[np.generic], grid: Grid, order: tuple[int, ...], flips: tuple[bool, ...]
) -> tuple[NDArray[np.generic], Grid]:
    """The same voxels at the same places, stored with permuted and flipped axes."""
    permutation = np.eye(4)[:, [*order, 3]]
    affine = grid.affine @ permutation
    out = array.transpose(order)
    for axis in np.flatnonzero(flips):
        affine[:3, 3] += affine[:3, axis] * (out.shape[axis] - 1)
        affine[:3, axis] *= -1
        out = np.flip(out, axis)
    return out, Grid(out.shape, affine)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    order=st.sampled_from(list(itertools.permutations(range(3)))),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_measures_do_not_depend_on_how_the_grid_is_stored(
    seed: int, order: tuple[int, ...], flips: tuple[bool, ...]
) -> None:
    grid = Grid.from_geometry((6, 7, 8), (3.27, 2.5, 4.1), origin_mm=(-31.0, 17.0, 5.0))
    pet = np.random.default_rng(seed).random(grid.shape, dtype=np.float32)
    original = measure_arrays(pet, two_lesions(), grid)
    pet2, grid2 = reoriented(pet, grid, order, flips)
    labels2, _ = reoriented(two_lesions(), grid, order, flips)
    for one, other in zip(original.lesions, measure_arrays(pet2, labels2, grid2).lesions, strict=True):
        assert other.centroid_mm == pytest.approx(one.centroid_mm, abs=1e-9)
        for name in MEASURES:
            assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9), name


@settings(derandomize=True, deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([0.125, 0.5, 2.0, 16.0]))
def test_uptake_scales_with_suv_and_keeps_its_order(seed: int, factor: float) -> None:
    grid = Grid.from_geometry((6, 7, 8), (3.27, 2.5, 4.1))
    rng = np.random.default_rng(seed)
    pet = rng.random(grid.shape, dtype=np.float32)
    labels, count = ndimage.label(rng.random(grid.shape) < 0.2)
    report, scaled = (measure_arrays(array, labels, grid) for array in (pet, pet * np.float32(factor)))
    assert report.totals.n_lesions == count
    for one, other in zip(report.lesions, scaled.lesions, strict=True):
        assert other.volume_ml == one.volume_ml
        assert one.suv_min <= one.suv_mean <= one.suv_max
        assert one.suv_peak <= ndimage.maximum_filter(pet, size=11)[labels == one.id].max()
        for name in MEASURES[1:]:
            assert getattr(other, name) == pytest.approx(factor * getattr(one, name), rel=1e-12), name


@pytest.mark.parametrize("value", [0.1, 3.3, 1e4])
def test_uniform_uptake_gives_exactly_that_value(value: float) -> None:
    grid = Grid.from_geometry((6, 7, 8), (3, 2, 2))
    stored = float(np.float32(value))
    for lesion in measure_arrays(np.full(grid.shape, value), two_lesions(), grid).lesions:
        assert (lesion.suv_min, lesion.suv_mean, lesion.suv_max) == (stored, stored, stored)
        assert lesion.suv_peak == pytest.approx(stored)
        assert lesion.suv_sd == 0.0
