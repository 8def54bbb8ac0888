"""Outlines of slices, and slices of outlines, in pixel coordinates."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Outline = NDArray[np.float64]
"""(points, 2) corners (row, column) of a closed polygon in pixels; pixel centres at integers; first is not repeated."""


def outlines(mask: NDArray[np.bool_]) -> list[Outline]:
    """Outline every part of a mask by marching squares at level 0.5 (Lorensen and Cline, SIGGRAPH 1987).

    Corners lie half-way between the centres of a pixel inside and a pixel outside, so that the pixels whose centre is
    inside are those of the mask again. Parts that touch at a corner only are outlined separately.

    A hole is joined to its part by a channel of no width, the keyhole of DICOM PS3.3 C.8.8.6.3: readers that unite
    closed contours leave it empty as well as those that combine them by exclusive or. The former would fill a hole that
    is a contour of its own, and few know the type CLOSEDPLANAR_XOR.

    Parameters
    ----------
    mask
        (rows, columns).

    Returns
    -------
    list of (points, 2)
        One polygon a part, without corners that a straight line makes superfluous. Its area is about half a pixel
        smaller than the part, as every corner is cut.
    """
    from skimage.measure import find_contours

    parts, _ = ndimage.label(mask)
    found = []
    for number, box in enumerate(ndimage.find_objects(parts), start=1):
        part = np.pad(parts[box] == number, 1)
        loops = [loop[:-1] for loop in find_contours(part.astype(np.float32), 0.5, fully_connected="low")]
        loops.sort(key=area, reverse=True)
        offset = np.array([side.start - 1 for side in box])
        found.append(_simplified(_with_holes(loops[0], loops[1:])) + offset)
    return found


def fill(polygons: Iterable[Outline], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies inside a set of closed polygons.

    Polygons are combined by exclusive or, so that an inner contour is a hole. Points on a contour belong to it
    (DICOM PS3.3 C.8.8.6.3).

    Parameters
    ----------
    polygons
        Outlines on one slice, in pixels; parts outside the slice are cut off.
    shape
        (rows, columns).

    Returns
    -------
    NDArray
        (rows, columns) mask.
    """
    from skimage.draw import polygon as fill_polygon

    mask = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        rows, columns = fill_polygon(polygon[:, 0], polygon[:, 1], shape)
        mask[rows, columns] ^= True
    return mask


def area(polygon: NDArray[np.float64]) -> float:
    """Area of a closed polygon (points, 2), in the square of its unit (shoelace formula)."""
    a, b = polygon[:, 0], polygon[:, 1]
    return float(abs(np.dot(a, np.roll(b, -1)) - np.dot(b, np.roll(a, -1))) / 2)


def _with_holes(outer: Outline, holes: list[Outline]) -> Outline:
    """Join holes to the outer loop, the one that reaches furthest to the right first.

    From a hole's rightmost corner the channel runs along the row to the next corner on the right. What that belongs to
    reaches further right, so it is the outer loop or a hole that is joined already.
    """
    polygon = outer
    for hole in sorted(holes, key=lambda loop: -float(loop[:, 1].max())):
        start = int(hole[:, 1].argmax())
        row, column = hole[start]
        on_the_right = np.flatnonzero((polygon[:, 0] == row) & (polygon[:, 1] > column))
        gate = int(on_the_right[polygon[on_the_right, 1].argmin()])
        loop = np.roll(hole, -start, axis=0)
        polygon = np.concatenate([polygon[: gate + 1], loop, loop[:1], polygon[gate:]])
    return polygon


def _simplified(polygon: Outline) -> Outline:
    """Drop corners that lie on the straight way from the one before to the one after."""
    incoming = polygon - np.roll(polygon, 1, axis=0)
    outgoing = np.roll(polygon, -1, axis=0) - polygon
    cross = incoming[:, 0] * outgoing[:, 1] - incoming[:, 1] * outgoing[:, 0]
    along = np.sum(incoming * outgoing, axis=1)
    return np.asarray(polygon[(cross != 0) | (along <= 0)])
