"""Whole-body methods: invariants, records, warnings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

import petlesion
from petlesion.errors import SegmentationError, UsageError
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.reader import read_study
from petlesion.report import NO_REFERENCE, ReferenceOrgan, Review
from petlesion.segment.methods import METHODS, segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.study import PetCt
from petlesion.tracers import TracerName
from petlesion.volume import Grid

THRESHOLD_METHODS = (MethodName.PERCIST, MethodName.FIXED, MethodName.RELATIVE, MethodName.GRADIENT)
LESIONS = (((90.0, -40.0, -120.0), 14.0, 12.0), ((-40.0, -60.0, -150.0), 10.0, 9.0), ((85.0, 5.0, 150.0), 8.0, 10.0))
IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(0, 60).map(lambda n: n / 4))
)


def run(study: PetCt, method: MethodName = MethodName.FIXED, **options: Any) -> Lesions:
    return segment(study, SegmentOptions(method, **options))


@pytest.mark.parametrize("method", THRESHOLD_METHODS)
def test_every_method_finds_the_lesions(body: Callable[..., Any], method: MethodName) -> None:
    patient = body(lesions=LESIONS)
    lesions = run(patient.study, method)
    truth, _ = ndimage.label(patient.masks["lesions"])
    for number in (1, 2, 3):
        found = np.unique(lesions.labels[truth == number])
        assert found.max() > 0
    assert lesions.grid is patient.study.pet.grid
    assert lesions.review is Review.CANDIDATES
    assert any("physiological uptake" in warning for warning in lesions.warnings)
    assert lesions.method.name == method.value
    assert lesions.method.version == petlesion.__version__
    assert lesions.method.parameters["min_volume_ml"] == 0.1


def test_percist_takes_voxels_at_or_above_the_threshold_of_the_reference(body: Callable[..., Any]) -> None:
    patient = body(lesions=LESIONS, tracer=TracerName.GA68_DOTATATE)
    lesions = run(patient.study, MethodName.PERCIST, min_volume_ml=0.0)
    assert lesions.reference.organ is ReferenceOrgan.LIVER
    assert lesions.method.parameters["threshold_suv"] == lesions.reference.threshold
    expected = patient.study.pet.array >= np.float32(lesions.reference.threshold)
    assert np.array_equal(lesions.labels > 0, expected)


@pytest.mark.parametrize("method", [MethodName.RELATIVE, MethodName.GRADIENT])
def test_where_the_boundary_lies_elsewhere_the_threshold_is_one_of_detection(
    body: Callable[..., Any], method: MethodName
) -> None:
    patient = body(lesions=LESIONS, tracer=TracerName.GA68_DOTATATE)
    lesions = run(patient.study, method)
    assert lesions.method.parameters["detection_threshold_suv"] == lesions.reference.threshold
    assert measure(patient.study, lesions).threshold_suv is None


def test_fixed_needs_no_reference(body: Callable[..., Any]) -> None:
    lesions = segment(body(lesions=LESIONS).study, SegmentOptions(MethodName.FIXED, suv=4.0))
    assert lesions.reference == NO_REFERENCE
    assert lesions.method.parameters["threshold_suv"] == 4.0


def test_limb_is_segmented_at_the_fallback_threshold(body: Callable[..., Any]) -> None:
    patient = body(z_mm=(-420.0, -180.0), lesions=(((-85.0, 0.0, -310.0), 30.0, 6.0),))
    lesions = run(patient.study, MethodName.PERCIST)
    assert lesions.reference.organ is ReferenceOrgan.NONE
    assert lesions.method.parameters["threshold_suv"] == 3.0
    assert any("SUV 3 is used" in warning for warning in lesions.warnings)


def test_uptake_outside_the_body_is_removed(body: Callable[..., Any]) -> None:
    patient = body(lesions=LESIONS)
    suv = patient.study.pet.array.copy()
    suv[60:70, 20:28, 5:11] = 30.0
    soiled = dataclasses.replace(patient.study, pet=dataclasses.replace(patient.study.pet, array=suv))
    assert np.array_equal(run(soiled).labels, run(patient.study).labels)


def test_touching_lesions_are_separated_on_request(body: Callable[..., Any]) -> None:
    pair = (((80.0, -40.0, -120.0), 12.0, 12.0), ((106.0, -40.0, -120.0), 12.0, 12.0))
    study = body(lesions=pair, noise=0.03).study
    together, apart = run(study), run(study, split_touching=True)
    first, second = (tuple(np.rint(study.pet.grid.to_index(center)).astype(int)) for center, _, _ in pair)
    assert together.labels[first] == together.labels[second] > 0
    assert 0 != apart.labels[first] != apart.labels[second] != 0
    assert np.array_equal(apart.labels > 0, together.labels > 0)
    assert apart.method.parameters["split_touching"] is True


def test_gradient_edge_lies_between_the_threshold_and_the_true_surface(body: Callable[..., Any]) -> None:
    patient = body(lesions=LESIONS, spacing_mm=(4.0, 4.0, 4.0), noise=0.05)
    lesions = run(patient.study, MethodName.GRADIENT)
    center = tuple(np.rint(patient.study.pet.grid.to_index(LESIONS[0][0])).astype(int))
    found = np.count_nonzero(lesions.labels == lesions.labels[center]) * 0.064
    assert found == pytest.approx(4 / 3 * np.pi * 1.4**3, rel=0.1)


def test_relative_says_which_contours_do_not_close(body: Callable[..., Any]) -> None:
    inside_liver = (((-70.0, -5.0, 20.0), 12.0, 4.6),)
    lesions = run(body(lesions=inside_liver, noise=0.03).study, MethodName.RELATIVE)
    assert lesions.method.parameters["open_contours"] == 1
    assert any(warning.startswith("1 regions have no closed contour") for warning in lesions.warnings)


def test_incremental_finds_regions_below_the_percist_threshold(body: Callable[..., Any]) -> None:
    faint = (((90.0, -40.0, -120.0), 14.0, 3.0),)
    study = body(lesions=faint).study
    lesions = run(study, MethodName.RELATIVE, incremental=True, fraction=0.45, min_suv_max=2.5)
    center = tuple(np.rint(study.pet.grid.to_index(faint[0][0])).astype(int))
    assert lesions.labels[center] > 0
    assert lesions.reference == NO_REFERENCE
    assert run(study, MethodName.PERCIST).labels[center] == 0


@settings(max_examples=60, deadline=None)
@given(IMAGES, st.floats(0.2, 8.0), st.floats(0.2, 8.0))
def test_higher_threshold_gives_a_subset(study_of: Callable[..., PetCt], image: Any, one: float, other: float) -> None:
    study = study_of(image)
    low, high = sorted((one, other))
    lower, higher = run(study, suv=low, min_volume_ml=0.0), run(study, suv=high, min_volume_ml=0.0)
    assert not (higher.labels.astype(bool) & ~lower.labels.astype(bool)).any()
    for number in range(1, higher.count + 1):
        assert len(np.unique(lower.labels[higher.labels == number])) == 1


@settings(max_examples=40, deadline=None)
@given(IMAGES, st.sampled_from(THRESHOLD_METHODS), st.booleans(), st.floats(0.0, 1.0))
def test_labels_are_contiguous_ordered_and_large_enough(
    study_of: Callable[..., PetCt], image: Any, method: MethodName, split: bool, min_volume_ml: float
) -> None:
    study = study_of(image)
    lesions = run(study, method, min_volume_ml=min_volume_ml, split_touching=split)
    sizes = np.bincount(lesions.labels.ravel())[1:]
    assert len(sizes) == lesions.count
    assert (np.diff(sizes) <= 0).all()
    assert (sizes * 0.064 >= min_volume_ml - 1e-6).all()
    again = run(study, method, min_volume_ml=min_volume_ml, split_touching=split)
    assert np.array_equal(again.labels, lesions.labels)
    assert again.warnings == lesions.warnings


@settings(max_examples=40, deadline=None)
@given(IMAGES, st.sampled_from([(MethodName.FIXED, False), (MethodName.RELATIVE, True)]), st.sampled_from([0.5, 4.0]))
def test_scaling_uptake_and_threshold_together_changes_nothing(
    study_of: Callable[..., PetCt], image: Any, method: tuple[MethodName, bool], factor: float
) -> None:
    name, incremental = method
    once = run(study_of(image), name, incremental=incremental, suv=3.0, min_suv_max=2.0)
    scaled = study_of(image * np.float32(factor))
    other = run(scaled, name, incremental=incremental, suv=3.0 * factor, min_suv_max=2.0 * factor)
    assert np.array_equal(other.labels, once.labels)


@settings(max_examples=60, deadline=None)
@given(
    IMAGES,
    st.sampled_from(list(permutations(range(3)))),
    st.sampled_from(list(product((1, -1), repeat=3))),
    st.sampled_from([(MethodName.FIXED, False), (MethodName.RELATIVE, True), (MethodName.GRADIENT, False)]),
)
def test_storage_order_changes_nothing(
    study_of: Callable[..., PetCt], image: Any, axes: Any, flips: Any, method: tuple[MethodName, bool]
) -> None:
    name, incremental = method
    spacing = (4.0, 3.0, 2.0)
    study = study_of(image, spacing)
    grid = study.pet.grid
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, list(axes)] * flips
    corner = np.zeros(3)
    for axis, flip in zip(axes, flips, strict=True):
        corner[axis] = 0 if flip == 1 else image.shape[axis] - 1
    affine[:3, 3] = grid.to_world(corner)
    turned = np.ascontiguousarray(image.transpose(axes)[tuple(slice(None, None, flip) for flip in flips)])
    other = run(study_of(turned, grid=Grid(turned.shape, affine)), name, incremental=incremental, min_volume_ml=0.0)
    once = run(study, name, incremental=incremental, min_volume_ml=0.0)
    expected = once.labels.transpose(axes)[tuple(slice(None, None, flip) for flip in flips)]
    assert np.array_equal(other.labels, expected)


@pytest.mark.parametrize("method", THRESHOLD_METHODS)
def test_empty_image_has_no_lesion(study_of: Callable[..., PetCt], method: MethodName) -> None:
    lesions = run(study_of(np.zeros((6, 7, 8))), method)
    assert lesions.count == 0
    assert lesions.labels.dtype == np.uint16


def test_too_many_regions_is_an_error(study_of: Callable[..., PetCt]) -> None:
    suv = np.full((3, 560, 560), 4.0)
    suv[1, 20:540:2, 20:540:2] = 9.0
    with pytest.raises(SegmentationError, match="raise the threshold or the minimum volume"):
        run(study_of(suv), suv=5.0, min_volume_ml=0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"suv": 0.0}, "SUV threshold must be above 0, not 0"),
        ({"suv": float("nan")}, "SUV threshold must be above 0, not nan"),
        ({"fraction": 1.0}, "between 0 and 1, not 1"),
        ({"min_volume_ml": -1.0}, "0 or more mL, not -1"),
        ({"min_suv_max": -2.0}, "lowest maximum SUV must be above 0"),
    ],
)
def test_numbers_out_of_range_are_usage_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SegmentOptions(**options)


def test_every_name_has_a_method() -> None:
    assert set(METHODS) | {MethodName.UNET, MethodName.NNUNET} == set(MethodName)


def test_real_whole_body(shared_data: Path) -> None:
    study = read_study(shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image", tracer=TracerName.F18_FDG)
    lesions = run(study, MethodName.PERCIST, min_volume_ml=2.0)
    index = tuple(np.rint(study.pet.grid.to_index((44.5, 44.5, -789.7))).astype(int))
    number = int(lesions.labels[index])
    assert number > 0
    assert 30 < np.count_nonzero(lesions.labels == number) * study.pet.grid.voxel_ml < 366  # the contoured tumour
    assert 5 < lesions.count < 30
