"""Contours at a fraction of each region's own maximum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.segment.basins import Basins
from petlesion.segment.components import margin_voxels

LEAK_MARGIN_MM = 50.0
"""A contour that leaves the detected region by more than this has run into surroundings above the fraction, mm. Wide,
because the threshold may detect no more than the tip of a lesion."""


@dataclass(frozen=True, eq=False)
class Contours:
    """Regions at a fraction of their maxima.

    Attributes
    ----------
    labels
        (z, y, x) int32; regions in order of decreasing maximum, from 1.
    open
        How many contours did not close around their lesion and were replaced by the detected region.
    """

    labels: NDArray[np.int32]
    open: int


def incremental_contours(
    suv: NDArray[np.float32], fraction: float, min_suv_max: float, body: NDArray[np.bool_]
) -> Contours:
    """Every region around a local maximum, from the highest maximum down.

    A region is what is connected to its maximum at `fraction` of it and was not taken by a higher one (the candidates
    of the multi-task PSMA classifier, at 45 %). The skirts of a taken region, below its contour, belong to it and
    start no region of their own.

    Parameters
    ----------
    suv
        (z, y, x).
    fraction
        Of the maximum, between 0 and 1.
    min_suv_max
        Maxima at or below this start no region.
    body
        (z, y, x) mask; voxels outside are left out.
    """
    mask = suv >= fraction * min_suv_max
    mask &= body
    basins = Basins.of(suv, mask)
    labels = np.zeros(suv.shape, dtype=np.int32)
    heights = basins.values[basins.peaks]
    owner = np.zeros(len(heights), dtype=np.int32)
    level = np.zeros(len(heights), dtype=np.float32)
    free = np.ones(len(heights), dtype=bool)
    number = 0
    for peak in _from_the_highest(heights, above=min_suv_max):
        if free[peak]:
            number += 1
            members = list(basins.connected(peak, fraction * heights[peak], free))
            owner[members] = number
            level[members] = fraction * heights[peak]
    inside = basins.values >= level[basins.basin]
    labels.ravel()[basins.voxels] = np.where(inside, owner[basins.basin], 0)
    return Contours(labels, 0)


def detected_contours(
    suv: NDArray[np.float32],
    detected: NDArray[np.uint16],
    threshold: float,
    fraction: float,
    body: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> Contours:
    """The contour at `fraction` of its maximum for each detected region, larger or smaller than the region.

    Detected regions inside the contour of a higher one become part of it. Where the surroundings exceed the fraction,
    the contour has no end (`LEAK_MARGIN_MM`): there the detected region stands for it.

    Parameters
    ----------
    suv
        (z, y, x).
    detected
        (z, y, x) regions at or above `threshold`.
    threshold
        Detection threshold, SUV.
    fraction
        Of each maximum, between 0 and 1.
    body
        (z, y, x) mask; voxels outside are left out.
    spacing_mm
        Of the voxels (z, y, x), mm.
    """
    mask = suv >= fraction * threshold
    mask &= body
    basins = Basins.of(suv, mask)
    heights = basins.values[basins.peaks]
    candidate_of = detected.ravel()[basins.voxels]
    by_basin, by_candidate = _Groups.of(basins.basin), _Groups.of(candidate_of)
    near = _Neighbourhoods.of(detected, spacing_mm)
    label_of = np.zeros(len(basins.voxels), dtype=np.int32)
    free = np.ones(len(heights), dtype=bool)
    number = n_open = 0
    for peak in _from_the_highest(heights, above=0.0):
        candidate = int(candidate_of[basins.peaks[peak]])
        if candidate == 0 or not free[peak]:
            continue
        number += 1
        level, trial = fraction * float(heights[peak]), free.copy()
        members = []
        for member in basins.connected(peak, level, trial):
            voxels = by_basin.of_group(member)
            voxels = voxels[basins.values[voxels] >= level]
            members.append(voxels)
            if near.left_by(candidate, basins.voxels[voxels]):
                n_open += 1
                own = by_candidate.of_group(candidate)
                trial = free.copy()
                trial[basins.basin[own]] = False
                members = [own[label_of[own] == 0]]
                break
        free = trial
        label_of[np.concatenate(members)] = number
    labels = np.zeros(suv.shape, dtype=np.int32)
    labels.ravel()[basins.voxels] = label_of
    return Contours(labels, n_open)


def _from_the_highest(heights: NDArray[np.float32], above: float) -> list[int]:
    """Basins whose maximum exceeds `above`, highest first."""
    order = np.argsort(-heights, kind="stable")
    return [int(basin) for basin in order[heights[order] > above]]


@dataclass(frozen=True, eq=False)
class _Groups:
    """Positions grouped by a label."""

    order: NDArray[np.int64]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.integer[Any]]) -> _Groups:
        order = np.argsort(labels, kind="stable")
        return cls(order, np.searchsorted(labels[order], np.arange(int(labels.max(initial=0)) + 2)))

    def of_group(self, label: int) -> NDArray[np.int64]:
        return self.order[self.starts[label] : self.starts[label + 1]]


@dataclass(frozen=True, eq=False)
class _Neighbourhoods:
    """How far the contour of each detected region may reach."""

    shape: tuple[int, ...]
    low: NDArray[np.int64]
    high: NDArray[np.int64]

    @classmethod
    def of(cls, detected: NDArray[np.uint16], spacing_mm: tuple[float, float, float]) -> _Neighbourhoods:
        margin = np.array(margin_voxels(LEAK_MARGIN_MM, spacing_mm))
        boxes = ndimage.find_objects(detected)
        low = np.array([[axis.start for axis in box] for box in boxes]).reshape(-1, 3) - margin
        high = np.array([[axis.stop for axis in box] for box in boxes]).reshape(-1, 3) + margin
        return cls(detected.shape, low, high)

    def left_by(self, candidate: int, voxels: NDArray[np.int64]) -> bool:
        index = np.stack(np.unravel_index(voxels, self.shape), axis=-1)
        outside = (index < self.low[candidate - 1]) | (index >= self.high[candidate - 1])
        return bool(outside.any())
