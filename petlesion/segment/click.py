"""Grows one lesion from a click, looking only at the part of the PET around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.errors import SegmentationError, UsageError
from petlesion.report import Sphere
from petlesion.segment.basins import Basins
from petlesion.segment.components import CONNECTIVITY, Box, grow_box, margin_voxels
from petlesion.segment.gradient import gradient_edges
from petlesion.segment.spheres import voxels_in
from petlesion.volume import Volume

REACH_MM = 8.0
"""A click takes the hottest voxel within this distance: a hand is not exact, mm."""
FIRST_CROP_MM = 40.0
"""Half edge of the first sub-volume; doubled until the lesion lies inside it, mm."""
LARGEST_CONTOUR_MM = 160.0
"""A contour at a fraction of the maximum that is not closed within this half edge has run into surroundings, mm."""
EDGE_SEARCH_FRACTIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Contours, as fractions of the maximum, of which the first closed one is where the search for an edge begins."""


@dataclass(frozen=True, eq=False)
class Grown:
    """One lesion in a box of the PET."""

    box: Box
    mask: NDArray[np.bool_]


def check_point(pet: Volume, point_mm: tuple[float, float, float]) -> None:
    """Refuse a point outside the PET.

    Raises
    ------
    UsageError
        If `point_mm`, an LPS point (x, y, z) in mm, lies in no voxel.
    """
    if not pet.grid.contains(point_mm):
        raise UsageError(
            f"the point {_text(point_mm)} mm lies outside the field of view of the PET",
            remedy="give an LPS point (x, y, z) in mm inside the image",
        )


def grow_at_threshold(pet: Volume, point_mm: tuple[float, float, float], threshold: float) -> Grown:
    """The connected region at or above a threshold, SUV, at the hottest voxel near a point (LPS mm).

    Raises
    ------
    SegmentationError
        If uptake near the point is below the threshold.
    """
    seed = _hottest_near(pet, point_mm)
    found = float(pet.array[seed])
    if found < threshold:
        raise SegmentationError(
            f"uptake within {REACH_MM:g} mm of the point {_text(point_mm)} mm reaches SUV {found:.2f}, "
            f"below the threshold {threshold:.2f}",
            remedy="point at a hotter place, or use a contour relative to the local maximum",
        )
    half_mm = FIRST_CROP_MM
    while True:
        box = _box_around(pet, seed, half_mm)
        labels, _ = ndimage.label(pet.array[box] >= threshold, structure=CONNECTIVITY)
        mask = labels == labels[_within(box, seed)]
        if not _reaches_inner_border(mask, box, pet.array.shape):
            return Grown(box, mask)
        half_mm *= 2


def grow_to_fraction(pet: Volume, point_mm: tuple[float, float, float], fraction: float) -> Grown:
    """The region at or above `fraction` of the local maximum near a point (LPS mm), apart from hotter neighbours.

    Raises
    ------
    SegmentationError
        If the contour does not close: the place is no hotter than its surroundings.
    """
    seed = _climb(pet.array, _hottest_near(pet, point_mm))
    grown = _closed_contour(pet, seed, fraction)
    if grown is None:
        raise _no_lesion(pet, seed, point_mm)
    return grown


def grow_to_edge(pet: Volume, point_mm: tuple[float, float, float]) -> Grown:
    """The region within the gradient edge around the local maximum near a point (LPS mm).

    Raises
    ------
    SegmentationError
        If there is no edge around it.
    """
    seed = _climb(pet.array, _hottest_near(pet, point_mm))
    contours = (_closed_contour(pet, seed, fraction) for fraction in EDGE_SEARCH_FRACTIONS)
    start = next((grown for grown in contours if grown is not None), None)
    if start is None:
        raise _no_lesion(pet, seed, point_mm)
    box = grow_box(start.box, margin_voxels(FIRST_CROP_MM, pet.grid.spacing_mm), pet.array.shape)
    detected = np.zeros([axis.stop - axis.start for axis in box], dtype=np.uint16)
    inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(start.box, box, strict=True))
    detected[inner][start.mask] = 1
    edges = gradient_edges(pet.array[box], detected, pet.grid.spacing_mm)
    if edges.without_edge:
        raise _no_lesion(pet, seed, point_mm)
    return Grown(box, edges.labels == 1)


def _no_lesion(pet: Volume, seed: tuple[int, ...], point_mm: tuple[float, float, float]) -> SegmentationError:
    return SegmentationError(
        f"uptake near the point {_text(point_mm)} mm (SUV {float(pet.array[seed]):.2f}) does not stand out of its "
        "surroundings",
        remedy="point at a hotter place, or use a fixed threshold",
    )


def _hottest_near(pet: Volume, point_mm: tuple[float, float, float]) -> tuple[int, ...]:
    near = np.unravel_index(voxels_in(pet.grid, Sphere(point_mm, REACH_MM)), pet.array.shape)
    hottest = int(np.argmax(pet.array[near]))
    return tuple(int(axis[hottest]) for axis in near)


def _climb(suv: NDArray[np.float32], voxel: tuple[int, ...]) -> tuple[int, ...]:
    """The local maximum that steepest ascent leads to."""
    while True:
        low = [max(0, index - 1) for index in voxel]
        around = suv[tuple(slice(start, index + 2) for start, index in zip(low, voxel, strict=True))]
        step = np.unravel_index(int(np.argmax(around)), around.shape)
        if not around[step] > suv[voxel]:
            return voxel
        voxel = tuple(int(start + offset) for start, offset in zip(low, step, strict=True))


def _closed_contour(pet: Volume, seed: tuple[int, ...], fraction: float) -> Grown | None:
    peak = float(pet.array[seed])
    half_mm = FIRST_CROP_MM
    while peak > 0 and half_mm <= LARGEST_CONTOUR_MM:
        box = _box_around(pet, seed, half_mm)
        suv = pet.array[box]
        basins = Basins.of(suv, suv >= fraction * peak)
        start = np.searchsorted(basins.voxels, np.ravel_multi_index(_within(box, seed), suv.shape))
        not_hotter = basins.values[basins.peaks] <= peak
        members = list(basins.connected(int(basins.basin[start]), fraction * peak, not_hotter))
        mask = np.zeros(suv.shape, dtype=bool)
        mask.ravel()[basins.voxels[np.isin(basins.basin, members)]] = True
        if not _reaches_inner_border(mask, box, pet.array.shape):
            return Grown(box, mask)
        half_mm *= 2
    return None


def _box_around(pet: Volume, seed: tuple[int, ...], half_mm: float) -> Box:
    z, y, x = (slice(index, index + 1) for index in seed)
    return grow_box((z, y, x), margin_voxels(half_mm, pet.grid.spacing_mm), pet.array.shape)


def _within(box: Box, voxel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(index - axis.start for index, axis in zip(voxel, box, strict=True))


def _reaches_inner_border(mask: NDArray[np.bool_], box: Box, shape: tuple[int, ...]) -> bool:
    """Whether the region may go on beyond the box (and not beyond the image)."""
    for axis, (bounds, size) in enumerate(zip(box, shape, strict=True)):
        if bounds.start > 0 and mask.take(0, axis=axis).any():
            return True
        if bounds.stop < size and mask.take(-1, axis=axis).any():
            return True
    return False


def _text(point_mm: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in point_mm) + ")"
