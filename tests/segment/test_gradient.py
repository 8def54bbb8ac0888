"""Gradient edges: the volume of blurred spheres, neighbours, and lesions without an edge."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.segment.components import label_components
from petlesion.segment.gradient import gradient_edges

FWHM_MM = 6.0


def spheres(
    diameters_mm: list[float], centers_mm: list[tuple[float, float, float]], spacing: float, contrast: float
) -> NDArray[np.float32]:
    """Spheres in a background of 1, blurred, averaged over voxels; the origin is the middle of the image."""
    fine = max(2, int(np.ceil(spacing / 1.0)))
    step = spacing / fine
    size = 2 * int(np.ceil(60 / spacing)) + 1
    axis = (np.arange(size * fine) - (size * fine - 1) / 2) * step
    image = np.zeros((size * fine,) * 3, dtype=np.float32)
    for diameter, (z, y, x) in zip(diameters_mm, centers_mm, strict=True):
        r = np.sqrt((axis - z)[:, None, None] ** 2 + (axis - y)[:, None] ** 2 + (axis - x) ** 2)
        image = np.maximum(image, np.clip((diameter / 2 - r) / step + 0.5, 0, 1))
    image = ndimage.gaussian_filter(image, FWHM_MM / 2.3548 / step)
    image = image.reshape(size, fine, size, fine, size, fine).mean(axis=(1, 3, 5))
    return (1 + (contrast - 1) * image).astype(np.float32)


def volume_ml(diameter_mm: float) -> float:
    return float(np.pi / 6 * diameter_mm**3 / 1000)


@pytest.mark.parametrize("diameter", [15.0, 20.0, 28.0, 40.0])
@pytest.mark.parametrize("spacing", [2.5, 4.0, 5.0])
def test_volume_of_blurred_spheres_within_ten_percent(diameter: float, spacing: float) -> None:
    shift = np.random.default_rng(int(diameter + spacing)).uniform(-0.5, 0.5, 3) * spacing
    image = spheres([diameter], [tuple(shift)], spacing, contrast=5.0)
    detected = label_components(image >= 2.6, spacing**3 / 1000, 0.1)
    found = np.count_nonzero(gradient_edges(image, detected, (spacing,) * 3).labels) * spacing**3 / 1000
    truth = volume_ml(diameter)
    assert found == pytest.approx(truth, rel=0.10)
    relative = np.count_nonzero(image >= 0.41 * image.max()) * spacing**3 / 1000
    assert abs(found - truth) < abs(relative - truth)


def test_volume_hardly_depends_on_the_detection_threshold() -> None:
    image = spheres([28.0], [(1.0, 0.5, -1.0)], 4.0, contrast=6.0)
    volumes = []
    for threshold in (1.8, 3.0, 4.5, 5.5):
        detected = label_components(image >= threshold, 0.064, 0.1)
        volumes.append(np.count_nonzero(gradient_edges(image, detected, (4.0,) * 3).labels) * 0.064)
    assert np.ptp(volumes) < 0.05 * volume_ml(28.0)


def test_voxels_need_not_be_cubes() -> None:
    image = spheres([28.0], [(0.0, 0.0, 0.0)], 2.0, contrast=5.0)
    flat = image[: image.shape[0] // 2 * 2].reshape(-1, 2, *image.shape[1:]).mean(axis=1)
    detected = label_components(flat >= 2.6, 0.016, 0.1)
    found = np.count_nonzero(gradient_edges(flat, detected, (4.0, 2.0, 2.0)).labels) * 0.016
    assert found == pytest.approx(volume_ml(28.0), rel=0.05)


def test_neighbours_keep_apart() -> None:
    image = spheres([24.0, 24.0], [(0.0, 0.0, -17.0), (0.0, 0.0, 17.0)], 4.0, contrast=6.0)
    detected = label_components(image >= 3.5, 0.064, 0.1)
    assert detected.max() == 2
    edges = gradient_edges(image, detected, (4.0,) * 3)
    assert edges.without_edge == ()
    for number in (1, 2):
        assert np.count_nonzero(edges.labels == number) * 0.064 == pytest.approx(volume_ml(24.0), rel=0.10)
    middle = image.shape[2] // 2
    assert len(np.unique(edges.labels[..., :middle])) == len(np.unique(edges.labels[..., middle + 1 :])) == 2


def test_lesion_at_the_border_of_the_image() -> None:
    image = spheres([28.0], [(0.0, 0.0, 0.0)], 4.0, contrast=5.0)
    image = image[image.shape[0] // 2 :]  # from the slice of the centre
    detected = label_components(image >= 2.6, 0.064, 0.1)
    found = np.count_nonzero(gradient_edges(image, detected, (4.0,) * 3).labels) * 0.064
    half_slice_ml = np.pi * 14**2 * 2 / 1000
    assert found == pytest.approx(volume_ml(28.0) / 2 + half_slice_ml, rel=0.05)


def test_plateau_without_edge_stays_as_detected() -> None:
    image = np.full((40, 40, 40), 5.0, dtype=np.float32)
    image += 0.05 * np.random.default_rng(0).standard_normal(image.shape).astype(np.float32)
    detected = np.zeros(image.shape, dtype=np.uint16)
    detected[18:22, 18:22, 18:22] = 1
    edges = gradient_edges(image, detected, (4.0,) * 3)
    assert edges.without_edge == (1,)
    assert np.array_equal(edges.labels, detected)


def test_nothing_detected_gives_nothing() -> None:
    empty = np.zeros((5, 6, 7), dtype=np.uint16)
    assert not gradient_edges(np.ones((5, 6, 7), dtype=np.float32), empty, (4.0,) * 3).labels.any()
