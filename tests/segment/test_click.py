"""One lesion from a click."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from petlesion.errors import SegmentationError, UsageError
from petlesion.lesions import Lesions
from petlesion.reader import read_study
from petlesion.report import NO_REFERENCE, Reference, ReferenceOrgan
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.tracers import TracerName

METHODS = (MethodName.PERCIST, MethodName.FIXED, MethodName.RELATIVE, MethodName.GRADIENT)
LESION = (90.0, -40.0, -120.0)
BESIDE = (96.0, -40.0, -118.0)
MUSCLE = (-100.0, 20.0, -140.0)
RADIUS_MM = 14.0
LESIONS = ((LESION, RADIUS_MM, 9.0), ((-40.0, -60.0, -150.0), 10.0, 7.0))
TRUE_ML = 4 / 3 * np.pi * RADIUS_MM**3 / 1000


def volume_ml(lesions: Lesions) -> float:
    return float(np.count_nonzero(lesions.labels) * lesions.grid.voxel_ml)


def contains(lesions: Lesions, point_mm: tuple[float, float, float]) -> bool:
    return bool(lesions.labels[tuple(np.rint(lesions.grid.to_index(point_mm)).astype(int))])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ct", [True, False])
def test_click_grows_the_lesion_under_it(body: Callable[..., Any], method: MethodName, ct: bool) -> None:
    study = body(ct=ct, lesions=LESIONS).study
    lesions = segment(study, SegmentOptions(method, point_mm=BESIDE))
    assert lesions.count == 1
    assert contains(lesions, LESION)
    assert not contains(lesions, LESIONS[1][0])
    assert volume_ml(lesions) == pytest.approx(TRUE_ML, rel=0.1 if method is MethodName.GRADIENT else 0.45)
    assert (lesions.reference == NO_REFERENCE) == (method is not MethodName.PERCIST)


@pytest.mark.parametrize("method", [MethodName.PERCIST, MethodName.FIXED])
def test_click_gives_the_same_region_as_the_whole_body(body: Callable[..., Any], method: MethodName) -> None:
    study = body(lesions=LESIONS).study
    everything = segment(study, SegmentOptions(method))
    one = segment(study, SegmentOptions(method, point_mm=BESIDE))
    number = everything.labels[tuple(np.rint(study.pet.grid.to_index(LESION)).astype(int))]
    assert np.array_equal(one.labels == 1, everything.labels == number)


def test_region_larger_than_the_first_sub_volume_is_whole(body: Callable[..., Any]) -> None:
    study = body().study
    one = segment(study, SegmentOptions(MethodName.FIXED, suv=1.5, point_mm=(-70.0, -5.0, 20.0)))
    assert volume_ml(one) > 1500  # liver and what it touches
    everything = segment(study, SegmentOptions(MethodName.FIXED, suv=1.5, min_volume_ml=0.0))
    assert np.array_equal(one.labels == 1, everything.labels == everything.labels[one.labels == 1][0])


@pytest.mark.parametrize("method", [MethodName.PERCIST, MethodName.FIXED])
def test_click_below_the_threshold_says_so(body: Callable[..., Any], method: MethodName) -> None:
    with pytest.raises(SegmentationError, match=r"reaches SUV 0\.\d+, below the threshold [345]\.\d+"):
        segment(body(lesions=LESIONS).study, SegmentOptions(method, point_mm=MUSCLE))


@pytest.mark.parametrize("method", [MethodName.RELATIVE, MethodName.GRADIENT])
def test_click_that_does_not_stand_out_says_so(body: Callable[..., Any], method: MethodName) -> None:
    with pytest.raises(SegmentationError, match="does not stand out of its surroundings"):
        segment(body(lesions=LESIONS).study, SegmentOptions(method, point_mm=MUSCLE))


@pytest.mark.parametrize("method", [MethodName.PERCIST, MethodName.GRADIENT])
def test_click_outside_the_image_is_a_usage_error(body: Callable[..., Any], method: MethodName) -> None:
    with pytest.raises(UsageError, match=r"\(0, 0, 9999\) mm lies outside the field of view"):
        segment(body().study, SegmentOptions(method, point_mm=(0.0, 0.0, 9999.0)))


def test_known_reference_spares_the_search(body: Callable[..., Any]) -> None:
    known = Reference(ReferenceOrgan.LIVER, 2.0, 0.5, 4.0)
    steps: list[str] = []
    options = SegmentOptions(point_mm=BESIDE, reference=known)
    lesions = segment(body(lesions=LESIONS).study, options, steps.append)
    assert lesions.reference is known
    assert lesions.method.parameters["threshold_suv"] == 4.0
    assert steps == []


def test_neighbour_of_a_hot_organ_is_grown_alone(body: Callable[..., Any]) -> None:
    beside_kidney = (62.0, 5.0, -50.0)
    study = body(tracer=TracerName.GA68_PSMA11, lesions=((beside_kidney, 9.0, 12.0),)).study
    for method in (MethodName.RELATIVE, MethodName.GRADIENT):
        lesions = segment(study, SegmentOptions(method, point_mm=beside_kidney))
        assert contains(lesions, beside_kidney)
        assert not contains(lesions, (62.0, 62.0, -50.0))


def test_real_sarcoma_from_one_click(shared_data: Path) -> None:
    study = read_study(shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image", tracer=TracerName.F18_FDG)
    seen = (44.5, 44.5, -789.7)  # in the rim of the tumour of the left thigh
    volumes = {}
    for method in (MethodName.FIXED, MethodName.RELATIVE, MethodName.GRADIENT):
        lesions = segment(study, SegmentOptions(method, suv=2.5, point_mm=seen))
        assert lesions.count == 1
        volumes[method] = volume_ml(lesions)
    assert all(60 < volume < 500 for volume in volumes.values()), volumes
