"""Noise and convergence of OSEM without running it: the linearised theory of EM, on a map of local variance.

EM multiplies the image by back-projected ratios, so its noise is log-normal and proportional to the mean (Barrett,
Wilson and Tsui, PMB 1994). Around the mean, n updates act as a filter. With the eigenvalue of one update at spatial
frequency rho (1/mm) in a slice,

    lambda(rho) = 1 / (pi rho L),

where L (mm) is the local path of activity that shares the lines through a point, the image reaches the fraction
1 - (1 - lambda)^n of its contrast, and the relative noise has the power spectrum (mm^2)

    NPS(rho) = V L (1 - (1 - lambda)^n)^2 / lambda,

where V (mm) is the relative variance that the counts give a back-projected point. A point spread H that is part of the
model multiplies lambda by H^2. V and L are computed from the patient's own activity and attenuation with a coarse
projector. `docs/simulated-scanner.md` compares the outcome with OSEM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from petlesion.phantom.counts import Prompts
from petlesion.phantom.projection import Projector
from petlesion.phantom.sampling import SIGMA_PER_FWHM
from petlesion.volume import Grid

MAX_LOG_VARIANCE = 1.0
"""Bound of the local log-variance: beyond it, where hardly any counts come from, the theory does not hold."""
LEVEL_SPEEDS = ((0.25, 0.5), (1.0, 3.0), (4.0, 12.0))
"""Convergence of structures: activity over the body's mean, and the factor on lambda. A hot structure shortens its own
L; the middle factor, of structures as hot as the body, was set on OSEM images of a cylinder."""
_SHORTEST_PATH_MM = 20.0


@dataclass(frozen=True, eq=False)
class LocalStatistics:
    """What counts say about a point, on the grid that was projected.

    Attributes
    ----------
    variance_mm
        (pixels, slices) V, mm.
    slowness_mm
        (pixels, slices) L of a point of SUV 1, mm; L of any point is this over its SUV.
    path_mm
        L of the mean of the body, mm.
    body_suv
        Mean (median) activity of the body.
    """

    variance_mm: NDArray[np.float32]
    slowness_mm: NDArray[np.float32]
    path_mm: float
    body_suv: float


def local_statistics(projector: Projector, prompts: Prompts, image: NDArray[np.float32]) -> LocalStatistics:
    """Relative variance and activity path of all points of the slices.

    Parameters
    ----------
    projector
        A coarse one is enough: all but the point's own activity varies slowly.
    prompts
        Expected counts on its lines.
    image
        (pixels, slices) SUV that was projected.
    """
    expected = prompts.trues + prompts.background + np.float32(1e-6)
    sensitivity = np.maximum(projector.backward(prompts.weight), 1e-9)
    information = np.maximum(projector.backward(prompts.weight**2 / expected), 1e-9)
    variance = projector.lines.bin_mm * information / sensitivity**2
    slowness = sensitivity * projector.path_mm / information
    inside = image > 0.1 * image.mean()
    body = float(np.median(image[inside]))
    path = float(np.median(slowness[inside])) / body
    return LocalStatistics(variance.astype(np.float32), slowness.astype(np.float32), path, body)


@dataclass(frozen=True)
class EmFilter:
    """Frequency response of n updates of EM.

    Attributes
    ----------
    updates
        Iterations times subsets.
    path_mm
        L of the body.
    fwhm_mm
        Point spread that is part of the model; 0 without resolution recovery.
    """

    updates: int
    path_mm: float
    fwhm_mm: float

    def eigenvalue(self, grid: Grid) -> NDArray[np.float32]:
        """Lambda on the half-complex frequencies of `grid` (z, y, x / 2 + 1), between 0 and 1."""
        z, y, x = (
            frequencies(size, step)
            for frequencies, size, step in zip(
                (np.fft.fftfreq, np.fft.fftfreq, np.fft.rfftfreq), grid.shape, grid.spacing_mm, strict=True
            )
        )
        in_plane = np.sqrt(y[:, None] ** 2 + x**2)
        in_plane[0, 0] = np.inf
        eigenvalue = np.minimum(1.0 / (np.pi * np.where(np.isinf(in_plane), 1e-9, in_plane) * self.path_mm), 1.0)
        total = np.broadcast_to(eigenvalue.astype(np.float32), (z.size, *eigenvalue.shape))
        if self.fwhm_mm == 0.0:
            return total
        return np.asarray(total * gaussian_response(grid, self.fwhm_mm) ** 2)

    def contrast(self, eigenvalue: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
        """Fraction of the contrast of structures that is reached, by frequency; `speed` is of `LEVEL_SPEEDS`."""
        return self._converged(np.minimum(np.float32(speed) * eigenvalue, 1.0))

    def noise_power_mm2(self, eigenvalue: NDArray[np.float32]) -> NDArray[np.float32]:
        """Power spectrum of the relative noise for V = 1 mm, mm^2; 0 at the mean of a slice."""
        power = self.path_mm * self._converged(eigenvalue) ** 2 / np.maximum(eigenvalue, 1e-9)
        return np.asarray(np.where(eigenvalue >= 1.0, 0.0, power), dtype=np.float32)

    def _converged(self, eigenvalue: NDArray[np.float32]) -> NDArray[np.float32]:
        """1 - (1 - lambda)^n."""
        return np.asarray(-np.expm1(self.updates * np.log1p(-np.minimum(eigenvalue, 1 - 1e-6))), dtype=np.float32)


def gaussian_response(grid: Grid, fwhm_mm: float | tuple[float, float, float]) -> NDArray[np.float32]:
    """Response of a Gaussian on the half-complex frequencies of `grid`, (z, y, x / 2 + 1) float32."""
    widths = (fwhm_mm,) * 3 if isinstance(fwhm_mm, float | int) else fwhm_mm
    axes = [
        np.exp(-2.0 * (np.pi * frequencies(size, step) * width * SIGMA_PER_FWHM) ** 2).astype(np.float32)
        for frequencies, size, step, width in zip(
            (np.fft.fftfreq, np.fft.fftfreq, np.fft.rfftfreq), grid.shape, grid.spacing_mm, widths, strict=True
        )
    ]
    return np.asarray(axes[0][:, None, None] * axes[1][:, None] * axes[2])


def filtered(array: NDArray[np.float32], response: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a real frequency response to a volume; the volume is periodic, so leave a margin of air around it."""
    return _inverse(fft.rfftn(array), response, array.shape)


def _inverse(
    spectrum: NDArray[np.complex64], response: NDArray[np.float32], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    return np.asarray(fft.irfftn(spectrum * response, s=shape, overwrite_x=True), dtype=np.float32)


def converged_mean(
    image: NDArray[np.float32], em: EmFilter, eigenvalue: NDArray[np.float32], body_suv: float
) -> NDArray[np.float32]:
    """Mean image of OSEM: hot structures reach more of their contrast than cold ones.

    Parameters
    ----------
    image
        (z, y, x) activity, blurred by what the reconstruction does not model.
    em
        Updates and resolution model.
    eigenvalue
        Of `em` on the grid of the image.
    body_suv
        Mean activity of the body.
    """
    spectrum = fft.rfftn(image)
    levels, speeds = zip(*LEVEL_SPEEDS, strict=True)
    means = [_inverse(spectrum, em.contrast(eigenvalue, speed), image.shape) for speed in speeds]
    position = np.interp(
        np.log(np.maximum(means[1], 1e-3) / np.float32(body_suv)), np.log(levels), np.arange(len(levels))
    ).astype(np.float32)
    mean = np.zeros_like(image)
    for number, level_mean in enumerate(means):
        mean += np.maximum(1.0 - np.abs(position - np.float32(number)), 0.0) * level_mean
    return np.maximum(mean, 0.0, out=mean)


def relative_variance(
    em: EmFilter,
    mean: NDArray[np.float32],
    variance_mm: NDArray[np.float32],
    slowness_mm: NDArray[np.float32],
    grid: Grid,
) -> NDArray[np.float32]:
    """Variance of the relative noise of every voxel, before any post-filter.

    Parameters
    ----------
    em
        Updates and resolution model.
    mean
        (z, y, x) noise-free SUV on `grid`.
    variance_mm, slowness_mm
        (z, y, x) V and L of SUV 1 on `grid`, mm.
    grid
        Grid of the image; its spacing bounds the frequencies that noise can have.

    Returns
    -------
    numpy.ndarray
        (z, y, x) float32.
    """
    sample = Grid.from_geometry((16, 64, 64), grid.spacing_mm)
    paths = np.geomspace(_SHORTEST_PATH_MM, 4000.0, 12)
    gains = []
    for path in paths:
        local = replace(em, path_mm=float(path))
        power = local.noise_power_mm2(local.eigenvalue(sample))
        weight = np.full(power.shape[2], 2.0)
        weight[[0, -1]] = 1.0  # the half-complex spectrum holds these frequencies once
        voxels = np.prod(sample.shape) * sample.spacing_mm[1] * sample.spacing_mm[2]
        gains.append(float((power * weight).sum() / voxels))
    position = np.log(np.clip(slowness_mm / np.maximum(mean, 1e-3), paths[0], paths[-1]) / np.float32(paths[0]))
    gain = np.interp(position, np.log(paths / paths[0]), gains)
    return np.asarray(variance_mm * gain, dtype=np.float32)


def log_normal_noise(
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    grid: Grid,
    power_mm2: NDArray[np.float32],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Image with multiplicative log-normal noise of a given spectrum and local variance, and the same mean.

    Parameters
    ----------
    mean
        (z, y, x) noise-free image, not negative.
    variance
        (z, y, x) variance of the relative noise.
    grid
        Grid of both.
    power_mm2
        Shape of the noise power on the half-complex frequencies of `grid`.
    rng
        Source of chance.
    """
    white = rng.standard_normal(grid.shape, dtype=np.float32)
    noise = filtered(white, np.sqrt(power_mm2))
    log_variance = np.minimum(np.log1p(variance), MAX_LOG_VARIANCE)
    noise *= np.sqrt(log_variance / noise.var())
    noise -= 0.5 * log_variance
    return np.asarray(mean * np.exp(noise, out=noise))
