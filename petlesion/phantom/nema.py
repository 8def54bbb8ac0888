"""NEMA NU 2 image quality phantom (IEC body phantom): six hot spheres, lung insert, and their recovery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.phantom.imaging import Scene
from petlesion.volume import Grid, Volume

SPHERE_DIAMETERS_MM = (37.0, 28.0, 22.0, 17.0, 13.0, 10.0)
"""Inner diameters of the six spheres (NEMA NU 2-2018, section 7)."""
SPHERE_RADIUS_MM = 57.2
"""Distance of the sphere centres from the axis of the phantom."""
LUNG_DIAMETER_MM = 50.0
LENGTH_MM = 186.0
"""Inner length of the phantom: it holds 9.7 L without spheres and insert."""
SPHERES_FROM_LID_MM = 70.0
EARL_CONTRAST = 10.0
"""Sphere to background ratio of the EARL accreditation fill: 20 and 2 kBq/mL."""

EARL1_A50 = ((0.76, 0.89), (0.72, 0.85), (0.63, 0.78), (0.57, 0.73), (0.44, 0.60), (0.27, 0.43))
"""EARL1 limits of the recovery of the mean in a 50 % background-corrected contour (EARL, 2017), largest first."""
EARL1_MAX = ((0.95, 1.16), (0.91, 1.13), (0.83, 1.09), (0.73, 1.01), (0.59, 0.85), (0.34, 0.57))
"""EARL1 limits of the recovery of the maximum (EARL, 2017), largest sphere first."""

_SUBSAMPLES = 4
_LUNG_HU = -680.0


@dataclass(frozen=True, eq=False)
class NemaPhantom:
    """The filled phantom.

    Attributes
    ----------
    scene
        Activity as SUV (background 1) and HU on a fine grid.
    centers_mm
        (6, 3) LPS centres (x, y, z) of the spheres, largest first.
    contrast
        True activity of the spheres, background 1.
    """

    scene: Scene
    centers_mm: NDArray[np.float64]
    contrast: float


def nema_phantom(contrast: float = EARL_CONTRAST, spacing_mm: float = 2.0) -> NemaPhantom:
    """Build the phantom: body, lung insert and spheres, with partial volumes at their borders.

    Parameters
    ----------
    contrast
        Activity of the spheres over that of the background.
    spacing_mm
        Voxel edge.
    """
    size = np.array([LENGTH_MM + 40.0, 260.0, 330.0])
    shape = np.ceil(size / spacing_mm).astype(int)
    first = -(shape[::-1] - 1) / 2 * spacing_mm
    grid = Grid.from_geometry((int(shape[0]), int(shape[1]), int(shape[2])), (spacing_mm,) * 3, first)
    z, y, x = (first[2 - axis] + spacing_mm * np.arange(shape[axis]) for axis in range(3))
    inside = np.abs(z)[:, None, None] < LENGTH_MM / 2
    body = (_body_section(y[:, None], x) & inside).astype(np.float32)
    lung = ((y[:, None] ** 2 + x**2 < (LUNG_DIAMETER_MM / 2) ** 2) & inside).astype(np.float32)
    activity = body * (1 - lung)
    center_z = LENGTH_MM / 2 - SPHERES_FROM_LID_MM
    angles = np.deg2rad(60.0 * np.arange(6))
    centers = np.stack(
        [SPHERE_RADIUS_MM * np.cos(angles), SPHERE_RADIUS_MM * np.sin(angles), np.full(6, center_z)], axis=1
    )
    for center, diameter in zip(centers, SPHERE_DIAMETERS_MM, strict=True):
        activity += np.float32(contrast - 1) * sphere_occupancy(grid, center, diameter / 2)
    hu = np.where(lung > 0, np.float32(_LUNG_HU), np.where(body > 0, np.float32(0), np.float32(-1000)))
    return NemaPhantom(Scene(activity, hu, grid), centers, contrast)


def _body_section(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Cross-section: a half disc of 147 mm radius above, 77 mm rounded corners below (NEMA NU 2, figure 7-1)."""
    top = (y <= 35.0) & (x**2 + (y - 35.0) ** 2 < 147.0**2)
    corner = (np.abs(x) - 70.0).clip(min=0.0) ** 2 + (y - 35.0) ** 2 < 77.0**2
    return np.asarray(top | ((y > 35.0) & corner))


def sphere_occupancy(grid: Grid, center_mm: NDArray[np.float64], radius_mm: float) -> NDArray[np.float32]:
    """Fraction of every voxel of an axial grid that a sphere fills, (z, y, x) float32."""
    occupancy = np.zeros(grid.shape, dtype=np.float32)
    reach = np.array([radius_mm, radius_mm, radius_mm])
    low = np.maximum(np.floor(grid.to_index(np.asarray(center_mm) - reach)).astype(int), 0)
    high = np.minimum(np.ceil(grid.to_index(np.asarray(center_mm) + reach)).astype(int), np.array(grid.shape) - 1)
    offsets = (np.arange(_SUBSAMPLES) + 0.5) / _SUBSAMPLES - 0.5
    center = grid.to_index(center_mm)
    squares = [
        (((np.arange(low[a], high[a] + 1)[:, None] + offsets).ravel() - center[a]) * grid.spacing_mm[a]) ** 2
        for a in range(3)
    ]
    hits = squares[0][:, None, None] + squares[1][:, None] + squares[2] < radius_mm**2
    nz, ny, nx = high - low + 1
    block = hits.reshape(nz, _SUBSAMPLES, ny, _SUBSAMPLES, nx, _SUBSAMPLES).mean(axis=(1, 3, 5), dtype=np.float32)
    occupancy[low[0] : high[0] + 1, low[1] : high[1] + 1, low[2] : high[2] + 1] = block
    return occupancy


@dataclass(frozen=True)
class Recovery:
    """Recovery coefficients of one sphere: measured over true activity."""

    diameter_mm: float
    a50: float
    maximum: float


def recovery_coefficients(image: Volume, phantom: NemaPhantom) -> tuple[Recovery, ...]:
    """Measure all spheres as EARL does.

    Parameters
    ----------
    image
        PET in which the background of the phantom is 1.
    phantom
        What was scanned.

    Returns
    -------
    tuple of Recovery
        Largest sphere first. A50 is the mean of the voxels connected to the maximum above half way between it and
        the background (Boellaard et al., EJNMMI 2015).
    """
    rows = []
    for center, diameter in zip(phantom.centers_mm, SPHERE_DIAMETERS_MM, strict=True):
        around = sphere_occupancy(image.grid, center, diameter / 2 + 8.0) > 0
        peak = np.argmax(np.where(around, image.array, -np.inf))
        maximum = float(image.array.flat[peak])
        contour, _ = ndimage.label(around & (image.array >= 0.5 * (maximum + 1.0)))
        voxels = image.array[contour == contour.flat[peak]]
        rows.append(Recovery(diameter, float(voxels.mean()) / phantom.contrast, maximum / phantom.contrast))
    return tuple(rows)
