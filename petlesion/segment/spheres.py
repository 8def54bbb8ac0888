"""Spherical reference regions: where they fit evenly into an organ, and the voxels inside them."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.report import Sphere
from petlesion.segment.coarse import Coarse
from petlesion.segment.components import grow_box, margin_voxels
from petlesion.volume import Box, Grid, Volume

SPHERE_GRID_MM = 4.0
"""Voxel edge on which spheres are placed, mm: the resolution of PET."""
MAX_VARIATION = 0.25
"""Coefficient of variation (on that grid) above which a sphere is no even tissue: a lesion, an edge."""
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
    pet: Volume,
    region: NDArray[np.bool_],
    blocks: tuple[int, int, int],
    count: int,
    radius_mm: float,
    *,
    organ: NDArray[np.bool_] | None = None,
    right_half: bool = False,
) -> list[Sphere]:
    """Place spheres where an organ is most even and most like the rest of itself.

    Parameters
    ----------
    pet
        SUVbw, in canonical orientation.
    region
        (z, y, x) mask of the organ on blocks of PET voxels.
    blocks
        Voxels per block along (z, y, x).
    count, radius_mm
        How many, and of which radius.
    organ
        (z, y, x) mask on the PET that the spheres may not leave.
    right_half
        Keep to the right of the organ's centre (the right lobe of the liver).

    Returns
    -------
    list of Sphere
        `count` of them, or none where the organ has no room for so many.
    """
    box = _padded_box(region, blocks, radius_mm, pet)
    uptake = Coarse.of(pet.array[box], pet.grid.spacing_mm, SPHERE_GRID_MM)
    mask = _on_uptake(region, blocks, box, uptake)
    if organ is not None:
        mask &= Coarse.of(organ[box], pet.grid.spacing_mm, SPHERE_GRID_MM).array > 0.5
    if not mask.any():
        return []
    depth = _depth(mask, uptake.spacing_mm)
    cost = _cost(uptake, depth, radius_mm)
    if right_half:
        cost[:, :, int(np.mean(np.nonzero(mask)[2])) + 1 :] = np.inf
    for margin, separation in product(EDGE_MARGINS_MM, SEPARATIONS):
        room = np.where(depth >= radius_mm + margin, cost, np.inf)
        chosen = _choose(room, count, separation * radius_mm, uptake.spacing_mm)
        if len(chosen) == count:
            index = uptake.fine_index(np.array(chosen)) + [axis.start for axis in box]
            return [Sphere((float(x), float(y), float(z)), radius_mm) for x, y, z in pet.grid.to_world(index).round(1)]
    return []


def _padded_box(region: NDArray[np.bool_], blocks: tuple[int, int, int], pad_mm: float, pet: Volume) -> Box:
    """The box of PET voxels that holds a region of blocks and the spheres around its voxels."""
    z, y, x = ndimage.find_objects(region.astype(np.int8))[0]
    z, y, x = (slice(axis.start * n, axis.stop * n) for axis, n in zip((z, y, x), blocks, strict=True))
    return grow_box((z, y, x), margin_voxels(pad_mm, pet.grid.spacing_mm), pet.array.shape)


def _on_uptake(region: NDArray[np.bool_], blocks: tuple[int, int, int], box: Box, uptake: Coarse) -> NDArray[np.bool_]:
    """The region of blocks on the voxels of `uptake`, which was averaged from `box`."""
    index = []
    for axis, (bounds, block, factor) in enumerate(zip(box, blocks, uptake.factors, strict=True)):
        voxel = bounds.start + np.arange(uptake.array.shape[axis]) * factor + factor // 2
        index.append(np.minimum(voxel // block, region.shape[axis] - 1))
    return np.asarray(region[np.ix_(*index)])


def _cost(uptake: Coarse, depth: NDArray[np.float64], radius_mm: float) -> NDArray[np.float64]:
    """How unlike the organ a sphere around each voxel is; infinite where it is not even."""
    core = depth > min(EDGE_MARGINS_MM[0], float(depth.max()) / 2)
    typical = float(np.median(uptake.array[core]))
    mean, variation = _ball_statistics(uptake.array, radius_mm, uptake.spacing_mm)
    # Less variation than usual earns nothing: the quietest spots would bias the SD, which is part of the threshold.
    usual = float(np.percentile(variation[core], 25))
    cost = np.maximum(variation - usual, 0.0) + np.abs(mean / typical - 1.0) - DEPTH_BONUS_PER_MM * depth
    return np.where(variation <= MAX_VARIATION, cost, np.inf)


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
