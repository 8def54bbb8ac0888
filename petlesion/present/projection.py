"""Maximum intensity projections of a volume, and the outlines of lesions on them, in patient space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from petlesion.lesions import Lesions
from petlesion.volume import Box, Grid, Volume

ANTERIOR_DEG = 0.0
"""Seen from the front: the patient's right is on the left of the image."""
LEFT_LATERAL_DEG = 90.0
"""Seen from the patient's left: the front of the patient is on the left of the image."""

_ALIGNED = 1.0 - 1e-6
"""Cosine from which a grid axis counts as parallel to a viewing axis: less than a voxel off over 2 m."""
_SLAB_ROWS = 16
"""Rows projected at a time when the volume must be resampled, so that memory stays small."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A projection along a horizontal direction through the patient.

    Attributes
    ----------
    image
        (rows, columns) float32; the first row is nearest the head.
    spacing_mm
        Distance of pixel centres along (rows, columns), mm.
    origin_mm
        Position (u, v) of the centre of pixel (0, 0), mm: u along the rows of the image to the right, v to the head.
        v is the LPS z; u is the LPS x seen from the front and the LPS y seen from the left (see `to_plane`).
    angle_deg
        Viewing angle.
    """

    image: NDArray[np.float32]
    spacing_mm: tuple[float, float]
    origin_mm: tuple[float, float]
    angle_deg: float

    @property
    def extent_mm(self) -> tuple[float, float, float, float]:
        """Outer edges of the image (left, right, bottom, top), mm: matplotlib's `extent`."""
        (rows, columns), (dv, du), (u, v) = self.image.shape, self.spacing_mm, self.origin_mm
        return u - du / 2, u + (columns - 0.5) * du, v - (rows - 0.5) * dv, v + dv / 2


@dataclass(frozen=True, eq=False)
class Outline:
    """Outline of one lesion on a projection.

    Attributes
    ----------
    number
        Number of the lesion.
    contours
        Closed polygons, (n, 2) points (u, v), mm; outer borders and holes.
    """

    number: int
    contours: tuple[NDArray[np.float64], ...]


def maximum_intensity_projection(volume: Volume, angle_deg: float = ANTERIOR_DEG) -> Projection:
    """Project the maximum along a horizontal line of sight.

    Volumes whose axes are parallel to the viewing axes, in any order and direction, are projected as they are; others
    are resampled with linear interpolation, 0 outside.

    Parameters
    ----------
    volume
        (z, y, x) values.
    angle_deg
        How far the viewer has walked around the patient, from the front to the patient's left: 0 anterior,
        90 left lateral, 180 posterior, 270 right lateral.

    Returns
    -------
    Projection
        Image with the head at the top.
    """
    return _project(volume, angle_deg, order=1, oversampling=1)


def lesion_outlines(lesions: Lesions, angle_deg: float = ANTERIOR_DEG) -> tuple[Outline, ...]:
    """Outline the shadow of each lesion, along the borders of its voxels, in the order of the numbers.

    Parameters
    ----------
    lesions
        Lesions in patient space.
    angle_deg
        As in `maximum_intensity_projection`.
    """
    return tuple(
        Outline(number, _contours(lesions.labels[box] == number, box, lesions.grid, angle_deg))
        for number, box in enumerate(ndimage.find_objects(lesions.labels), start=1)
        if box is not None
    )


def to_plane(points_mm: ArrayLike, angle_deg: float) -> NDArray[np.float64]:
    """Positions (..., 2) as (u, v) on a projection, in mm, of LPS points (..., 3) as (x, y, z) in mm."""
    up, _, right = _viewing_axes(angle_deg).T
    return np.asarray(np.asarray(points_mm, dtype=np.float64) @ np.stack([right, -up], axis=1))


def orientation_letters(angle_deg: float) -> tuple[str, str]:
    """Letters of the patient directions at the left and right of a projection (DICOM PS3.3 C.7.6.1.1.1).

    Examples
    --------
    >>> orientation_letters(ANTERIOR_DEG), orientation_letters(LEFT_LATERAL_DEG)
    (('R', 'L'), ('A', 'P'))
    """
    right = _viewing_axes(angle_deg)[:, 2]
    return _letters(-right), _letters(right)


def _letters(direction: NDArray[np.float64]) -> str:
    """Letters of the axes with a share in the direction, the largest first."""
    axes = sorted(range(2), key=lambda axis: -abs(direction[axis]))
    return "".join(("LR", "PA")[axis][int(direction[axis] < 0)] for axis in axes if abs(direction[axis]) > 1e-4)


def _viewing_axes(angle_deg: float) -> NDArray[np.float64]:
    """(3, 3): columns are the LPS unit vectors down the image, along the line of sight, and to its right."""
    angle = math.radians(angle_deg)
    sine, cosine = math.sin(angle), math.cos(angle)
    return np.array([[0.0, -sine, cosine], [0.0, cosine, sine], [-1.0, 0.0, 0.0]])


def _project(volume: Volume, angle_deg: float, order: int, oversampling: int) -> Projection:
    axes = _viewing_axes(angle_deg)
    if np.all(np.abs(axes.T @ volume.grid.direction).max(axis=0) > _ALIGNED):
        return _project_aligned(volume, axes, angle_deg)
    return _project_resampled(volume, axes, angle_deg, order, oversampling)


def _project_aligned(volume: Volume, axes: NDArray[np.float64], angle_deg: float) -> Projection:
    cosines = axes.T @ volume.grid.direction
    order = np.abs(cosines).argmax(axis=1)
    image = volume.array.max(axis=order[1])
    rows_axis, columns_axis = order[0], order[2]
    if rows_axis > columns_axis:
        image = image.T
    first = np.zeros(3)
    for viewing_axis, image_axis in ((0, 0), (2, 1)):
        if cosines[viewing_axis, order[viewing_axis]] < 0:
            image = np.flip(image, image_axis)
            first[order[viewing_axis]] = volume.grid.shape[order[viewing_axis]] - 1
    u, v = to_plane(volume.grid.to_world(first), angle_deg)
    spacing = volume.grid.spacing_mm
    return Projection(
        np.ascontiguousarray(image, dtype=np.float32),
        (spacing[rows_axis], spacing[columns_axis]),
        (float(u), float(v)),
        angle_deg,
    )


def _project_resampled(
    volume: Volume, axes: NDArray[np.float64], angle_deg: float, order: int, oversampling: int
) -> Projection:
    """Project through a grid along the viewing axes that encloses the volume, slab by slab."""
    grid = volume.grid
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape])).reshape(3, -1).T
    seen = grid.to_world(corners) @ axes
    low = seen.min(axis=0)
    # Along each viewing axis, the spacing of the grid axes weighted by their share in it.
    spacing = (axes.T @ grid.direction) ** 2 @ np.array(grid.spacing_mm) / oversampling
    shape = np.ceil((seen.max(axis=0) - low) / spacing - 1e-6).astype(int) + 1
    to_index = np.linalg.inv(grid.affine[:3, :3])
    matrix = to_index @ axes * spacing
    image = np.zeros((shape[0], shape[2]), dtype=np.float32)
    for start in range(0, shape[0], _SLAB_ROWS):
        rows = min(_SLAB_ROWS, shape[0] - start)
        offset = grid.to_index(axes @ (low + start * spacing * (1, 0, 0)))
        slab = ndimage.affine_transform(
            volume.array, matrix, offset, (rows, *shape[1:]), output=np.float32, order=order, mode="grid-constant"
        )
        image[start : start + rows] = slab.max(axis=1)
    u, v = low[2], -low[0]
    return Projection(image, (float(spacing[0]), float(spacing[2])), (float(u), float(v)), angle_deg)


def _contours(mask: NDArray[np.bool_], box: Box, grid: Grid, angle_deg: float) -> tuple[NDArray[np.float64], ...]:
    from skimage.measure import find_contours

    padded = np.pad(mask, 1).astype(np.uint8)
    slices, rows, columns = padded.shape
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world([side.start - 1 for side in box])
    # Nearest neighbours at half the spacing miss no voxel of an oblique grid.
    shadow = _project(Volume(padded, Grid((slices, rows, columns), affine)), angle_deg, order=0, oversampling=2)
    (dv, du), (u, v) = shadow.spacing_mm, shadow.origin_mm
    contours: list[NDArray[np.float64]] = find_contours(shadow.image, 0.5)
    return tuple(np.stack([u + contour[:, 1] * du, v - contour[:, 0] * dv], axis=1) for contour in contours)
