"""Time and memory of segmentation on a whole-body PET with 100 lesions, on three sizes of PET.

Run as `python benchmarks/segmentation.py`. Each size is segmented in a process of its own. Memory is the greatest
resident size of that process, interpreter and PET included, divided by the size of the PET as float32; the last column
is that after the lesions have been measured too.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.report import SuvRecord
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.segment.reference import find_reference
from petlesion.study import Patient, PetCt
from petlesion.tracers import TRACERS, TracerName
from petlesion.volume import Grid, Volume

SIZES = (((600, 200, 200), 3.3), ((600, 283, 283), 2.33), ((600, 400, 400), 1.65))
"""Shape (z, y, x) and in-plane spacing, mm, of the same field of view; slices of 3 mm."""
LESIONS = 100
EDGE_MM = 3.0
"""Width of the soft edge that stands for the scanner's resolution, mm."""
NOISE = 0.1
ORGANS = (
    # centre (x, y, z) and half axes, mm from the middle of the image; SUV
    ((0, 0, 0), (165, 108, 700), 0.6),
    ((0, 0, 760), (75, 90, 90), 0.6),
    ((-82, 0, 350), (55, 65, 105), 0.3),
    ((82, 0, 350), (55, 65, 105), 0.3),
    ((25, -35, 320), (45, 40, 45), 1.0),
    ((-70, -5, 220), (80, 80, 85), 5.5),
    ((15, -45, 240), (70, 38, 40), 5.5),
    ((108, 42, 235), (30, 42, 52), 20.0),
    ((-62, 62, 130), (28, 28, 52), 13.0),
    ((62, 62, 150), (28, 28, 52), 13.0),
    ((0, -10, -20), (35, 35, 35), 25.0),
)
CLICK_MM = (60.0, -20.0, -300.0)


@dataclass(frozen=True)
class Result:
    """Seconds and memory of one size."""

    lesions: int
    seconds: dict[str, float]
    memory: float
    memory_with_measuring: float


def ellipsoid(
    suv: NDArray[np.float32], grid: Grid, center: tuple[float, ...], half: tuple[float, ...], value: float
) -> None:
    """Set an ellipsoid with soft edges to a value, within its box."""
    reach = (np.array(half[::-1]) + EDGE_MM) / grid.spacing_mm
    middle = grid.to_index(center)
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.minimum(np.ceil(middle + reach) + 1, grid.shape).astype(int)
    z, y, x = (
        (np.arange(a, b, dtype=np.float32) * spacing + origin - c) / h
        for a, b, spacing, origin, c, h in zip(
            low, high, grid.spacing_mm, grid.origin_mm[::-1], center[::-1], half[::-1], strict=True
        )
    )
    box = suv[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    for plane, height in zip(box, z, strict=True):
        distance = (np.sqrt(height**2 + y[:, None] ** 2 + x**2) - 1) * np.float32(min(half))
        share = 1 / (1 + np.exp(np.clip(4 * distance / EDGE_MM, -30, 30)))
        plane += share * (value - plane)


def patient(shape: tuple[int, int, int], spacing_mm: float) -> PetCt:
    """A 68Ga-DOTATATE patient with 100 lesions of 4 to 15 mm radius in the trunk."""
    rng = np.random.default_rng(0)
    size = np.array(shape) * (3.0, spacing_mm, spacing_mm)
    grid = Grid.from_geometry(shape, (3.0, spacing_mm, spacing_mm), -size[::-1] / 2)
    suv = np.zeros(shape, dtype=np.float32)
    for center, half, value in ORGANS:
        ellipsoid(suv, grid, center, half, value)
    places = [(x, y, z) for z in range(-650, -100, 40) for y in (-60, -20, 20, 60) for x in (-100, -60, 60, 100)]
    for index in rng.permutation(len(places))[: LESIONS - 1]:
        radius = float(rng.uniform(4.0, 15.0))
        ellipsoid(suv, grid, places[index], (radius,) * 3, float(rng.uniform(15.0, 40.0)))
    ellipsoid(suv, grid, CLICK_MM, (12.0,) * 3, 30.0)
    for plane in suv:
        plane *= 1 + NOISE * rng.standard_normal(plane.shape, dtype=np.float32)
    return PetCt(
        pet=Volume(suv, grid),
        ct=None,
        tracer=TRACERS[TracerName.GA68_DOTATATE],
        patient=Patient(),
        suv=SuvRecord("GML", "START", 1.0, None, None),
        study_instance_uid="1.2",
        pet_series_instance_uid="1.2.3",
    )


def run(size: tuple[tuple[int, int, int], float]) -> Result:
    """Segment one PET by every method."""
    study = patient(*size)
    corner = Volume(study.pet.array[:9, 90:99, 90:99], Grid.from_geometry((9, 9, 9), study.pet.grid.spacing_mm))
    segment(replace(study, pet=corner), SegmentOptions())  # imports
    seconds: dict[str, float] = {}
    seconds["percist"], lesions = timed(study, SegmentOptions())
    memory = peak(study)
    measure(study, lesions)
    with_measuring = peak(study)
    reference, _ = find_reference(study)
    seconds["relative"], _ = timed(study, SegmentOptions(MethodName.RELATIVE))
    incremental = SegmentOptions(MethodName.RELATIVE, incremental=True, fraction=0.45, min_suv_max=2.0)
    seconds["incremental"], _ = timed(study, incremental)
    seconds["gradient"], _ = timed(study, SegmentOptions(MethodName.GRADIENT))
    seconds["click"], _ = timed(study, SegmentOptions(point_mm=CLICK_MM))
    seconds["click, known"], _ = timed(study, SegmentOptions(point_mm=CLICK_MM, reference=reference))
    seconds["click, edge"], _ = timed(study, SegmentOptions(MethodName.GRADIENT, point_mm=CLICK_MM))
    return Result(lesions.count, seconds, memory, with_measuring)


def timed(study: PetCt, options: SegmentOptions) -> tuple[float, Lesions]:
    """Seconds that a segmentation takes, and its result."""
    start = time.perf_counter()
    lesions = segment(study, options)
    return time.perf_counter() - start, lesions


def peak(study: PetCt) -> float:
    """Greatest resident size so far, in sizes of the PET."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / study.pet.array.nbytes


def main() -> None:
    """Print a line for each size."""
    context = multiprocessing.get_context("spawn")
    for number, size in enumerate(SIZES):
        with context.Pool(1) as pool:
            result = pool.apply(run, (size,))
        if number == 0:
            names = "".join(f"{name:>14}" for name in result.seconds)
            print(f"{'voxels':>12} {'lesions':>8} {'memory':>7} {'measured':>9}  seconds:{names}")
        voxels = "x".join(map(str, size[0]))
        times = "".join(f"{value:>14.2f}" for value in result.seconds.values())
        memory = f"{result.memory:>6.1f}x {result.memory_with_measuring:>8.1f}x"
        print(f"{voxels:>12} {result.lesions:>8} {memory} {'':>9}{times}", flush=True)


if __name__ == "__main__":
    main()
