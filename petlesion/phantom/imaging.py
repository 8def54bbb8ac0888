"""From true activity to a PET image: the scanner's blur and sampling, then OSEM or its noise model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.acquisition import Acquisition
from petlesion.phantom.counts import BackgroundRatio, Prompts, expected_prompts
from petlesion.phantom.motion import Breathing
from petlesion.phantom.noise import EmFilter, converged_mean, local_statistics, log_normal_noise, relative_variance
from petlesion.phantom.projection import Lines, Projector, attenuation_map
from petlesion.phantom.reconstruction import compute_device, osem, resolution_model
from petlesion.phantom.sampling import (
    apply_along_z,
    apply_in_plane,
    averaging_matrix,
    resample,
    smooth,
    voxel_edges,
)
from petlesion.phantom.scanner import Scanner
from petlesion.volume import Grid

COARSE_MM = 10.0
"""Grid of the noise model's projections: V and L vary over centimetres."""
COARSE_ANGLES = 24
MARGIN_MM = 24.0
"""Air kept around the body, so that blur and periodic filters do not wrap."""
OSEM_ANGLES = 112
"""About this many angles over 180° are projected, rounded to a multiple of the subsets."""


class Reconstruction(StrEnum):
    """How images are made from activity."""

    FAST = "fast"
    """Linearised theory of OSEM: same local variance and correlation, no projections of the fine grid."""
    OSEM = "osem"
    """Poisson counts through a projection model and OSEM."""


@dataclass(frozen=True, eq=False)
class Scene:
    """What lies in the scanner.

    Attributes
    ----------
    activity_suv
        (z, y, x) float32 true SUV on `grid`.
    ct_hu
        (z, y, x) float32 HU on `grid`.
    grid
        Fine axial grid.
    moving
        (z, y, x) mask of what breathes, or None.
    breathing
        How it breathes, or None.
    ct_shift_mm
        Shift (x, y, z) of the CT that attenuation is corrected with; zero corrects exactly.
    """

    activity_suv: NDArray[np.float32]
    ct_hu: NDArray[np.float32]
    grid: Grid
    moving: NDArray[np.bool_] | None = None
    breathing: Breathing | None = None
    ct_shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, eq=False)
class _Slabs:
    """The scene cut to the body, along z already on the scanner's slices, in a slice still on the fine grid."""

    activity: NDArray[np.float32]
    mu: NDArray[np.float32]
    mu_corrected: NDArray[np.float32]
    fine: Grid
    image: Grid
    offset: tuple[int, int]


def acquire(
    scene: Scene,
    scanner: Scanner,
    acquisition: Acquisition,
    pet_grid: Grid,
    method: Reconstruction,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Scan a scene.

    Parameters
    ----------
    scene
        Activity and CT.
    scanner
        Preset.
    acquisition
        Dose and times.
    pet_grid
        Grid of the image, from `Scanner.grid_over`.
    method
        Noise model or OSEM.
    rng
        Source of all chance.

    Returns
    -------
    numpy.ndarray
        (z, y, x) float32 SUV on `pet_grid`, not negative.
    """
    slabs = _slabs(scene, scanner, acquisition, pet_grid)
    trues = acquisition.trues_per_suv_ml(scanner, pet_grid.shape[0])
    ratio = BackgroundRatio(
        scanner.scatter_fraction / (1.0 - scanner.scatter_fraction),
        scanner.randoms_fraction * acquisition.activity_mbq() / 200.0,
    )
    image = (_fast if method is Reconstruction.FAST else _osem)(slabs, scanner, acquisition, trues, ratio, rng)
    image = smooth(image, slabs.image, scanner.osem.post_fwhm_mm)
    full = np.zeros(pet_grid.shape, dtype=np.float32)
    (y, x), (_, ny, nx) = slabs.offset, slabs.image.shape
    full[:, y : y + ny, x : x + nx] = image
    return full


def _slabs(scene: Scene, scanner: Scanner, acquisition: Acquisition, pet_grid: Grid) -> _Slabs:
    """Cut to the body, blur and breathe along z."""
    body = scene.activity_suv.any(axis=0)
    rows, columns = (_around(body.any(axis=axis), scene.grid.spacing_mm[2 - axis]) for axis in (1, 0))
    fine = scene.grid.part((slice(0, scene.grid.shape[0]), rows, columns))
    activity, ct = scene.activity_suv[:, rows, columns], scene.ct_hu[:, rows, columns]
    source, target = voxel_edges(fine, 0), voxel_edges(pet_grid, 0)
    # With resolution recovery the axial blur belongs to the model as well and is applied there.
    axial_fwhm = _unmodelled_fwhm(scanner, acquisition)
    still = averaging_matrix(source, target, axial_fwhm)
    if scene.breathing is None or scene.moving is None:
        slabs = apply_along_z(activity, still)
    else:
        moving = scene.moving[:, rows, columns]
        slabs = apply_along_z(np.where(moving, 0, activity), still)
        slabs += apply_along_z(
            np.where(moving, activity, 0), scene.breathing.averaging_matrix(source, target, axial_fwhm)
        )
    mu = attenuation_map(ct)
    plain = averaging_matrix(source, target, 0.0)
    flat = Grid.from_geometry(
        (pet_grid.shape[0], *fine.shape[1:]),
        (pet_grid.spacing_mm[0], *fine.spacing_mm[1:]),
        (*fine.origin_mm[:2], pet_grid.origin_mm[2]),
    )
    mu_slabs = corrected = apply_along_z(mu, plain)
    if any(scene.ct_shift_mm):
        moved = Grid.from_geometry(fine.shape, fine.spacing_mm, np.add(fine.origin_mm, scene.ct_shift_mm))
        corrected = resample(mu, moved, flat)
    image, offset = _image_grid(pet_grid, fine)
    return _Slabs(slabs, mu_slabs, corrected, flat, image, offset)


def _around(occupied: NDArray[np.bool_], step_mm: float) -> slice:
    """Range of indices from the first to the last occupied one, with a margin."""
    where = np.flatnonzero(occupied)
    margin = int(np.ceil(MARGIN_MM / step_mm))
    return slice(max(int(where[0]) - margin, 0), min(int(where[-1]) + margin + 1, occupied.size))


def _image_grid(pet_grid: Grid, fine: Grid) -> tuple[Grid, tuple[int, int]]:
    """Part of the PET grid that covers the fine one, and its first row and column."""
    low = np.floor(pet_grid.to_index(fine.to_world((0, 0, 0))))[1:].astype(int)
    high = np.ceil(pet_grid.to_index(fine.to_world(np.array(fine.shape) - 1)))[1:].astype(int)
    low = np.maximum(low, 0)
    high = np.minimum(high, np.array(pet_grid.shape[1:]) - 1)
    block = (slice(0, pet_grid.shape[0]), slice(low[0], high[0] + 1), slice(low[1], high[1] + 1))
    return pet_grid.part(block), (int(low[0]), int(low[1]))


def _unmodelled_fwhm(scanner: Scanner, acquisition: Acquisition) -> float:
    """Blur that the reconstruction does not know of: positron range, and the scanner's without resolution recovery."""
    intrinsic = 0.0 if scanner.osem.psf else scanner.fwhm_mm
    return float(np.hypot(intrinsic, acquisition.nuclide.range_fwhm_mm))


def _columns(slabs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(slices, y, x) as (pixels, slices), the layout that sparse matrices multiply fast."""
    return np.ascontiguousarray(slabs.reshape(slabs.shape[0], -1).T)


def _slices(columns: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(pixels, slices) as (slices, y, x)."""
    return np.ascontiguousarray(columns.T).reshape(shape)


def _pixel_centers(grid: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """LPS coordinates of rows and columns, mm."""
    y, x = ((voxel_edges(grid, axis)[1:] + voxel_edges(grid, axis)[:-1]) / 2 for axis in (1, 2))
    return y, x


def _in_plane(slabs: NDArray[np.float32], source: Grid, target: Grid, fwhm_mm: float) -> NDArray[np.float32]:
    """Blur and average within slices."""
    y, x = (averaging_matrix(voxel_edges(source, axis), voxel_edges(target, axis), fwhm_mm) for axis in (1, 2))
    return apply_in_plane(slabs, y, x)


def _lines_around(grid: Grid, bin_mm: float, n_angles: int, n_subsets: int = 1) -> Lines:
    """Lines of response that cover a grid."""
    y, x = (voxel_edges(grid, axis) for axis in (1, 2))
    diameter = float(np.hypot(y[-1] - y[0], x[-1] - x[0]))
    n_bins = int(np.ceil(diameter / bin_mm)) + 2
    return Lines(((y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2), bin_mm, n_bins, n_angles, n_subsets)


def _prompts(
    projector: Projector,
    activity: NDArray[np.float32],
    mu: NDArray[np.float32],
    grid: Grid,
    trues: NDArray[np.float32],
    ratio: BackgroundRatio,
) -> Prompts:
    """Expected counts of slices given on the projector's pixels."""
    image_sum = projector.forward(_columns(activity))
    path_integral = projector.forward(_columns(mu))
    path_integral *= np.float32(projector.path_mm)
    return expected_prompts(projector, image_sum, path_integral, trues, grid.voxel_ml, ratio)


def _fast(
    slabs: _Slabs,
    scanner: Scanner,
    acquisition: Acquisition,
    trues: NDArray[np.float32],
    ratio: BackgroundRatio,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Image before the post-filter by the noise model."""
    mean = _in_plane(slabs.activity, slabs.fine, slabs.image, _unmodelled_fwhm(scanner, acquisition))
    extent = [
        int(np.ceil(n * step / COARSE_MM)) for n, step in zip(slabs.fine.shape, slabs.fine.spacing_mm, strict=True)
    ]
    first = np.array([voxel_edges(slabs.fine, axis)[0] for axis in (2, 1, 0)]) + COARSE_MM / 2
    coarse = Grid.from_geometry((extent[0], extent[1], extent[2]), (COARSE_MM,) * 3, first)
    activity = resample(slabs.activity, slabs.fine, coarse)
    projector = Projector.build(_lines_around(coarse, COARSE_MM, COARSE_ANGLES), *_pixel_centers(coarse))
    z = averaging_matrix(voxel_edges(slabs.fine, 0), voxel_edges(coarse, 0), 0.0)
    # Counts of a slice of the scanner, not of the thicker coarse one.
    thickness = np.float32(slabs.fine.spacing_mm[0] / COARSE_MM)
    trues_coarse = (z @ trues) * thickness
    prompts = _prompts(projector, activity, resample(slabs.mu, slabs.fine, coarse), coarse, trues_coarse, ratio)
    local = local_statistics(projector, prompts, _columns(activity))
    em = EmFilter(scanner.osem.updates, local.path_mm, scanner.fwhm_mm if scanner.osem.psf else 0.0)
    eigenvalue = em.eigenvalue(slabs.image)
    mean = converged_mean(mean, em, eigenvalue, local.body_suv)
    if slabs.mu_corrected is not slabs.mu:
        mean *= _correction_error(slabs, coarse, projector)
    variance_mm, slowness_mm = (
        resample(_slices(values, coarse.shape), coarse, slabs.image, (0.0, COARSE_MM, COARSE_MM))
        for values in (local.variance_mm, local.slowness_mm)
    )
    variance = relative_variance(em, mean, variance_mm, slowness_mm, slabs.image)
    return log_normal_noise(mean, variance, slabs.image, em.noise_power_mm2(eigenvalue), rng)


def _correction_error(slabs: _Slabs, coarse: Grid, projector: Projector) -> NDArray[np.float32]:
    """Factor by which attenuation correction with a shifted CT is wrong, on the image grid."""
    transmission = []
    for mu in (slabs.mu, slabs.mu_corrected):
        path = projector.forward(_columns(resample(mu, slabs.fine, coarse)))
        transmission.append(projector.backward(np.exp(-path * np.float32(projector.path_mm))))
    factor = _slices(transmission[0] / np.maximum(transmission[1], 1e-6), coarse.shape)
    return resample(factor, coarse, slabs.image, (0.0, COARSE_MM, COARSE_MM), outside=1.0)


def _osem(
    slabs: _Slabs,
    scanner: Scanner,
    acquisition: Acquisition,
    trues: NDArray[np.float32],
    ratio: BackgroundRatio,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Image before the post-filter by projection, Poisson noise and OSEM."""
    subsets = scanner.osem.subsets
    angles = subsets * max(1, round(OSEM_ANGLES / subsets))
    lines = _lines_around(slabs.fine, scanner.bin_mm, angles, subsets)
    projector = Projector.build(lines, *_pixel_centers(slabs.fine))
    blurred = _in_plane(
        slabs.activity, slabs.fine, slabs.fine, float(np.hypot(scanner.fwhm_mm, acquisition.nuclide.range_fwhm_mm))
    )
    blur = None
    if scanner.osem.psf:
        blur = resolution_model(lines, slabs.image.shape[0], slabs.image.spacing_mm[0], scanner.fwhm_mm)
        blurred = apply_along_z(blurred, blur[1])
    true = _prompts(projector, blurred, slabs.mu, slabs.fine, trues, ratio)
    weight = true.weight
    if slabs.mu_corrected is not slabs.mu:
        weight = _prompts(projector, blurred, slabs.mu_corrected, slabs.fine, trues, ratio).weight
    counts = true.measure(rng)
    # Counts of a line per SUV and pixel scale with the pixel.
    weight = weight * np.float32(slabs.image.voxel_ml / slabs.fine.voxel_ml)
    image_projector = Projector.build(lines, *_pixel_centers(slabs.image))
    image = osem(
        image_projector,
        counts,
        weight,
        true.background,
        iterations=scanner.osem.iterations,
        blur=blur,
        device=compute_device(),
    )
    return _slices(image, slabs.image.shape)
