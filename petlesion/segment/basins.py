"""Basins of attraction: every voxel belongs to the local maximum that steepest ascent leads to.

Within a basin, the voxels at or above any level are connected to its maximum. The connected component of an image at
a level is therefore a union of basins, cut at that level, whose saddles reach the level: contours at a fraction of
hundreds of maxima follow from one pass over the voxels. By hand rather than with `skimage.segmentation.flood`, which
passes over the volume once for every maximum, or `skimage.morphology.max_tree`, whose 64-bit trees exceed memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Basins:
    """The basins of the voxels of a mask, and the saddles between them.

    Attributes
    ----------
    voxels
        (m,) flat indices of the voxels, increasing.
    values
        (m,) float32 of these voxels.
    basin
        (m,) int32: basin of each voxel, 0..n-1.
    peaks
        (n,) position in `voxels` of each basin's maximum.
    neighbours, saddles
        Adjacent basins and the heights of the saddles to them, of all basins one after the other.
    starts
        (n + 1,) where each basin's part of `neighbours` begins.
    """

    voxels: NDArray[np.int64]
    values: NDArray[np.float32]
    basin: NDArray[np.int32]
    peaks: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    saddles: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, image: NDArray[np.float32], mask: NDArray[np.bool_]) -> Basins:
        """Basins of `image` among the voxels of `mask` (18-connected); of equal values the later voxel is higher."""
        voxels = np.flatnonzero(mask)
        values = np.ascontiguousarray(image[mask], dtype=np.float32)
        rank = np.full([size + 2 for size in mask.shape], -1, dtype=np.int32)  # a border: no neighbour wraps around
        inner = rank[1:-1, 1:-1, 1:-1]
        inner[mask] = np.arange(len(voxels), dtype=np.int32)
        flat = rank.ravel()
        padded = np.ravel_multi_index([axis + 1 for axis in np.unravel_index(voxels, mask.shape)], rank.shape)
        strides = (rank.shape[1] * rank.shape[2], rank.shape[2], 1)
        basin, peaks = _ascend(flat, padded, values, strides)
        return cls(voxels, values, basin, peaks, *_saddles(flat, padded, values, basin, len(peaks), strides))

    def connected(self, start: int, level: float, free: NDArray[np.bool_]) -> Iterator[int]:
        """Basins connected to `start` at `level` through basins that are `free`; taken ones are marked not free."""
        free[start] = False
        waiting = [start]
        while waiting:
            current = waiting.pop()
            yield current
            part = slice(self.starts[current], self.starts[current + 1])
            near = self.neighbours[part][self.saddles[part] >= level]
            for other in near[free[near]].tolist():
                if free[other]:
                    free[other] = False
                    waiting.append(other)


def _half_offsets(strides: tuple[int, int, int]) -> list[int]:
    """Flat offsets of one of each pair of opposite 18-neighbours."""
    steps = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0) and 1 <= sum(map(abs, step)) <= 2]
    return [sum(a * b for a, b in zip(step, strides, strict=True)) for step in steps]


def _ascend(
    rank: NDArray[np.int32], padded: NDArray[np.int64], values: NDArray[np.float32], strides: tuple[int, int, int]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Follow the steepest ascent of every voxel to its maximum."""
    target = np.arange(len(values), dtype=np.int32)
    height = values.copy()
    for offset in _half_offsets(strides):
        for signed in (-offset, offset):
            neighbour = rank[padded + signed]
            risen = np.where(neighbour >= 0, values[neighbour], -np.inf)
            higher = (risen > height) | ((risen == height) & (neighbour > target))
            target[higher] = neighbour[higher]
            height[higher] = risen[higher]
    while True:
        further = target[target]
        if np.array_equal(further, target):
            break
        target = further
    peaks, basin = np.unique(target, return_inverse=True)
    return basin.astype(np.int32).reshape(-1), peaks.astype(np.int64)


def _saddles(
    rank: NDArray[np.int32],
    padded: NDArray[np.int64],
    values: NDArray[np.float32],
    basin: NDArray[np.int32],
    count: int,
    strides: tuple[int, int, int],
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """The highest pass between each pair of adjacent basins, listed for both of them."""
    keys, heights = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
    for offset in _half_offsets(strides):
        neighbour = rank[padded + offset]
        voxel = np.flatnonzero(neighbour >= 0)
        other = neighbour[voxel]
        apart = basin[voxel] != basin[other]
        voxel, other = voxel[apart], other[apart]
        low = np.minimum(basin[voxel], basin[other]).astype(np.int64)
        key = low * count + np.maximum(basin[voxel], basin[other])
        keys, heights = _highest(
            np.concatenate([keys, key]), np.concatenate([heights, np.minimum(values[voxel], values[other])])
        )
    first, second = keys // max(count, 1), keys % max(count, 1)
    both = np.concatenate([first, second])
    order = np.argsort(both, kind="stable")
    starts = np.searchsorted(both[order], np.arange(count + 1))
    neighbours = np.concatenate([second, first])[order].astype(np.int32)
    return neighbours, np.concatenate([heights, heights])[order], starts.astype(np.int64)


def _highest(keys: NDArray[np.int64], heights: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Each key once, with its greatest height."""
    if len(keys) == 0:
        return keys, heights
    order = np.argsort(keys, kind="stable")
    keys, heights = keys[order], heights[order]
    begins = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[begins], np.maximum.reduceat(heights, begins)
