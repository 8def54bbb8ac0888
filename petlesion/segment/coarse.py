"""Block means: a PET of any size as a small volume, for searches that need no fine voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Coarse:
    """A volume averaged over blocks of voxels.

    Attributes
    ----------
    array
        (z, y, x) float32 means of the blocks; an incomplete block at the upper end of an axis is left out.
    factors
        Voxels per block along (z, y, x).
    spacing_mm
        Distance of block centres along (z, y, x), mm.
    """

    array: NDArray[np.float32]
    factors: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @classmethod
    def of(cls, array: NDArray[Any], spacing_mm: tuple[float, float, float], target_mm: float) -> Coarse:
        """Average `array` over blocks of a whole number of voxels, as near to `target_mm` as that allows."""
        wanted = [max(1, round(target_mm / spacing)) for spacing in spacing_mm]
        z, y, x = (min(factor, size) for factor, size in zip(wanted, array.shape, strict=True))
        spacing = (z * spacing_mm[0], y * spacing_mm[1], x * spacing_mm[2])
        return cls(_block_mean(array, (z, y, x)), (z, y, x), spacing)

    @property
    def voxel_ml(self) -> float:
        """Volume of one block, mL."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    def fine_index(self, index: NDArray[Any]) -> NDArray[np.float64]:
        """Fractional indices (..., 3) in the averaged volume of block indices (..., 3)."""
        factors = np.array(self.factors, dtype=np.float64)
        return np.asarray((np.asarray(index) + 0.5) * factors - 0.5)


def _block_mean(array: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[np.float32]:
    if factors == (1, 1, 1):
        return np.asarray(array, dtype=np.float32)
    z, y, x = factors
    shape = tuple(size // factor for size, factor in zip(array.shape, factors, strict=True))
    mean = np.empty(shape, dtype=np.float32)
    for slab in range(shape[0]):  # a slab at a time: no temporary of the size of the PET
        block = array[slab * z : (slab + 1) * z, : shape[1] * y, : shape[2] * x]
        rows = block.sum(axis=0, dtype=np.float32).reshape(shape[1], y, shape[2] * x).sum(axis=1)
        mean[slab] = rows.reshape(shape[1], shape[2], x).sum(axis=2) / (z * y * x)
    return mean


def refine(mask: NDArray[np.bool_], factors: tuple[int, int, int], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A block mask as a mask of `shape`; voxels of incomplete blocks take the value of the last block."""
    index = [
        np.minimum(np.arange(size) // factor, blocks - 1)
        for size, factor, blocks in zip(shape, factors, mask.shape, strict=True)
    ]
    return np.asarray(mask[np.ix_(*index)])
