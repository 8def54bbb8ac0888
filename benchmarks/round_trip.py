"""Simulated patients → DICOM of each vendor → segmentation: how much of a lesion's true volume and SUV comes back.

Run as `python benchmarks/round_trip.py [--patients N] [--tracer T]`. Detection by the patient's threshold, boundary at
the edge of uptake (`--method gradient`). A lesion is found when the largest region that shares voxels with it is no
larger than twice its volume plus 2 mL: regions that swallow an organ beside it tell nothing about it, and count as
merged. Lesions whose true SUV is below the patient's threshold (from the liver) cannot be found, and are counted apart
as below; the rest is missed. Ratios are measured over true: median, and 10th to 90th percentile, by true volume. The
true SUV is the mean over the lesion, a cold core included, before the scanner; SUVmax comes near it where the lesion is
larger than twice the resolution.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from petlesion.measure.biomarkers import measure
from petlesion.nifti import read_labels
from petlesion.phantom.scanner import Vendor
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort
from petlesion.reader import read_study
from petlesion.resample import Interpolation, resample
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.tracers import TracerName

SEED = 40
EDGES_ML = (0.1, 0.5, 1.0, 2.0, 4.0, 10.0, 200.0)
OUTCOMES = ("below", "missed", "merged", "found")
CONTRAST = 3.0
"""Lesions at least so many times as hot as the tissue around them; the others are counted but not compared."""


@dataclass(frozen=True)
class Recovery:
    """A lesion: its true volume, what became of it, and where found measured over true volume, SUVmax and SUVmean."""

    volume_ml: float
    outcome: str
    ratios: tuple[float, float, float] | None = None


def recoveries(folder: Path) -> list[Recovery]:
    """All clear lesions of a patient."""
    study = read_study(folder / "dicom")
    lesions = segment(study, SegmentOptions(method=MethodName.GRADIENT))
    report = measure(study, lesions)
    truth = resample(read_labels(folder / "truth" / "lesions.nii.gz"), study.pet.grid, Interpolation.NEAREST).array
    threshold = lesions.reference.threshold or 0.0
    found = []
    for true in json.loads((folder / "truth" / "truth.json").read_text())["lesions"]:
        if true["suv_mean"] < CONTRAST * true["suv_local"]:
            continue
        common = np.bincount(lesions.labels[truth == true["id"]], minlength=2)[1:]
        record = report.lesions[int(np.argmax(common))] if common.any() else None
        if record is None:
            outcome = "below" if true["suv_mean"] < threshold else "missed"
            found.append(Recovery(true["volume_ml"], outcome))
            continue
        if record.volume_ml > 2 * true["volume_ml"] + 2:
            found.append(Recovery(true["volume_ml"], "merged"))
            continue
        pairs = (
            (record.volume_ml, true["volume_ml"]),
            (record.suv_max, true["suv_mean"]),
            (record.suv_mean, true["suv_mean"]),
        )
        volume, highest, mean = (measured / real for measured, real in pairs)
        found.append(Recovery(true["volume_ml"], "found", (volume, highest, mean)))
    return found


def shown(values: NDArray[np.float64]) -> str:
    """Median and spread."""
    low, middle, high = np.percentile(values, (10, 50, 90))
    return f"{middle:.2f} ({low:.2f}-{high:.2f})"


def main() -> None:
    """Simulate, segment, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patients", type=int, default=4, help="of each vendor")
    parser.add_argument("--tracer", type=TracerName, default=TracerName.GA68_DOTATATE)
    given = parser.parse_args()
    for vendor in Vendor:
        with TemporaryDirectory() as folder:
            options = SimulateOptions(
                given.tracer, patients=given.patients, seed=SEED, vendor=vendor, dicom=True, diseased_fraction=1.0
            )
            simulate_cohort(options, Path(folder) / "cohort")
            patients = sorted(path.parents[1] for path in Path(folder).glob("cohort/*/truth/truth.json"))
            rows = [row for patient in patients for row in recoveries(patient)]
        print(f"\n{vendor}: {len(rows)} lesions at least {CONTRAST:g} times as hot as their surroundings")
        print(f"{'true mL':>12} {'lesions':>8} " + " ".join(f"{outcome:>6}" for outcome in OUTCOMES), end=" ")
        print(f"{'volume':>18} {'SUVmax':>18} {'SUVmean':>18}")
        for low, high in pairwise(EDGES_ML):
            size = [row for row in rows if low <= row.volume_ml < high]
            ratios = np.array([row.ratios for row in size if row.ratios is not None])
            columns = [f"{shown(column):>18}" for column in ratios.T] if len(ratios) else []
            numbers = [f"{sum(row.outcome == outcome for row in size):>6}" for outcome in OUTCOMES]
            print(f"{f'{low:g}-{high:g}':>12} {len(size):>8} {' '.join(numbers)} {' '.join(columns)}")


if __name__ == "__main__":
    main()
