"""Voxel grids in patient space: the one place where array axes meet millimetres.

Arrays are ordered (z, y, x) = (slice, row, column). World coordinates are DICOM LPS millimetres, ordered (x, y, z):
x to the patient's left, y to posterior, z to the head (DICOM PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

GRID_TOLERANCE_MM = 0.1
"""Two grids are the same when no corner differs by more than this (other vendors' SEGs are off by 0.05 mm)."""
Box = tuple[slice, slice, slice]
"""A box of voxels (z, y, x); both ends of its slices are given."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape of a volume and where each voxel centre lies in the patient.

    Attributes
    ----------
    shape
        Number of voxels (z, y, x).
    affine
        (4, 4) matrix from the homogeneous index (z, y, x, 1) to the homogeneous LPS point (x, y, z, 1), in mm, of
        that voxel's centre.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.all(np.isfinite(affine)):
            raise ValueError(f"affine must be a finite (4, 4) matrix, not {affine.tolist()}")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError(f"shape must be three positive numbers, not {self.shape}")
        if np.any(np.linalg.norm(affine[:3, :3], axis=0) == 0):
            raise ValueError("spacing must not be zero")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @classmethod
    def from_geometry(
        cls,
        shape: tuple[int, int, int],
        spacing_mm: ArrayLike,
        origin_mm: ArrayLike = (0.0, 0.0, 0.0),
        direction: ArrayLike | None = None,
    ) -> Grid:
        """Build a grid from spacing, origin and direction.

        Parameters
        ----------
        shape
            Number of voxels (z, y, x).
        spacing_mm
            Distance of voxel centres along (z, y, x), mm.
        origin_mm
            LPS point (x, y, z) of the centre of voxel (0, 0, 0), mm.
        direction
            (3, 3); column n is the LPS unit vector of array axis n (z, y, x). Default: axial, feet to head.
        """
        columns = np.eye(3)[:, ::-1] if direction is None else np.asarray(direction, dtype=np.float64)
        affine = np.eye(4)
        affine[:3, :3] = columns * np.asarray(spacing_mm, dtype=np.float64)
        affine[:3, 3] = np.asarray(origin_mm, dtype=np.float64)
        return cls(shape, affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxel centres along (z, y, x), mm."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """LPS point (x, y, z) of the centre of voxel (0, 0, 0), mm."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def direction(self) -> NDArray[np.float64]:
        """(3, 3); column n is the LPS unit vector of array axis n (z, y, x)."""
        return np.asarray(self.affine[:3, :3] / np.array(self.spacing_mm))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel, mL."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000.0)

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """LPS points (..., 3) as (x, y, z) in mm of fractional indices (..., 3) as (z, y, x)."""
        return np.asarray(np.asarray(index, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, point_mm: ArrayLike) -> NDArray[np.float64]:
        """Fractional indices (..., 3) as (z, y, x) of LPS points (..., 3) as (x, y, z) in mm."""
        offset = np.asarray(point_mm, dtype=np.float64) - self.affine[:3, 3]
        return np.asarray(offset @ np.linalg.inv(self.affine[:3, :3]).T)

    def contains(self, point_mm: ArrayLike) -> bool:
        """Whether the LPS point (x, y, z) in mm lies inside a voxel of the grid; each ends before the next one."""
        index = self.to_index(point_mm)
        return bool(np.all(index >= -0.5) and np.all(index < np.array(self.shape) - 0.5))

    def part(self, box: Box) -> Grid:
        """Grid of a box of its voxels."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world([axis.start for axis in box])
        z, y, x = (axis.stop - axis.start for axis in box)
        return Grid((z, y, x), affine)

    def length_within(self, other: Grid) -> float:
        """Part of this grid's length, along its own normal of the slices, that lies between the ends of another."""
        ends = []
        for grid in (self, other):
            corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in grid.shape])).reshape(3, -1).T
            along = grid.to_world(corners) @ self.direction[:, 0]
            ends.append((along.min(), along.max()))
        (low, high), (other_low, other_high) = ends
        return float(max(0.0, min(high, other_high) - max(low, other_low)) / (high - low))

    def is_close(self, other: Grid, tolerance_mm: float = GRID_TOLERANCE_MM) -> bool:
        """Whether both grids have the same shape and no corner voxel differs by more than `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T
        distance = np.linalg.norm(self.to_world(corners) - other.to_world(corners), axis=1)
        return bool(distance.max() <= tolerance_mm)


@dataclass(frozen=True, eq=False)
class Volume:
    """An array and the grid it lives on.

    Attributes
    ----------
    array
        (z, y, x) values; the unit is the owner's (SUVbw in g/mL, HU, label number).
    grid
        Where the voxels are.
    """

    array: NDArray[Any]
    grid: Grid

    def __post_init__(self) -> None:
        if self.array.shape != self.grid.shape:
            raise ValueError(f"array of shape {self.array.shape} on a grid of shape {self.grid.shape}")
