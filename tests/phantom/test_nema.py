"""NEMA image quality phantom: geometry, and recovery coefficients against the EARL bands."""

from __future__ import annotations

import numpy as np
import pytest

from petlesion.phantom.acquisition import Acquisition
from petlesion.phantom.imaging import Reconstruction, acquire
from petlesion.phantom.nema import (
    EARL1_A50,
    EARL1_MAX,
    SPHERE_DIAMETERS_MM,
    NemaPhantom,
    Recovery,
    nema_phantom,
    recovery_coefficients,
)
from petlesion.phantom.scanner import SCANNERS, ScannerName
from petlesion.tracers import TracerName
from petlesion.volume import Volume


@pytest.fixture(scope="module")
def phantom() -> NemaPhantom:
    return nema_phantom()


def recoveries(phantom: NemaPhantom, name: ScannerName) -> tuple[Recovery, ...]:
    """Scan as EARL asks: 2 and 20 kBq/mL, 5 min a bed."""
    scanner = SCANNERS[name]
    grid = scanner.grid_over(phantom.scene.grid)
    acquisition = Acquisition(TracerName.F18_FDG, 2.0 * 60.0, 60.0, 0.0, 300.0)
    image = acquire(phantom.scene, scanner, acquisition, grid, Reconstruction.FAST, np.random.default_rng(1))
    return recovery_coefficients(Volume(image, grid), phantom)


def test_spheres_hold_their_volume(phantom: NemaPhantom) -> None:
    activity, grid = phantom.scene.activity_suv, phantom.scene.grid
    excess = (np.clip(activity - 1.0, 0.0, None) / (phantom.contrast - 1.0)).sum(dtype=np.float64) * grid.voxel_ml
    expected = sum(4 / 3 * np.pi * (d / 20) ** 3 for d in SPHERE_DIAMETERS_MM)
    assert excess == pytest.approx(expected, rel=0.01)
    fill_l = np.count_nonzero(activity > 0) * grid.voxel_ml / 1000
    assert 9.0 < fill_l < 10.5  # the empty phantom holds 9.7 L


def test_perfect_image_recovers_all_spheres(phantom: NemaPhantom) -> None:
    for row in recovery_coefficients(Volume(phantom.scene.activity_suv, phantom.scene.grid), phantom):
        assert row.maximum == pytest.approx(1.0, abs=0.01)
        assert row.a50 > 0.85


def test_earl1_preset_lies_inside_the_bands(phantom: NemaPhantom) -> None:
    for row, a50, maximum in zip(recoveries(phantom, ScannerName.EARL1), EARL1_A50, EARL1_MAX, strict=True):
        assert a50[0] <= row.a50 <= a50[1], row
        assert maximum[0] <= row.maximum <= maximum[1], row


def test_resolution_recovery_lies_above_the_bands(phantom: NemaPhantom) -> None:
    for row, a50, maximum in zip(recoveries(phantom, ScannerName.PSF), EARL1_A50, EARL1_MAX, strict=True):
        assert row.a50 > a50[1], row
        assert row.maximum > maximum[1], row
