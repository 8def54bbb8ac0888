"""Views of arrays in one fixed patient orientation, so that results do not depend on how a grid stores its axes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petlesion.volume import Grid

_TOWARDS = ((2, 1.0), (1, 1.0), (0, 1.0))
"""World axis and sign of the canonical array axes (z, y, x): to the head, to posterior, to the left (DICOM LPS)."""


@dataclass(frozen=True, eq=False)
class Orientation:
    """How the axes of a grid are permuted and flipped to run to the head, to posterior and to the left.

    An oblique grid is brought to the nearest such order; no voxel is interpolated. By hand rather than with
    `nibabel.orientations`, whose import alone costs a click its second.

    Attributes
    ----------
    axes
        Array axis of the stored grid that becomes canonical axis 0, 1, 2.
    flips
        Whether that axis runs the other way.
    grid
        The grid of canonical views.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    grid: Grid

    @classmethod
    def of(cls, grid: Grid) -> Orientation:
        """The orientation of `grid`."""
        cosine = np.array([grid.direction[world] * sign for world, sign in _TOWARDS])
        axes = max(permutations(range(3)), key=lambda order: float(sum(abs(cosine[i, a]) for i, a in enumerate(order))))
        flips = tuple(bool(cosine[i, a] < 0) for i, a in enumerate(axes))
        affine = np.eye(4)
        affine[:3, 3] = grid.affine[:3, 3]
        for column, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
            step = grid.affine[:3, axis]
            affine[:3, column] = -step if flip else step
            if flip:
                affine[:3, 3] += step * (grid.shape[axis] - 1)
        z, y, x = (grid.shape[axis] for axis in axes)
        return cls((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]), Grid((z, y, x), affine))

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """`array` of the stored grid as (z, y, x) to the head, to posterior, to the left; no copy is made."""
        return array.transpose(self.axes)[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def back(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """A canonical array in the order of the stored grid, contiguous."""
        flipped = canonical[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return np.ascontiguousarray(flipped.transpose(np.argsort(self.axes)))
