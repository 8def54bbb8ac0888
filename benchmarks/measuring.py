"""Time and memory of measuring 100 lesions and writing the PDF, on three sizes of PET; and ways to compute SUVpeak.

Run as `python benchmarks/measuring.py`. Memory is the peak of what Python and numpy allocate (tracemalloc), divided by
the size of PET and labels.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.measure.peak import sphere_means, sphere_offsets
from petlesion.present.pdf import write_pdf
from petlesion.report import MethodRecord, SuvRecord
from petlesion.study import Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

SIZES = (((600, 200, 200), 3.3), ((600, 283, 283), 2.33), ((600, 400, 400), 1.65))
"""Shape (z, y, x) and in-plane spacing, mm, of the same field of view; slices of 3 mm."""
BIG_RADIUS_MM = 62.0
"""Radius of a lesion of 1 L."""


def ball(grid: Grid, centre_mm: NDArray[np.float64], radius_mm: float) -> tuple[tuple[slice, ...], NDArray[np.bool_]]:
    """Box and mask within it of a ball inside the grid."""
    centre = grid.to_index(centre_mm)
    reach = radius_mm / np.array(grid.spacing_mm)
    low = np.maximum(np.floor(centre - reach), 0).astype(int)
    high = np.minimum(np.ceil(centre + reach) + 1, grid.shape).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    steps = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
    return box, np.linalg.norm(grid.to_world(np.stack(steps, -1)) - centre_mm, axis=-1) <= radius_mm


def patient(shape: tuple[int, int, int], mm: float) -> tuple[PetCt, Lesions]:
    """A noise image with one lesion of 1 L and 99 of 0.1 to 30 mL on a lattice of 60 mm."""
    rng = np.random.default_rng(0)
    grid = Grid.from_geometry(shape, (3.0, mm, mm))
    labels = np.zeros(shape, dtype=np.uint16)
    box, mask = ball(grid, np.array([330.0, 330.0, 150.0]), BIG_RADIUS_MM)
    labels[box][mask] = 1
    places = [(x, y, z) for z in range(250, 1780, 60) for y in (300, 360) for x in (300, 360)][:99]
    radii = np.sort(rng.uniform(3.0, 19.0, len(places)))[::-1]
    for number, (place, radius) in enumerate(zip(places, radii, strict=True), start=2):
        box, mask = ball(grid, np.array(place, dtype=float), radius)
        labels[box][mask] = number
    study = PetCt(
        pet=Volume(rng.random(shape, dtype=np.float32), grid),
        ct=None,
        tracer=TRACERS[TracerName.F18_FDG],
        patient=Patient(),
        suv=SuvRecord("GML", "START", 1.0, None, None),
        study_instance_uid="1.2",
        pet_series_instance_uid="1.2.3",
    )
    return study, Lesions(labels, grid, MethodRecord("fixed", "1"))


def measuring() -> None:
    """Print time and memory of measuring and of the PDF, one line a size."""
    print(f"{'':>36} {'measure':>28} {'PDF':>20}")
    print(
        f"{'voxels':>12} {'lesions':>8} {'lesion voxels':>14} {'s':>10} {'ns/voxel':>9} {'mem/input':>9}"
        f" {'s':>10} {'mem/input':>9}"
    )
    for shape, mm in SIZES:
        study, lesions = patient(shape, mm)
        report = measure(study, lesions)
        voxels = int(np.prod(shape))
        size = study.pet.array.nbytes + lesions.labels.nbytes
        with TemporaryDirectory() as folder:
            path = Path(folder) / "report.pdf"
            write_pdf(study, lesions, report, path)  # imports and fonts, once a process
            calls = (partial(measure, study, lesions), partial(write_pdf, study, lesions, report, path))
            (seconds, peak), (pdf_seconds, pdf_peak) = (_cost(call) for call in calls)
        print(
            f"{voxels:>12,} {report.totals.n_lesions:>8} {np.count_nonzero(lesions.labels):>14,} {seconds:>10.2f}"
            f" {1e9 * seconds / voxels:>9.2f} {peak / size:>9.3f} {pdf_seconds:>10.2f} {pdf_peak / size:>9.3f}"
        )


def _cost(call: Callable[[], object]) -> tuple[float, int]:
    """Seconds, and in a second run the peak of allocated bytes."""
    seconds = _milliseconds(call) / 1000
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak


def peak_methods() -> None:
    """SUVpeak of one lesion by gathering (ours), direct convolution and FFT convolution of its bounding box."""
    print(f"\n{'lesion':>28} {'voxels':>8} {'gather ms':>10} {'convolve ms':>12} {'fft ms':>8}")
    shape, mm = (220, 220, 220), 1.65
    grid = Grid.from_geometry(shape, (mm, mm, mm))
    pet = Volume(np.random.default_rng(0).random(shape, dtype=np.float32), grid)
    compact = {f"ball of {4.19e-3 * r**3:.1f} mL": ball(grid, np.full(3, 180.0), r)[1] for r in (5.0, 13.4, 62.0)}
    scattered = np.zeros(shape, dtype=bool)
    scattered[10:-10:5, 10:-10:5, 10:-10:5] = True
    offsets = sphere_offsets(grid)
    reach = offsets.max(axis=0)
    kernel = np.zeros(2 * reach + 1)
    kernel[tuple((offsets + reach).T)] = 1.0 / len(offsets)
    for name, mask in {**compact, "scattered over the image": scattered}.items():
        padded = np.pad(mask, reach[0])
        crop = pet.array[tuple(slice(0, n) for n in padded.shape)]
        voxels = np.argwhere(mask) + reach
        times = [
            _milliseconds(partial(sphere_means, pet, voxels)),
            _milliseconds(partial(ndimage.convolve, crop, kernel, output=np.float64)),
            _milliseconds(partial(signal.fftconvolve, crop, kernel, mode="same")),
        ]
        print(f"{name:>28} {len(voxels):>8,} {times[0]:>10.2f} {times[1]:>12.2f} {times[2]:>8.2f}")


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    measuring()
    peak_methods()
