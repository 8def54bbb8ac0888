"""Contours at a fraction of the maximum, and the separation of touching lesions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.lesions import CONNECTIVITY
from petlesion.segment.components import label_components
from petlesion.segment.peaks import prominent_peaks, split_touching
from petlesion.segment.relative import detected_contours, incremental_contours

IMAGES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(0, 40).map(lambda n: n / 4))
)
SPACING = (4.0, 4.0, 4.0)


def blobs(*peaks: tuple[tuple[int, int, int], float, float], background: float = 0.5) -> NDArray[np.float32]:
    """Gaussian blobs (centre in voxels, scale in voxels, height) on a background."""
    grid = np.indices((30, 30, 60))
    image = np.full((30, 30, 60), background, dtype=np.float32)
    for center, scale, height in peaks:
        square = sum((axis - c) ** 2 for axis, c in zip(grid, center, strict=True))
        image += (height * np.exp(-square / (2 * scale**2))).astype(np.float32)
    return image


@settings(max_examples=150)
@given(IMAGES, st.sampled_from([0.3, 0.41, 0.5, 0.9]))
def test_incremental_regions_follow_their_definition(image: np.ndarray, fraction: float) -> None:
    body = np.ones(image.shape, dtype=bool)
    found = incremental_contours(image, fraction, 1.0, body).labels
    for number in range(1, int(found.max()) + 1):
        region = found == number
        assert region.any()
        peak = image[region].max()
        assert peak > 1.0
        assert image[region].min() >= np.float32(fraction * peak) - 1e-6
        assert ndimage.label(region, structure=CONNECTIVITY)[1] == 1
        if number > 1:
            assert peak <= image[found == number - 1].max()
    assert found.any() == (image > 1.0).any()
    if found.any():  # the first region is all that is connected to the highest maximum
        labels, _ = ndimage.label(image >= np.float32(fraction * image.max()), structure=CONNECTIVITY)
        assert np.array_equal(found == 1, labels == labels[(found == 1) & (image == image.max())][0])


def test_skirts_of_a_hot_region_start_no_region() -> None:
    image = blobs(((15, 15, 15), 4.0, 40.0), ((15, 15, 48), 2.5, 5.0))
    found = incremental_contours(image, 0.45, 1.0, np.ones(image.shape, dtype=bool)).labels
    assert found.max() == 2
    assert (found == 2)[15, 15, 48]
    assert not (found == 2)[:, :, :30].any()


def test_body_limits_incremental_regions() -> None:
    image = blobs(((15, 15, 15), 3.0, 20.0), ((15, 15, 48), 3.0, 10.0))
    body = np.zeros(image.shape, dtype=bool)
    body[:, :, 30:] = True
    found = incremental_contours(image, 0.45, 1.0, body).labels
    assert found.max() == 1
    assert not found[:, :, :30].any()


def contours(image: NDArray[np.float32], threshold: float, fraction: float = 0.41) -> tuple[NDArray[np.int32], int]:
    detected = label_components(image >= threshold, 0.064, 0.0)
    found = detected_contours(image, detected, threshold, fraction, np.ones(image.shape, dtype=bool), SPACING)
    return found.labels, found.open


def test_contour_reaches_below_and_above_the_detection_threshold() -> None:
    image = blobs(((15, 15, 15), 3.0, 30.0), ((15, 15, 45), 3.0, 9.0))
    labels, still_open = contours(image, threshold=8.0)
    assert still_open == 0
    for number, threshold in ((1, 0.41 * 30.5), (2, 0.41 * 9.5)):
        expected, _ = ndimage.label(image >= threshold, structure=CONNECTIVITY)
        region = labels == number
        assert np.array_equal(region, expected == expected[tuple(np.argwhere(region)[0])])


def test_surroundings_above_the_fraction_leave_the_detected_region() -> None:
    image = blobs(((15, 15, 30), 2.0, 5.0), background=4.0)  # its ends are 100 mm away
    labels, still_open = contours(image, threshold=6.0)
    assert still_open == 1
    assert np.array_equal(labels > 0, image >= 6.0)


def test_cold_lesion_beside_a_hot_organ_does_not_climb_it() -> None:
    image = blobs(((15, 15, 15), 4.0, 60.0), ((15, 15, 35), 2.5, 9.0))
    labels, _ = contours(image, threshold=8.0)
    lesion = labels == labels[15, 15, 35]
    assert lesion.any()
    assert image[lesion].max() == pytest.approx(image[15, 15, 33:38].max(), rel=0.05)
    assert not lesion[:, :, :25].any()


def test_regions_inside_the_contour_of_a_hotter_one_join_it() -> None:
    image = blobs(((15, 15, 26), 3.0, 10.0), ((15, 15, 34), 3.0, 9.0))
    assert label_components(image >= 9.4, 0.064, 0.0).max() == 2
    labels, _ = contours(image, threshold=9.4)
    assert labels.max() == 1


@given(IMAGES, st.sampled_from([0.5, 2.0, 4.0]))
def test_every_detected_region_is_covered(image: np.ndarray, threshold: float) -> None:
    labels, _ = contours(image, threshold)
    detected = label_components(image >= threshold, 0.064, 0.0)
    for number in range(1, int(detected.max()) + 1):
        region = detected == number
        assert (labels[region & (image == image[region].max())] > 0).all() or (labels[region] > 0).any()
    assert not labels[image < 0.41 * threshold].any()


def test_noise_makes_no_prominent_peaks_and_gaps_do() -> None:
    one = blobs(((15, 15, 30), 4.0, 10.0), background=0.1)
    one *= 1 + 0.03 * np.random.default_rng(0).standard_normal(one.shape).astype(np.float32)
    assert prominent_peaks(one, one > 4).max() == 1
    two = blobs(((15, 15, 23), 3.0, 10.0), ((15, 15, 36), 3.0, 8.0), background=0.1)
    peaks = prominent_peaks(two, two > 2)
    assert peaks.max() == 2
    assert {tuple(index) for index in np.argwhere(peaks)} == {(15, 15, 23), (15, 15, 36)}


def test_touching_lesions_are_separated_at_the_valley() -> None:
    image = blobs(((15, 15, 23), 3.0, 10.0), ((15, 15, 36), 3.0, 8.0), ((5, 5, 55), 2.0, 9.0))
    labels = label_components(image >= 2.0, 0.064, 0.1)
    assert labels.max() == 2
    parts = split_touching(image, labels, 0.064, 0.1)
    assert np.array_equal(parts > 0, labels > 0)
    assert len(np.unique(parts)) - 1 == 3
    assert parts[15, 15, 23] != parts[15, 15, 36]
    valley = 23 + int(np.argmin(image[15, 15, 23:37]))
    assert {int(parts[15, 15, x]) for x in range(23, valley)} == {int(parts[15, 15, 23])}


def test_part_too_small_stays_with_its_neighbour() -> None:
    image = blobs(((15, 15, 23), 3.0, 10.0), ((15, 15, 35), 1.0, 8.0))
    labels = label_components(image >= 0.55, 0.064, 0.1)
    assert labels.max() == 1
    assert len(np.unique(split_touching(image, labels, 0.064, 0.1))) - 1 == 2
    assert len(np.unique(split_touching(image, labels, 0.064, 20.0))) - 1 == 1
