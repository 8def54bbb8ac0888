"""PET and CT on the grid that a network works at: patient orientation, fixed spacing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.orientation import Orientation
from petlesion.resample import Interpolation, resample
from petlesion.study import NO_CT_HU
from petlesion.volume import Box, Grid, Volume


@dataclass(frozen=True, eq=False)
class Sampled:
    """A study as a network sees it, before `network_input`.

    Attributes
    ----------
    suv
        (z, y, x) float32 SUVbw, to the head, to posterior, to the left.
    ct
        (z, y, x) float32 HU; `NO_CT_HU` everywhere where there is none.
    grid
        Where the voxels are.
    """

    suv: NDArray[np.float32]
    ct: NDArray[np.float32]
    grid: Grid


def network_grid(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """Grid of another spacing with the same axes and centre, which covers `grid` as nearly as whole voxels allow."""
    extent = np.array(grid.shape) * grid.spacing_mm
    z, y, x = (max(1, round(float(length / step))) for length, step in zip(extent, spacing_mm, strict=True))
    center = grid.to_world((np.array(grid.shape) - 1) / 2)
    to_first = grid.direction @ ((np.array([z, y, x]) - 1) / 2 * spacing_mm)
    return Grid.from_geometry((z, y, x), spacing_mm, center - to_first, grid.direction)


def canonical(volume: Volume) -> Volume:
    """The volume in patient orientation (z to the head, y to posterior, x to the left), as a view."""
    orientation = Orientation.of(volume.grid)
    return Volume(orientation.view(volume.array), orientation.grid)


def cut(volume: Volume, box: Box) -> Volume:
    """Part of a volume, as a view."""
    return Volume(volume.array[box], volume.grid.part(box))


def sample(pet: Volume, ct: Volume | None, spacing_mm: tuple[float, float, float]) -> Sampled:
    """Bring a PET and its CT to a network's spacing.

    Linear interpolation without smoothing, for training and inference alike: a PET is smooth at the scale of 4 mm.

    Parameters
    ----------
    pet, ct
        SUVbw and HU in patient orientation (`canonical`); the CT may lie on another grid.
    spacing_mm
        (z, y, x), mm.
    """
    grid = network_grid(pet.grid, spacing_mm)
    suv = resample(pet, grid).array
    if ct is None:
        return Sampled(suv, np.full(grid.shape, NO_CT_HU, dtype=np.float32), grid)
    return Sampled(suv, resample(ct, grid, outside=NO_CT_HU).array, grid)


def sample_labels(labels: Volume, grid: Grid) -> NDArray[np.uint8]:
    """Labels (at most 255) at the voxel centres of `grid`."""
    return resample(labels, grid, Interpolation.NEAREST).array.astype(np.uint8, copy=False)
