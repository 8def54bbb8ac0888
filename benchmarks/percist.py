"""Time and memory of `percist`, mask and all measurements, on synthetic whole-body PET of three sizes with 100 lesions.

    python benchmarks/percist.py

Limits on 400 x 400 x 600 voxels: 15 s on two cores, and a peak of 6 times the float32 volume. Each size runs in a
process of its own, so that peaks do not mix; the peak is that of the process less what it held before the volume.
"""

from __future__ import annotations

import multiprocessing
import resource
import time

import numpy as np

LIMIT_S, LIMIT_VOLUMES = 15.0, 6.0
SIZES = ((150, 200, 200), (300, 283, 283), (600, 400, 400))
LESIONS = 100


def synthetic_study(shape: tuple[int, int, int]) -> object:
    """An oval body of SUV 1 with a liver of SUV 5, noise, and 100 hot spheres of 8 to 14 mm radius."""
    from petlesion.report import SuvRecord
    from petlesion.study import Patient, PetCt
    from petlesion.tracers import TRACERS, TracerName
    from petlesion.volume import Grid, Volume

    spacing = tuple(mm / n for mm, n in zip((1100.0, 500.0, 500.0), shape, strict=True))
    grid = Grid.from_geometry(shape, spacing, (-250.0, -250.0, 0.0))
    generator = np.random.default_rng(0)
    z, y, x = (spacing[axis] * np.arange(n, dtype=np.float32) for axis, n in enumerate(shape))
    pet = np.zeros(shape, np.float32)
    body = ((y[:, None] - 250) / 150) ** 2 + ((x - 250) / 200) ** 2 <= 1
    liver = ((y[:, None] - 230) / 90) ** 2 + ((x - 170) / 95) ** 2 <= 1
    for plane, height in zip(pet, z, strict=True):
        if 50 < height < 1050:
            plane[body] = 1.0
        if 600 < height < 780:
            plane[liver] = 5.0
        plane[body] *= 1 + 0.1 * generator.standard_normal(int(body.sum()), dtype=np.float32)
    for _ in range(LESIONS):
        centre = generator.uniform((80, 180, 330), (550, 320, 420))
        radius = generator.uniform(8, 14)
        placed = list(zip((z, y, x), centre, strict=True))
        box = [slice(*np.searchsorted(axis, (c - radius, c + radius))) for axis, c in placed]
        dz, dy, dx = (axis[part] - c for (axis, c), part in zip(placed, box, strict=True))
        inside = dz[:, None, None] ** 2 + dy[:, None] ** 2 + dx**2 <= radius**2
        pet[tuple(box)][inside] = 20.0
    suv = SuvRecord("g/ml", "unknown", None, None, None)
    return PetCt(Volume(pet, grid), None, TRACERS[TracerName.GA68_DOTATATE], Patient(), suv, "1.2", "1.2.3")


def run(shape: tuple[int, int, int]) -> tuple[float, float, int]:
    """Seconds, peak in volumes, and lesions found."""
    from petlesion.measure.biomarkers import measure
    from petlesion.segment.methods import segment
    from petlesion.segment.options import SegmentOptions

    segment(synthetic_study((50, 60, 60)), SegmentOptions())  # imports, outside the measurement
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    study = synthetic_study(shape)
    started = time.perf_counter()
    report = measure(study, segment(study, SegmentOptions()))
    seconds = time.perf_counter() - started
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return seconds, peak / study.pet.array.nbytes, report.totals.n_lesions


def main() -> None:
    """Print the table."""
    print(f"{'voxels':>8} {'s':>7} {'s per 10 M':>11} {'peak / volume':>14} {'regions':>8}")
    for shape in SIZES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, volumes, found = pool.apply(run, (shape,))
        voxels = float(np.prod(shape)) / 1e6
        print(f"{voxels:6.0f} M {seconds:7.2f} {10 * seconds / voxels:11.3f} {volumes:14.2f} {found:8}")
    print(f"limits on the last: {LIMIT_S:g} s ({seconds / LIMIT_S:.2f} used), {LIMIT_VOLUMES:g} volumes")


if __name__ == "__main__":
    main()
