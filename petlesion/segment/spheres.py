"""Spherical reference regions: where they fit evenly into an organ, and the voxels inside them."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.report import Sphere
from petlesion.segment.coarse import Coarse
from petlesion.volume import Grid, Volume

MAX_VARIATION = 0.25
"""Coefficient of variation (on about 4 mm voxels) above which a sphere is no even tissue: a lesion, an edge."""
EDGE_MARGINS_MM = (8.0, 4.0, 0.0)
"""Distance kept from the organ's edge, mm: the widest that leaves room is taken (partial volume reaches some 6 mm)."""
DEPTH_BONUS_PER_MM = 0.001
"""Worth of a millimetre away from the edge, as relative uptake: decides between places that are equally even."""
SEPARATIONS = (2.0, 1.5)
"""Distance of sphere centres in radii: apart; overlapping by a sixth of their volume where the organ is small."""


def sphere_values(volume: Volume, spheres: list[Sphere]) -> NDArray[np.float64]:
    """Values of the voxels whose centre lies in any of the spheres.

    Parameters
    ----------
    volume
        Any volume.
    spheres
        LPS centres and radii, mm.

    Returns
    -------
    numpy.ndarray
        (n,), each voxel once; a sphere smaller than the voxels gives the voxel it lies in.
    """
    inside = np.unique(np.concatenate([voxels_in(volume.grid, sphere) for sphere in spheres]))
    return np.asarray(volume.array[np.unravel_index(inside, volume.array.shape)], dtype=np.float64)


def voxels_in(grid: Grid, sphere: Sphere) -> NDArray[np.intp]:
    """Flat indices of the voxels of a grid whose centre lies in a sphere, at least that of the voxel at its centre."""
    center = grid.to_index(sphere.center_mm)
    shape = np.array(grid.shape)
    # a box around the sphere, in voxels of a grid whose axes need not be orthogonal
    reach = sphere.radius_mm * np.linalg.norm(np.linalg.inv(grid.affine[:3, :3]), axis=1)
    low = np.clip(np.floor(center - reach), 0, shape - 1).astype(int)
    high = np.clip(np.ceil(center + reach), 0, shape - 1).astype(int)
    index = np.moveaxis(np.indices(high - low + 1), 0, -1).reshape(-1, 3) + low
    distance = np.linalg.norm(grid.to_world(index) - np.asarray(sphere.center_mm), axis=1)
    chosen = index[distance <= sphere.radius_mm]
    if len(chosen) == 0:
        chosen = index[[int(np.argmin(distance))]]
    return np.asarray(np.ravel_multi_index(tuple(chosen.T), grid.shape))


def place_spheres(
    uptake: Coarse, grid: Grid, organ: NDArray[np.bool_], count: int, radius_mm: float, right_half: bool = False
) -> list[Sphere]:
    """Place spheres where an organ is most even and most like the rest of itself.

    Parameters
    ----------
    uptake
        PET at about 4 mm.
    grid
        Of the PET that `uptake` was averaged from, in canonical orientation.
    organ
        (z, y, x) mask on `uptake`.
    count, radius_mm
        How many, and of which radius.
    right_half
        Keep to the right of the organ's centre (the right lobe of the liver).

    Returns
    -------
    list of Sphere
        `count` of them, or none where the organ has no room for so many.
    """
    box = _padded_box(organ, radius_mm, uptake.spacing_mm)
    values, mask = uptake.array[box], organ[box]
    depth = _depth(mask, uptake.spacing_mm)
    core = depth > min(EDGE_MARGINS_MM[0], float(depth.max()) / 2)
    typical = float(np.median(values[core]))
    mean, variation = _ball_statistics(values, radius_mm, uptake.spacing_mm)
    # Less variation than usual earns nothing: the quietest spots would bias the SD, which is part of the threshold.
    usual = float(np.percentile(variation[core], 25))
    cost = np.maximum(variation - usual, 0.0) + np.abs(mean / typical - 1.0) - DEPTH_BONUS_PER_MM * depth
    cost[variation > MAX_VARIATION] = np.inf
    if right_half:
        cost[:, :, int(np.mean(np.nonzero(mask)[2])) + 1 :] = np.inf
    for margin, separation in product(EDGE_MARGINS_MM, SEPARATIONS):
        room = np.where(depth >= radius_mm + margin, cost, np.inf)
        chosen = _choose(room, count, separation * radius_mm, uptake.spacing_mm)
        if len(chosen) == count:
            origin = np.array([axis.start for axis in box])
            centers = grid.to_world(uptake.fine_index(np.array(chosen) + origin))
            return [Sphere((float(x), float(y), float(z)), radius_mm) for x, y, z in centers.round(1)]
    return []


def _padded_box(mask: NDArray[np.bool_], pad_mm: float, spacing_mm: tuple[float, ...]) -> tuple[slice, slice, slice]:
    z, y, x = ndimage.find_objects(mask.astype(np.int8))[0]
    pad = [int(np.ceil(pad_mm / spacing)) + 1 for spacing in spacing_mm]
    padded = [slice(max(0, axis.start - n), axis.stop + n) for axis, n in zip((z, y, x), pad, strict=True)]
    return padded[0], padded[1], padded[2]


def _depth(mask: NDArray[np.bool_], spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Distance to the nearest voxel outside the organ or the image, mm."""
    padded = np.pad(mask, 1)
    return np.asarray(ndimage.distance_transform_edt(padded, sampling=spacing_mm)[1:-1, 1:-1, 1:-1])


def _ball_statistics(
    values: NDArray[np.float32], radius_mm: float, spacing_mm: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and coefficient of variation in a ball around every voxel."""
    reach = [int(radius_mm // spacing) for spacing in spacing_mm]
    offsets = np.meshgrid(*[np.arange(-n, n + 1) * s for n, s in zip(reach, spacing_mm, strict=True)], indexing="ij")
    ball = (np.square(offsets).sum(axis=0) <= radius_mm**2).astype(np.float64)
    ball /= ball.sum()
    wide = values.astype(np.float64)
    mean = ndimage.convolve(wide, ball, mode="nearest")
    variance = np.maximum(ndimage.convolve(wide**2, ball, mode="nearest") - mean**2, 0.0)
    return mean, np.sqrt(variance) / np.maximum(mean, np.finfo(np.float32).tiny)


def _choose(
    cost: NDArray[np.float64], count: int, separation_mm: float, spacing_mm: tuple[float, ...]
) -> list[NDArray[np.intp]]:
    """Voxels of lowest cost, each at least `separation_mm` from those before."""
    candidates = np.argwhere(np.isfinite(cost))
    order = np.argsort(cost[tuple(candidates.T)], kind="stable")
    candidates = candidates[order]
    chosen: list[NDArray[np.intp]] = []
    while len(chosen) < count and len(candidates):
        chosen.append(candidates[0])
        distance = np.linalg.norm((candidates - candidates[0]) * np.array(spacing_mm), axis=1)
        candidates = candidates[distance >= separation_mm]
    return chosen
