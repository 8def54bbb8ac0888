"""Lesions at points: grown, cut, chosen."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from petlesion.errors import SegmentationError, UsageError
from petlesion.lesions import Lesions
from petlesion.report import MethodRecord, Review, SuvRecord
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.segment.points import choose_at_points, grow_at_points
from petlesion.study import Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((24, 30, 40), (4.0, 4.0, 4.0), (-80.0, -60.0, 0.0))
LEFT, RIGHT, ALONE = (12, 15, 12), (12, 15, 20), (12, 15, 33)
FIXED = SegmentOptions(method=MethodName.FIXED, suv=4.0)


def study() -> PetCt:
    """Two blobs that touch at SUV 4, and one by itself."""
    index = np.moveaxis(np.indices(GRID.shape), 0, -1)
    suv = np.ones(GRID.shape)
    for centre, peak in ((LEFT, 10.0), (RIGHT, 9.0), (ALONE, 8.0)):
        suv += peak * np.exp(-(((index - centre) / 3.2) ** 2).sum(axis=-1))
    return PetCt(
        pet=Volume(suv.astype(np.float32), GRID),
        ct=None,
        tracer=TRACERS[TracerName.F18_FDG],
        patient=Patient(),
        suv=SuvRecord("g/ml", "unknown", None, None, None),
        study_instance_uid="1.2",
        pet_series_instance_uid="1.2.3",
    )


def point(voxel: tuple[int, int, int]) -> tuple[float, float, float]:
    x, y, z = GRID.to_world(voxel)
    return float(x), float(y), float(z)


def test_touching_blobs_are_one_lesion_until_the_background_is_marked() -> None:
    both = grow_at_points(study(), FIXED, [point(LEFT)])
    assert both.labels[LEFT] == both.labels[RIGHT] == 1
    one = grow_at_points(study(), FIXED, [point(LEFT)], [point(RIGHT)])
    assert one.labels[LEFT] == 1
    assert one.labels[RIGHT] == 0
    x = np.argwhere(one.labels)[:, 2]
    assert x.max() == pytest.approx((LEFT[2] + RIGHT[2]) / 2, abs=1)
    assert one.method.parameters["background_points"] == 1


def test_several_points_give_several_lesions_and_others_change_nothing() -> None:
    found = grow_at_points(study(), FIXED, [point(LEFT), point(ALONE)], [point((2, 2, 2))])
    assert found.count == 2
    alone = grow_at_points(study(), FIXED, [point(ALONE)])
    np.testing.assert_array_equal(found.labels[:, :, 27:] > 0, alone.labels[:, :, 27:] > 0)


def test_many_points_take_no_more_memory_than_one() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        grow_at_points(study(), FIXED, [point(ALONE)] * count)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)  # imports
    assert peak(40) < 1.2 * peak(1)


def test_point_on_the_far_face_of_the_image_lies_outside() -> None:
    whole = segment(study(), FIXED)
    x, y, z = GRID.to_world((GRID.shape[0] - 0.5, 15, 15))
    with pytest.raises(UsageError, match="outside the field of view"):
        choose_at_points(study(), whole, [(float(x), float(y), float(z))])


def test_voxel_at_the_threshold_belongs_to_the_lesion() -> None:
    pet = np.ones(GRID.shape, dtype=np.float32)
    pet[ALONE] = 2.3  # less than 2.3 in double precision
    at_threshold = replace(study(), pet=Volume(pet, GRID))
    options = replace(FIXED, suv=2.3, min_volume_ml=0.0)
    assert segment(at_threshold, options).count == 1
    assert segment(at_threshold, replace(options, point_mm=point(ALONE))).count == 1


def test_lesions_of_a_method_are_chosen_by_points() -> None:
    whole = segment(study(), FIXED)
    assert whole.count == 2
    chosen = choose_at_points(study(), whole, [point(ALONE)])
    np.testing.assert_array_equal(chosen.labels > 0, whole.labels == whole.labels[ALONE])
    with pytest.raises(SegmentationError, match="no lesion is left"):
        choose_at_points(study(), whole, [point(ALONE)], [point(ALONE)])


def test_a_point_means_the_lesion_that_it_lies_on_and_not_its_neighbour() -> None:
    labels = np.zeros(GRID.shape, dtype=np.uint16)
    labels[10:14, 10:14, 10:14], labels[10:14, 10:14, 15:17] = 1, 2  # 4 mm between them
    lesions = Lesions(
        labels, GRID, MethodRecord("unet", "1", "ab" * 32), review=Review.FILTERED, confidences={1: 0.9, 2: 0.7}
    )
    first, second, beside, between = (11, 11, 11), (11, 11, 15), (11, 11, 17), (11, 11, 14)
    for voxel in (second, beside):
        chosen = choose_at_points(study(), lesions, [point(voxel)])
        np.testing.assert_array_equal(chosen.labels > 0, labels == 2)
        assert (chosen.review, chosen.confidences) == (Review.FILTERED, {1: 0.7})
    for background in (second, between):
        chosen = choose_at_points(study(), lesions, [point(first)], [point(background)])
        np.testing.assert_array_equal(chosen.labels > 0, labels == 1)
    both = choose_at_points(study(), lesions, [point(first), point(second)])
    np.testing.assert_array_equal(both.labels, labels)


def test_points_are_needed_and_lie_inside() -> None:
    with pytest.raises(UsageError, match="no foreground point"):
        grow_at_points(study(), FIXED, [])
    with pytest.raises(UsageError, match="outside the field of view"):
        grow_at_points(study(), FIXED, [point(LEFT)], [(0.0, 0.0, 999.0)])
