"""Blur and resample between axial grids in one exact step: Gaussian point spread, then the mean over each voxel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from petlesion.volume import Grid

SIGMA_PER_FWHM = 1.0 / (2.0 * np.sqrt(2.0 * np.log(2.0)))
"""Standard deviation of a Gaussian of unit full width at half maximum."""


def voxel_edges(grid: Grid, axis: int) -> NDArray[np.float64]:
    """World coordinates (mm) of the faces between voxels along one axis of an axial grid, (n + 1,) ascending.

    Parameters
    ----------
    grid
        Axial, its axes along x, y, z of the patient.
    axis
        0, 1 or 2: z, y or x.

    Raises
    ------
    ValueError
        If the grid is oblique or flipped.
    """
    step = float(grid.affine[2 - axis, axis])
    if not np.isclose(step, grid.spacing_mm[axis]):
        raise ValueError("simulation needs axial grids with slices from feet to head")
    return np.asarray(grid.origin_mm[2 - axis] + step * (np.arange(grid.shape[axis] + 1) - 0.5))


def averaging_matrix(source: NDArray[np.float64], target: NDArray[np.float64], fwhm_mm: float) -> NDArray[np.float32]:
    """Matrix that blurs along one axis and averages over other voxels.

    A source voxel is a box of constant activity. Its weight on a target voxel is the integral over the target of the
    box convolved with a Gaussian, divided by the target's width: exact, so that no activity is lost or aliased
    whatever the two spacings are.

    Parameters
    ----------
    source, target
        Faces of the voxels, (n + 1,) and (m + 1,) ascending, mm.
    fwhm_mm
        Width of the Gaussian; 0 averages only.

    Returns
    -------
    numpy.ndarray
        (m, n) float32.
    """
    sigma = max(fwhm_mm * SIGMA_PER_FWHM, 1e-3)
    u = (target[:, None] - source) / sigma
    primitive = u * ndtr(u) + np.exp(-0.5 * u * u) / np.sqrt(2.0 * np.pi)  # integral of the normal distribution
    overlap = np.diff(primitive[:, :-1] - primitive[:, 1:], axis=0)
    weights = np.maximum(sigma * overlap / np.diff(target)[:, None], 0.0)  # rounding can leave -1e-14
    return np.asarray(weights, dtype=np.float32)


def resample(
    array: NDArray[np.float32],
    source: Grid,
    target: Grid,
    fwhm_mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
    outside: float = 0.0,
) -> NDArray[np.float32]:
    """Blur a volume and average it over the voxels of another axial grid.

    Parameters
    ----------
    array
        (z, y, x) on `source`.
    source, target
        Axial grids.
    fwhm_mm
        Gaussian along (z, y, x), mm.
    outside
        Value beyond `source`.

    Returns
    -------
    numpy.ndarray
        (z, y, x) float32 on `target`.
    """
    matrices = [
        averaging_matrix(voxel_edges(source, axis), voxel_edges(target, axis), fwhm_mm[axis]) for axis in range(3)
    ]
    if outside == 0.0:
        return apply_separable(array, matrices)
    resampled = apply_separable(array - np.float32(outside), matrices)
    resampled += np.float32(outside)
    return resampled


def apply_separable(array: NDArray[np.float32], matrices: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Apply one matrix (target, source) along each of (z, y, x)."""
    return apply_in_plane(apply_along_z(array, matrices[0]), matrices[1], matrices[2])


def apply_along_z(array: NDArray[np.float32], along_z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a matrix (target slices, source slices) along z."""
    slices, rows, columns = array.shape
    flat = np.ascontiguousarray(array, dtype=np.float32).reshape(slices, rows * columns)
    return np.asarray((along_z @ flat).reshape(-1, rows, columns))


def apply_in_plane(
    array: NDArray[np.float32], along_y: NDArray[np.float32], along_x: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Apply matrices (target, source) along y and x of every slice."""
    return np.asarray(np.matmul(np.matmul(along_y, array), along_x.T))


def smooth(array: NDArray[np.float32], grid: Grid, fwhm_mm: tuple[float, float, float]) -> NDArray[np.float32]:
    """Gaussian filter of a volume on its own grid, as a scanner's post-filter.

    Parameters
    ----------
    array
        (z, y, x) float32.
    grid
        Grid of `array`.
    fwhm_mm
        Width along (z, y, x), mm; axes with 0 are left alone.
    """
    from scipy.ndimage import gaussian_filter

    sigma = [width * SIGMA_PER_FWHM / step for width, step in zip(fwhm_mm, grid.spacing_mm, strict=True)]
    return np.asarray(gaussian_filter(array, sigma, output=np.float32, mode="nearest", truncate=3.0))
