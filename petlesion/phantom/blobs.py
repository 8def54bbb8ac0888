"""Outlines of lesions and foci: ellipsoid, lobulated, spiculated, confluent, grown to an exact volume."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.phantom.truth import Blob, Growth, Shape
from petlesion.volume import Grid

FINEST_MM, COARSEST_MM = 0.6, 2.0
"""Voxel edge of a shape's own grid: a seventh of its radius, within these bounds, mm."""

Room = Callable[[NDArray[np.float64]], NDArray[np.bool_]]
"""Whether LPS points (n, 3) in mm may belong to the shape."""


def radius_mm(volume_ml: float) -> float:
    """Radius of the sphere of a volume, mm."""
    return float((volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3))


def grow(blob: Blob, room: Room | None = None) -> tuple[Shape, Shape | None]:
    """Make a shape from its recipe.

    Parameters
    ----------
    blob
        Recipe.
    room
        Where it may grow; it fills its volume elsewhere when one side is closed, and stays smaller when all are.

    Returns
    -------
    shape, core
        The shape, connected, and its cold core or None. The shape is empty when there is no room at all.
    """
    rng = np.random.default_rng(blob.seed)
    radius = radius_mm(blob.volume_ml)
    step = float(np.clip(radius / 7, FINEST_MM, COARSEST_MM))
    reach = {Growth.ELLIPSOID: 1.9, Growth.LOBULATED: 2.1, Growth.SPICULATED: 2.2, Growth.CONFLUENT: 2.8}[blob.growth]
    half = int(np.ceil(reach * radius / step)) + 1
    grid = Grid.from_geometry((2 * half + 1,) * 3, (step,) * 3, np.array(blob.center_mm) - step * half)
    axis = (np.arange(2 * half + 1) - half) * step / radius
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    offset = np.stack([x, y, z], axis=-1)
    level = _level(blob, offset, rng)
    edge = np.ones(level.shape, dtype=np.bool_)
    edge[1:-1, 1:-1, 1:-1] = False
    level[edge] = np.inf
    if room is not None:
        inside = np.flatnonzero(np.isfinite(level))
        points = offset.reshape(-1, 3)[inside] * radius + np.array(blob.center_mm)
        level.ravel()[inside[~room(points)]] = np.inf
    shape = _in_one_piece(level, blob.volume_ml / grid.voxel_ml, half)
    if not blob.necrosis:
        return Shape(grid, shape), None
    # The core is what lies deepest: the same level set, further in.
    core = _lowest(np.where(shape, level, np.inf), blob.necrosis * np.count_nonzero(shape))
    return Shape(grid, shape), Shape(grid, core)


def _level(blob: Blob, offset: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Function of the offset (in radii) whose level sets are the outline at every size."""
    if blob.growth is Growth.ELLIPSOID:
        return _ellipsoid(offset, rng, blob.flatness)
    if blob.growth is Growth.SPICULATED:
        base = _ellipsoid(offset, rng, blob.flatness)
        distance = np.linalg.norm(offset, axis=-1) + 1e-9
        direction = offset / distance[..., None]
        bumps = np.zeros(distance.shape)
        for _ in range(7):
            wave = rng.normal(0, 4.2, 3)
            bumps += np.sin(direction @ wave + rng.uniform(0, 2 * np.pi))
        return np.asarray(base * (1 - 0.11 * bumps))
    count = int(rng.integers(2, 5)) if blob.growth is Growth.LOBULATED else int(rng.integers(6, 13))
    # Each deposit touches an earlier one, so that they merge as they grow; together they stay around the centre.
    centers = [np.zeros(3)]
    for _ in range(count - 1):
        direction = rng.standard_normal(3)
        step = rng.uniform(0.45, 0.75) * direction / np.linalg.norm(direction)
        centers.append((centers[int(rng.integers(len(centers)))] + step).clip(-1.3, 1.3))
    level = np.full(offset.shape[:-1], np.inf)
    for center in centers:
        size = rng.uniform(0.75, 1.0)
        level = np.minimum(level, _ellipsoid((offset - center) / size, rng, blob.flatness) * size)
    return level


def _ellipsoid(offset: NDArray[np.float64], rng: np.random.Generator, flatness: float) -> NDArray[np.float64]:
    axes = np.array([1.0, rng.uniform(0.7, 1.0) * flatness**0.5, rng.uniform(0.6, 1.0) * flatness])
    axes /= np.prod(axes) ** (1 / 3)
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    return np.asarray(np.linalg.norm((offset @ turn) / axes, axis=-1))


def _lowest(level: NDArray[np.float64], count: float) -> NDArray[np.bool_]:
    """The `count` voxels of lowest level (fewer where fewer are finite)."""
    finite = np.count_nonzero(np.isfinite(level))
    wanted = min(round(count), finite)
    if wanted == 0:
        return np.zeros(level.shape, dtype=np.bool_)
    limit = np.partition(level.ravel(), wanted - 1)[wanted - 1]
    return np.asarray(level <= limit)


def _in_one_piece(level: NDArray[np.float64], count: float, half: int) -> NDArray[np.bool_]:
    """The connected part of a level set with about `count` voxels, found by raising the level where pieces drop off."""
    wanted = count
    for _ in range(5):
        mask = _largest(_lowest(level, wanted), half)
        found = int(np.count_nonzero(mask))
        if found > count:
            # A piece joined: less of the joined whole.
            return _largest(_lowest(np.where(mask, level, np.inf), count), half)
        if found >= 0.97 * count or found == 0:
            break
        wanted *= count / found
    return mask


def _largest(mask: NDArray[np.bool_], half: int) -> NDArray[np.bool_]:
    """The connected part that holds the centre, else the largest one."""
    parts, count = ndimage.label(mask)
    if count <= 1:
        return mask
    home = parts[half, half, half]
    if home == 0:
        home = int(np.argmax(np.bincount(parts.ravel())[1:])) + 1
    return np.asarray(parts == home)
