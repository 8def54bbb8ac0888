"""Random numbers of a simulated patient: one independent stream for each purpose, and smooth noise."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Generator that depends on the seed and the purpose alone, so that a new draw elsewhere shifts nothing here.

    Parameters
    ----------
    seed
        Non-negative seed of the patient.
    purpose
        What the numbers are for, such as "anatomy/liver".
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(crc32(purpose.encode()),)))


def truncated_normal(rng: np.random.Generator, mean: float, sd: float, limit: float = 2.0) -> float:
    """One normal draw within `limit` standard deviations of the mean, by redrawing."""
    while True:
        z = rng.standard_normal()
        if abs(z) <= limit:
            return float(mean + sd * z)


def lognormal(rng: np.random.Generator, mean: float, sd: float, limit: float = 2.0) -> float:
    """One positive draw with (before truncation at `limit` log-SDs) this arithmetic mean and standard deviation."""
    if mean <= 0:
        return 0.0
    variance = float(np.log1p((sd / mean) ** 2))
    return float(mean * np.exp(truncated_normal(rng, 0.0, variance**0.5, limit) - variance / 2))


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: float, length_mm: float
) -> NDArray[np.float32]:
    """Smooth noise of mean 0 and SD 1: random coefficients of cubic B-splines with knots every `length_mm`.

    Parameters
    ----------
    rng
        Source of the coefficients.
    shape
        Shape (z, y, x) of the result.
    spacing_mm
        Voxel edge, mm.
    length_mm
        Distance of the knots, mm; about the width at half height of a blob.

    Returns
    -------
    numpy.ndarray
        float32 of `shape`.
    """
    weights = [_bspline_weights(n, spacing_mm / length_mm) for n in shape]
    noise = rng.standard_normal(tuple(w.shape[1] for w in weights), dtype=np.float32)
    # Axis by axis as matrix products: far faster than interpolating the volume.
    for w in weights:
        noise = np.tensordot(noise, w, axes=(0, 1))
    return np.ascontiguousarray(noise)


def _bspline_weights(count: int, step: float) -> NDArray[np.float32]:
    """(count, knots) weights of uniform cubic B-splines at 0, step, 2 step, ...; rows have unit norm."""
    position = np.arange(count) * step
    knots = np.arange(int(position[-1]) + 4) - 1
    t = np.abs(position[:, None] - knots[None, :])
    w = np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.where(t < 2, (2 - t) ** 3 / 6, 0.0))
    return np.asarray(w / np.linalg.norm(w, axis=1, keepdims=True), dtype=np.float32)
