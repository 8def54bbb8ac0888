"""Expected and measured coincidences of a patient: trues behind attenuation, scatter, randoms, Poisson noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.projection import Projector
from petlesion.phantom.sampling import SIGMA_PER_FWHM

SCATTER_FWHM_MM = 220.0
"""Width of the scatter distribution in a projection: broad, as single scatter simulations of a torso show."""


@dataclass(frozen=True, eq=False)
class Prompts:
    """Expected counts of all lines of response, (rows, slices) float32 in the order of the projector.

    Attributes
    ----------
    weight
        Trues per unit line sum of the image (sensitivity times attenuation).
    trues, background
        Expected trues, and scattered plus random coincidences.
    """

    weight: NDArray[np.float32]
    trues: NDArray[np.float32]
    background: NDArray[np.float32]

    def measure(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Draw Poisson counts of the prompts."""
        return rng.poisson(self.trues + self.background).astype(np.float32)


@dataclass(frozen=True)
class BackgroundRatio:
    """Scattered and random coincidences over trues, summed over a slice."""

    scatter: float
    randoms: float


def expected_prompts(
    projector: Projector,
    image_sum: NDArray[np.float32],
    path_integral: NDArray[np.float32],
    trues_per_ml: NDArray[np.float32],
    pixel_ml: float,
    ratio: BackgroundRatio,
) -> Prompts:
    """Expected counts of a scan.

    Parameters
    ----------
    projector
        Gives the lines.
    image_sum
        (rows, slices) forward projection of the activity in SUV: sums over pixels.
    path_integral
        (rows, slices) integral of the linear attenuation along each line.
    trues_per_ml
        (slices,) expected trues, without attenuation, of 1 mL of SUV 1.
    pixel_ml
        Volume of the pixels that were projected, mL.
    ratio
        Background over trues.
    """
    scale = trues_per_ml * np.float32(pixel_ml / projector.lines.n_angles)
    weight = np.exp(-path_integral)
    weight *= scale
    trues = weight * image_sum
    return Prompts(weight, trues, _background(projector, trues, ratio))


def _background(projector: Projector, trues: NDArray[np.float32], ratio: BackgroundRatio) -> NDArray[np.float32]:
    """Scatter, as broad as the body, and randoms, the same in all bins that see the body's surroundings."""
    lines = projector.lines
    profile = trues.reshape(lines.n_angles, lines.n_bins, -1).mean(axis=0)
    distance = np.arange(lines.n_bins)[:, None] - np.arange(lines.n_bins)
    kernel = np.exp(-0.5 * (distance * lines.bin_mm / (SCATTER_FWHM_MM * SIGMA_PER_FWHM)) ** 2).astype(np.float32)
    scatter = kernel @ profile
    total = profile.sum(axis=0)
    scatter *= ratio.scatter * total / np.maximum(scatter.sum(axis=0), 1e-9)
    scatter += ratio.randoms * total / lines.n_bins
    tiled = np.broadcast_to(scatter, (lines.n_angles, *scatter.shape))
    return np.ascontiguousarray(tiled).reshape(trues.shape)
