"""Parallel-beam projection of transaxial slices: sparse matrices that all slices share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

WATER_MU_PER_MM = 0.0096
"""Linear attenuation of water at 511 keV, 1/mm (Carney et al., Med Phys 2006)."""
BONE_MU_PER_MM_HU = 5.10e-6
"""Growth of the attenuation at 511 keV with HU above `BONE_BREAK_HU`, 1/mm per HU at 120 kVp (Carney et al., 2006)."""
BONE_BREAK_HU = 47.0
"""HU where soft tissue ends and bone begins in the bilinear rule at 120 kVp (Carney et al., Med Phys 2006)."""


def attenuation_map(ct_hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear attenuation at 511 keV (1/mm) of CT values at 120 kVp, by the bilinear rule that scanners use.

    Parameters
    ----------
    ct_hu
        HU, any shape.

    References
    ----------
    Carney et al., "Method for transforming CT images for attenuation correction in PET/CT imaging", Med Phys 2006.
    """
    soft = (np.clip(ct_hu, -1000.0, BONE_BREAK_HU) + 1000.0) * (WATER_MU_PER_MM / 1000.0)
    bone = np.maximum(ct_hu - BONE_BREAK_HU, 0.0) * BONE_MU_PER_MM_HU
    return np.asarray(soft + bone, dtype=np.float32)


@dataclass(frozen=True)
class Lines:
    """Sampling of the lines of response through a slice.

    Attributes
    ----------
    center_mm
        LPS (y, x) of the axis of rotation.
    bin_mm
        Width of a radial bin.
    n_bins
        Radial bins, symmetric about the axis.
    n_angles
        Angles over 180°.
    n_subsets
        Ordered subsets; divides `n_angles`.
    """

    center_mm: tuple[float, float]
    bin_mm: float
    n_bins: int
    n_angles: int
    n_subsets: int = 1

    def __post_init__(self) -> None:
        if self.n_angles % self.n_subsets:
            raise ValueError(f"{self.n_angles} angles cannot be split into {self.n_subsets} subsets")


@dataclass(frozen=True, eq=False)
class Projector:
    """Weights between the pixels of a slice and its lines of response.

    Attributes
    ----------
    lines
        The lines; sinograms are (n_angles x n_bins, slices), subset after subset.
    matrices
        One sparse (rows of the subset, pixels) float32 matrix a subset. A pixel's weights over one angle sum to 1.
    path_mm
        Path length through a pixel that a weight of 1 stands for: pixel area over bin width.
    """

    lines: Lines
    matrices: tuple[sparse.csr_matrix, ...]
    path_mm: float

    @classmethod
    def build(cls, lines: Lines, y_mm: NDArray[np.float64], x_mm: NDArray[np.float64]) -> Projector:
        """Compute the weights of equally spaced pixels by the distance-driven method (De Man and Basu, PMB 2004).

        Parameters
        ----------
        lines
            Lines of response.
        y_mm, x_mm
            LPS coordinates of the pixel centres of rows and columns, mm.
        """
        angles = np.arange(lines.n_angles) * (np.pi / lines.n_angles)
        matrices = tuple(
            _subset_matrix(lines, angles[first :: lines.n_subsets], y_mm, x_mm) for first in _spread(lines.n_subsets)
        )
        return cls(lines, matrices, float((y_mm[1] - y_mm[0]) * (x_mm[1] - x_mm[0]) / lines.bin_mm))

    def forward(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project (pixels, slices) to a sinogram."""
        return np.concatenate([matrix @ image for matrix in self.matrices])

    def backward(self, sinogram: NDArray[np.float32]) -> NDArray[np.float32]:
        """Back-project a sinogram to (pixels, slices): the transpose of `forward`."""
        parts = np.split(sinogram, len(self.matrices))
        return np.asarray(sum(matrix.T @ part for matrix, part in zip(self.matrices, parts, strict=True)))


def _spread(count: int) -> list[int]:
    """Order of subsets in which consecutive ones lie far apart in angle."""
    order, left = [0], set(range(1, count))
    while left:
        choice = max(left, key=lambda k: (min(min(abs(k - o), count - abs(k - o)) for o in order[-3:]), -k))
        order.append(choice)
        left.remove(choice)
    return order


def _subset_matrix(
    lines: Lines, angles: NDArray[np.float64], y_mm: NDArray[np.float64], x_mm: NDArray[np.float64]
) -> sparse.csr_matrix:
    """Sparse (angles x bins, pixels) matrix: the fraction of each pixel's shadow that falls into each bin."""
    height, width = y_mm[1] - y_mm[0], x_mm[1] - x_mm[0]
    pixels = np.arange(y_mm.size * x_mm.size, dtype=np.int32)
    rows: list[NDArray[Any]] = []
    columns: list[NDArray[Any]] = []
    weights: list[NDArray[Any]] = []
    for number, angle in enumerate(angles):
        radius = (y_mm - lines.center_mm[0])[:, None] * np.sin(angle) + (x_mm - lines.center_mm[1]) * np.cos(angle)
        shadow = max(height * abs(np.sin(angle)), width * abs(np.cos(angle))) / lines.bin_mm
        low = radius.ravel() / lines.bin_mm + lines.n_bins / 2 - shadow / 2
        first = np.floor(low).astype(np.int32)
        for bin_number in range(int(np.ceil(shadow)) + 1):
            target = first + bin_number
            overlap = np.minimum(low + shadow, target + 1) - np.maximum(low, target)
            keep = (overlap > 1e-6) & (target >= 0) & (target < lines.n_bins)
            rows.append(number * lines.n_bins + target[keep])
            columns.append(pixels[keep])
            weights.append((overlap[keep] / shadow).astype(np.float32))
    shape = (angles.size * lines.n_bins, pixels.size)
    return sparse.csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
