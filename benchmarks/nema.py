"""Recovery of the NEMA spheres by preset, against the EARL1 bands; and the noise model against OSEM.

Run as `python benchmarks/nema.py`. Sphere to background 10:1, 2 kBq/mL, 5 min a bed, as EARL asks.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.acquisition import Acquisition
from petlesion.phantom.imaging import Reconstruction, acquire
from petlesion.phantom.nema import (
    EARL1_A50,
    EARL1_MAX,
    SPHERE_DIAMETERS_MM,
    NemaPhantom,
    nema_phantom,
    recovery_coefficients,
)
from petlesion.phantom.scanner import SCANNERS, Scanner
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

FILL = Acquisition(TracerName.F18_FDG, injected_mbq=2.0 * 60.0, weight_kg=60.0, uptake_s=0.0, bed_s=300.0)
"""SUV 1 is 2 kBq/mL."""
REPEATS = 4


def recovery_tables(phantom: NemaPhantom) -> None:
    """Print A50 and maximum of every preset, mean of repeated scans; * lies outside the EARL1 band."""
    print("recovery A50 / max; * outside the EARL1 band")
    print(f"{'':>24} {'':>6} " + " ".join(f"{diameter:>11.0f} mm" for diameter in SPHERE_DIAMETERS_MM))
    bands = [f"{a[0]:.2f}-{a[1]:.2f}" for a in EARL1_A50], [f"{m[0]:.2f}-{m[1]:.2f}" for m in EARL1_MAX]
    for name, band in zip(("EARL1 A50", "EARL1 max"), bands, strict=True):
        print(f"{name:>31} " + " ".join(f"{limits:>14}" for limits in band))
    for scanner in SCANNERS.values():
        for method in Reconstruction:
            rows = [recovery_coefficients(scan(phantom, scanner, method, seed), phantom) for seed in range(REPEATS)]
            a50, maximum = (
                np.mean([[getattr(row, name) for row in each] for each in rows], axis=0) for name in ("a50", "maximum")
            )
            cells = [
                f"{a:.2f}{_mark(a, low)}/ {m:.2f}{_mark(m, high)}"
                for a, m, low, high in zip(a50, maximum, EARL1_A50, EARL1_MAX, strict=True)
            ]
            print(f"{scanner.name:>24} {method:>6} " + " ".join(f"{cell:>14}" for cell in cells))


def _mark(value: float, band: tuple[float, float]) -> str:
    return " " if band[0] <= value <= band[1] else "*"


def scan(phantom: NemaPhantom, scanner: Scanner, method: Reconstruction, seed: int) -> Volume:
    """One scan of the phantom."""
    grid = scanner.grid_over(phantom.scene.grid)
    return Volume(acquire(phantom.scene, scanner, FILL, grid, method, np.random.default_rng(seed)), grid)


def noise_table(phantom: NemaPhantom) -> None:
    """Print noise and autocorrelation of both methods in the background of the phantom, and the time of a scan."""
    print("\nnoise of the background (difference of two scans), and its autocorrelation along x and z by voxels")
    print(f"{'':>24} {'':>6} {'CoV %':>6} {'x 1':>6} {'x 2':>6} {'x 3':>6} {'z 1':>6} {'z 2':>6} {'s a scan':>9}")
    for scanner in SCANNERS.values():
        noises = {}
        for method in Reconstruction:
            start = time.perf_counter()
            first, second = (scan(phantom, scanner, method, seed) for seed in (1, 2))
            seconds = (time.perf_counter() - start) / 2
            noises[method] = noise = _background(first.array - second.array, first.grid) / np.sqrt(2.0)
            correlations = [_correlation(noise, lag) for lag in ((0, 1), (0, 2), (0, 3), (1, 0), (2, 0))]
            print(
                f"{scanner.name:>24} {method:>6} {100 * noise.std():>6.1f} "
                + " ".join(f"{value:>6.2f}" for value in correlations)
                + f" {seconds:>9.1f}"
            )
        ratio = noises[Reconstruction.FAST].var() / noises[Reconstruction.OSEM].var()
        print(f"{'':>24} variance, noise model over OSEM: {ratio:.2f}")


def _background(difference: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """Region of the background below the spheres, free of insert and wall."""
    low, high = (np.rint(grid.to_index(point)).astype(int) for point in ((-60.0, 35.0, -75.0), (60.0, 70.0, 5.0)))
    return difference[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))]


def _correlation(noise: NDArray[np.float32], lag: tuple[int, int]) -> float:
    z, x = lag
    shifted, base = noise[z:, :, x:], noise[: -z or None, :, : -x or None]
    return float((shifted * base).mean() / (noise**2).mean())


if __name__ == "__main__":
    nema = nema_phantom()
    recovery_tables(nema)
    noise_table(nema)
