"""Put a volume on another grid, by world coordinates, in slabs that bound the memory."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from petlesion.volume import Box, Grid, Volume

if TYPE_CHECKING:
    import SimpleITK

SLAB_VOXELS = 2**24
"""Voxels of the larger of source and target that are handled at a time: 64 MB of float32."""
SAME_GRID_MM = 1e-3
"""Grids whose corners differ by no more than this need no resampling, mm."""


class Interpolation(StrEnum):
    """How values between voxel centres are found."""

    LINEAR = "linear"
    """For images."""
    NEAREST = "nearest"
    """For labels."""


def resample(
    volume: Volume, grid: Grid, interpolation: Interpolation = Interpolation.LINEAR, *, outside: float = 0.0
) -> Volume:
    """Sample a volume at the voxel centres of another grid.

    No smoothing precedes sampling on a coarser grid. A CT on a PET grid is thus what public data sets
    contain (autoPET's CTres, for one) and what networks learn from: no HU that the CT does not hold, edges of bone and
    air where they are, and the noise of one to eight CT voxels.

    Parameters
    ----------
    volume
        Values; any grid, oblique and sheared ones included.
    grid
        Where values are wanted.
    interpolation
        Linear (the result is float32) or nearest neighbour (the result has the type of `volume`).
    outside
        Value of voxels whose centre lies in no voxel of `volume`.

    Returns
    -------
    Volume
        On `grid`. Shares its array with `volume` where both grids are the same.
    """
    dtype = np.dtype(np.float32) if interpolation is Interpolation.LINEAR else volume.array.dtype
    if volume.grid.is_close(grid, SAME_GRID_MM):
        return Volume(volume.array.astype(dtype, copy=False), grid)
    result = np.full(grid.shape, outside, dtype=dtype)
    slabs = -(-max(volume.array.size, result.size) // SLAB_VOXELS)
    for indices in np.array_split(np.arange(grid.shape[0]), min(slabs, grid.shape[0])):
        slab = grid.part((slice(indices[0], indices[-1] + 1), slice(0, grid.shape[1]), slice(0, grid.shape[2])))
        box = _box_around(slab, volume.grid)
        if box is not None:
            source = Volume(volume.array[box], volume.grid.part(box))
            result[indices[0] : indices[-1] + 1] = _resample(source, slab, interpolation, outside, dtype)
    return Volume(result, grid)


def lies_apart(mask: Volume, grid: Grid) -> bool:
    """Whether a mask has voxels that are not zero, and not one of their centres lies inside a grid."""
    voxels = np.argwhere(mask.array)
    index = grid.to_index(mask.grid.to_world(voxels))
    inside = np.all((index >= -0.5) & (index <= np.array(grid.shape) - 0.5), axis=-1)
    return len(voxels) > 0 and not inside.any()


def _resample(
    volume: Volume, grid: Grid, interpolation: Interpolation, outside: float, dtype: np.dtype[Any]
) -> NDArray[Any]:
    import SimpleITK as sitk

    array = volume.array
    if interpolation is Interpolation.LINEAR:
        array = array.astype(np.float32, copy=False)
    elif array.dtype == np.bool_:
        array = array.view(np.uint8)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    set_geometry(image, volume.grid)
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in grid.shape[::-1]])
    set_geometry(resampler, grid)
    resampler.SetInterpolator(sitk.sitkLinear if interpolation is Interpolation.LINEAR else sitk.sitkNearestNeighbor)
    resampler.SetDefaultPixelValue(float(outside))
    sampled = resampler.Execute(image)
    return sitk.GetArrayViewFromImage(sampled).astype(dtype)


def set_geometry(target: SimpleITK.Image | SimpleITK.ResampleImageFilter, grid: Grid) -> None:
    """Give an image or a resampler of ITK the geometry of a grid; ITK's axes are (x, y, z), its world is LPS too."""
    is_image = hasattr(target, "SetOrigin")
    names = (
        ("SetOrigin", "SetSpacing", "SetDirection")
        if is_image
        else ("SetOutputOrigin", "SetOutputSpacing", "SetOutputDirection")
    )
    values = (grid.origin_mm, grid.spacing_mm[::-1], grid.direction[:, ::-1].ravel().tolist())
    for name, value in zip(names, values, strict=True):
        getattr(target, name)(value)


def _box_around(part: Grid, source: Grid) -> Box | None:
    """Voxels of `source` that interpolation at the centres of `part` can touch; None if there are none."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in part.shape])).reshape(3, -1).T
    index = source.to_index(part.to_world(corners))
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 2, source.shape)
    if np.any(low >= high):
        return None
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x
