"""Volume error of gradient edges against a 41 % contour and the detection threshold, on simulated spheres.

Run as `python benchmarks/gradient_spheres.py`. Spheres of known diameter in a background of SUV 1 are blurred to 6 mm
FWHM and averaged over the voxels of several grids, at several positions within a voxel, with correlated noise. The
detection threshold is that of the modified PERCIST with the background as liver: 1.5 x mean + 2 x SD. Errors are of
the volume, in per cent of the truth: mean over positions and contrasts, and the greatest single one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.segment.components import label_components
from petlesion.segment.gradient import gradient_edges
from petlesion.segment.relative import detected_contours

DIAMETERS_MM = (15.0, 17.0, 20.0, 22.0, 28.0, 37.0, 40.0)
SPACINGS_MM = ((2.0, 2.0, 2.0), (3.0, 3.0, 3.0), (3.27, 4.0, 4.0), (4.0, 4.0, 4.0), (3.27, 5.0, 5.0), (5.0, 5.0, 5.0))
CONTRASTS = (3.0, 5.0, 10.0)
NOISES = (0.0, 0.05, 0.1)
POSITIONS = 4
FWHM_MM = 6.0
NOISE_FWHM_MM = 5.0
FINE_MM = 1.0
MARGIN_MM = 30.0
FWHM_PER_SIGMA = 2.3548
METHODS = ("gradient", "41 %", "detection")


@dataclass(frozen=True)
class Setting:
    """One row of the table."""

    diameter_mm: float
    noise: float
    spacing_mm: tuple[float, float, float]

    @property
    def volume_ml(self) -> float:
        """Volume of the sphere, mL."""
        return float(np.pi / 6 * self.diameter_mm**3 / 1000)


def blurred_sphere(setting: Setting, center_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sphere of height 1, blurred and averaged over voxels (z, y, x), its centre off the middle by `center_mm`."""
    fine = [max(2, int(np.ceil(spacing / FINE_MM))) for spacing in setting.spacing_mm]
    step = [spacing / n for spacing, n in zip(setting.spacing_mm, fine, strict=True)]
    size = [2 * int(np.ceil((setting.diameter_mm / 2 + MARGIN_MM) / spacing)) + 1 for spacing in setting.spacing_mm]
    axes = [
        (np.arange(n * k) - (n * k - 1) / 2) * s - c for n, k, s, c in zip(size, fine, step, center_mm, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    surface = (setting.diameter_mm / 2 - np.sqrt(z**2 + y**2 + x**2)) / float(np.mean(step))
    image = ndimage.gaussian_filter(
        np.clip(surface + 0.5, 0, 1).astype(np.float32), [FWHM_MM / FWHM_PER_SIGMA / s for s in step]
    )
    blocks = image.reshape(size[0], fine[0], size[1], fine[1], size[2], fine[2])
    return np.asarray(blocks.mean(axis=(1, 3, 5)))


def errors(setting: Setting) -> Iterator[tuple[float, float, float]]:
    """Relative volume errors of the three methods at every position and contrast."""
    rng = np.random.default_rng(round(setting.diameter_mm * 10 + sum(setting.spacing_mm)))
    voxel_ml = float(np.prod(setting.spacing_mm)) / 1000
    for _ in range(POSITIONS):
        sphere = blurred_sphere(setting, rng.uniform(-0.5, 0.5, 3) * setting.spacing_mm)
        sigma = [NOISE_FWHM_MM / FWHM_PER_SIGMA / spacing for spacing in setting.spacing_mm]
        texture = ndimage.gaussian_filter(rng.standard_normal(sphere.shape), sigma)
        texture /= texture.std()
        for contrast in CONTRASTS:
            image = ((1 + (contrast - 1) * sphere) * (1 + setting.noise * texture)).astype(np.float32)
            threshold = 1.5 + 2 * setting.noise
            detected = label_components(image >= threshold, voxel_ml, 0.1)
            center = tuple(n // 2 for n in image.shape)
            everywhere = np.ones(image.shape, dtype=bool)
            results = (
                gradient_edges(image, detected, setting.spacing_mm).labels,
                detected_contours(image, detected, threshold, 0.41, everywhere, setting.spacing_mm).labels,
                detected,
            )
            gradient, relative, threshold_error = (
                float(np.count_nonzero(labels == labels[center]) * voxel_ml / setting.volume_ml - 1)
                for labels in results
            )
            yield gradient, relative, threshold_error


def main() -> None:
    """Print a line for each diameter and noise, over all grids, and one for each grid."""
    rows = {
        (diameter, noise, spacing): np.array(list(errors(Setting(diameter, noise, spacing))))
        for diameter in DIAMETERS_MM
        for noise in NOISES
        for spacing in SPACINGS_MM
    }
    columns = "".join(f"{name:>12}{'greatest':>10}" for name in METHODS)
    print(f"{'diameter mm':>12} {'noise':>6}{columns}")
    for diameter in DIAMETERS_MM:
        for noise in NOISES:
            show(
                f"{diameter:>12g} {noise:>6.0%}",
                np.concatenate([values for (d, n, _), values in rows.items() if (d, n) == (diameter, noise)]),
            )
    print(f"\n{'voxel mm (z, y, x)':>19}{columns}   all diameters and noise levels")
    for spacing in SPACINGS_MM:
        text = " x ".join(f"{s:g}" for s in spacing)
        show(f"{text:>19}", np.concatenate([values for (*_, s), values in rows.items() if s == spacing]))
    every = np.concatenate(list(rows.values()))
    within = (np.abs(every) <= 0.1).mean(axis=0)
    print("\nwithin 10 %: " + ", ".join(f"{name} {share:.0%}" for name, share in zip(METHODS, within, strict=True)))


def show(title: str, values: NDArray[np.float64]) -> None:
    """Print mean and greatest error of each method."""
    greatest = values[np.argmax(np.abs(values), axis=0), range(values.shape[1])]
    print(title + "".join(f"{m:>+11.1%} {g:>+9.0%}" for m, g in zip(values.mean(axis=0), greatest, strict=True)))


if __name__ == "__main__":
    main()
