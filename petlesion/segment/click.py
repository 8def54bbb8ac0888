"""Grows one lesion from a click, looking only at the part of the PET around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.errors import SegmentationError, UsageError
from petlesion.lesions import CONNECTIVITY
from petlesion.report import Sphere
from petlesion.segment.basins import Basins
from petlesion.segment.components import goes_on_beyond, grow_box, margin_voxels
from petlesion.segment.gradient import CROP_MARGINS_MM, gradient_edges
from petlesion.segment.peaks import PROMINENCE
from petlesion.segment.spheres import voxels_in
from petlesion.volume import Box, Volume

REACH_MM = 8.0
"""A click takes the hottest voxel within this distance: a hand is not exact, mm."""
FIRST_CROP_MM = 40.0
"""Half edge of the first sub-volume; doubled until the lesion lies inside it, mm."""
CONTOUR_CROPS_MM = (40.0, 80.0)
"""Half edges of the sub-volumes of a contour relative to the maximum, mm; one that does not close within the last has
run into the surroundings (a lesion of 16 cm fits; a liver does not)."""
EDGE_SEARCH_FRACTIONS = (0.5, 0.6, 0.7)
"""Contours, as fractions of the maximum, of which the first closed one is where the search for an edge begins; noise
in even tissue does not reach 1 / 0.7 of its mean over any extent."""


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
    found, level = pet.array[seed], np.float32(threshold)
    if found < level:
        raise SegmentationError(
            f"uptake within {REACH_MM:g} mm of the point {_text(point_mm)} mm reaches SUV {found:.2f}, "
            f"below the threshold {threshold:.2f}",
            remedy="point at a hotter place, or use a contour relative to the local maximum",
        )
    half_mm = FIRST_CROP_MM
    while True:
        box = _box_around(pet, seed, half_mm)
        labels, _ = ndimage.label(pet.array[box] >= level, structure=CONNECTIVITY)
        mask = labels == labels[_within(box, seed)]
        if not goes_on_beyond(mask, box, pet.array.shape):
            return Grown(box, mask)
        half_mm *= 2


def grow_to_fraction(pet: Volume, point_mm: tuple[float, float, float], fraction: float) -> Grown:
    """The region at or above `fraction` of the local maximum near a point (LPS mm), apart from hotter neighbours.

    Raises
    ------
    SegmentationError
        If the contour does not close: the place is no hotter than its surroundings.
    """
    seed = _main_peak(pet, _hottest_near(pet, point_mm))
    return _checked(pet, _closed_contour(pet, seed, fraction), point_mm)


def grow_to_edge(pet: Volume, point_mm: tuple[float, float, float]) -> Grown:
    """The region within the gradient edge around the local maximum near a point (LPS mm).

    Raises
    ------
    SegmentationError
        If there is no edge around it.
    """
    seed = _main_peak(pet, _hottest_near(pet, point_mm))
    contours = (_closed_contour(pet, seed, fraction) for fraction in EDGE_SEARCH_FRACTIONS)
    start = next((grown for grown in contours if grown is not None), None)
    return _checked(pet, None if start is None else _within_edge(pet, seed, start), point_mm)


def _within_edge(pet: Volume, seed: tuple[int, ...], start: Grown) -> Grown | None:
    box = grow_box(start.box, margin_voxels(FIRST_CROP_MM, pet.grid.spacing_mm), pet.array.shape)
    suv = pet.array[box]
    detected = np.where(suv > pet.array[seed], 2, 0).astype(np.uint16)  # hotter structures are not to be entered
    inner = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(start.box, box, strict=True))
    detected[inner][start.mask] = 1
    # a contour at half of the maximum has about the lesion's size: an edge far beyond it is another structure's
    edges = gradient_edges(suv, detected, pet.grid.spacing_mm, CROP_MARGINS_MM[:1])
    return None if 1 in edges.without_edge else Grown(box, edges.labels == 1)


def _checked(pet: Volume, grown: Grown | None, point_mm: tuple[float, float, float]) -> Grown:
    """The lesion, if there is one and it lies where the click was."""
    near = voxels_in(pet.grid, Sphere(point_mm, REACH_MM))
    index = np.stack(np.unravel_index(near, pet.array.shape), axis=-1)
    if grown is not None:
        inside = index - [axis.start for axis in grown.box]
        inside = inside[((inside >= 0) & (inside < grown.mask.shape)).all(axis=1)]
        if grown.mask[tuple(inside.T)].any():
            return grown
    hottest = float(pet.array[tuple(index.T)].max())
    raise SegmentationError(
        f"uptake near the point {_text(point_mm)} mm (SUV {hottest:.2f}) does not stand out of its surroundings",
        remedy="point at a hotter place, or use a fixed threshold",
    )


def _hottest_near(pet: Volume, point_mm: tuple[float, float, float]) -> tuple[int, ...]:
    near = np.unravel_index(voxels_in(pet.grid, Sphere(point_mm, REACH_MM)), pet.array.shape)
    hottest = int(np.argmax(pet.array[near]))
    return tuple(int(axis[hottest]) for axis in near)


def _main_peak(pet: Volume, voxel: tuple[int, ...]) -> tuple[int, ...]:
    """The highest voxel that can be reached without falling by `PROMINENCE`: noise gives a lesion many maxima."""
    while True:
        box = _box_around(pet, voxel, FIRST_CROP_MM)
        suv = pet.array[box]
        labels, _ = ndimage.label(suv >= (1.0 - PROMINENCE) * pet.array[voxel], structure=CONNECTIVITY)
        region = labels == labels[_within(box, voxel)]
        top = np.unravel_index(int(np.argmax(np.where(region, suv, -np.inf))), suv.shape)
        if not suv[top] > pet.array[voxel]:
            return voxel
        voxel = tuple(int(axis.start + index) for axis, index in zip(box, top, strict=True))


def _closed_contour(pet: Volume, seed: tuple[int, ...], fraction: float) -> Grown | None:
    peak = float(pet.array[seed])
    for half_mm in CONTOUR_CROPS_MM if peak > 0 else ():
        box = _box_around(pet, seed, half_mm)
        suv = pet.array[box]
        basins = Basins.of(suv, suv >= fraction * peak)
        start = np.searchsorted(basins.voxels, np.ravel_multi_index(_within(box, seed), suv.shape))
        not_hotter = basins.values[basins.peaks] <= peak
        members = list(basins.connected(int(basins.basin[start]), fraction * peak, not_hotter))
        mask = np.zeros(suv.shape, dtype=bool)
        mask.ravel()[basins.voxels[np.isin(basins.basin, members)]] = True
        if not goes_on_beyond(mask, box, pet.array.shape):
            return Grown(box, mask)
    return None


def _box_around(pet: Volume, seed: tuple[int, ...], half_mm: float) -> Box:
    z, y, x = (slice(index, index + 1) for index in seed)
    return grow_box((z, y, x), margin_voxels(half_mm, pet.grid.spacing_mm), pet.array.shape)


def _within(box: Box, voxel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(index - axis.start for index, axis in zip(voxel, box, strict=True))


def _text(point_mm: tuple[float, float, float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in point_mm) + ")"
