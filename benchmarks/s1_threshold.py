"""How hard the S1-like cohort is for a threshold: `percist` for detection and boundary of liver lesions.

Run as `python benchmarks/s1_threshold.py COHORT [--patients 125] [--seed 0] [--jobs 2] [--method percist]`; the cohort
is simulated into COHORT, or what is there already is kept. Wehrend et al. (EJNMMI Res 2021) report F1 0.60 for
thresholding on 125 studies of patients. As theirs, the evaluation looks at connected areas of transaxial slices within
the liver, and an area is a true positive when its IoU with a true one is above 0.05. Areas of fewer pixels than the
filter are removed from the prediction. Intervals of F1 are 95 %, by 2,000 resamples of studies. The last table says
where the false areas lie.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.evaluate.lesions import match_lesions
from petlesion.evaluate.resampling import patient_interval
from petlesion.nifti import read_labels
from petlesion.organs import Organ, Organs
from petlesion.phantom.cohort import Cohort
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort
from petlesion.reader import read_study
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.tracers import TracerName

MIN_IOU = 0.05
FILTERS = (1, 5, 7, 10, 15, 20)
NEAR_MM = 3.5
"""A false area so near is beside a lesion or an organ: the next pixel or slice."""
BLURRED_MM = 15.0
"""And so near it lies in the blur and the breathing of a lesion. Also the margin around the liver that is looked at."""


@dataclass(frozen=True, eq=False)
class Result:
    """One study: (filters, 3) true positives, false positives, misses; the reference; where false areas lie."""

    counts: NDArray[np.int64]
    reference: dict[str, float]
    places: Counter[str]


def areas(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the connected areas of every slice, 1..n over the volume."""
    in_plane = np.zeros((3, 3, 3), dtype=bool)
    in_plane[1] = True
    labels, _ = ndimage.label(mask, in_plane)
    return np.asarray(labels, dtype=np.int32)


def around(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> tuple[slice, ...]:
    """Box of a mask with a margin."""
    margin = [int(np.ceil(BLURRED_MM / step)) for step in spacing_mm]
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(slice(max(part.start - add, 0), part.stop + add) for part, add in zip(box, margin, strict=True))


def places_of(
    false: NDArray[np.int32],
    true: NDArray[np.bool_],
    hot_outside: NDArray[np.int32],
    names: dict[int, str],
    spacing_mm: tuple[float, float, float],
) -> Counter[str]:
    """Where false areas lie: by a true lesion, else by uptake above the threshold outside the liver, else inside.

    Parameters
    ----------
    false
        (z, y, x) numbered false areas.
    true
        (z, y, x) lesions.
    hot_outside
        (z, y, x) label of the organ where a voxel outside the liver is above the threshold, else 0.
    names
        Of the labels.
    spacing_mm
        Of the voxels, (z, y, x).
    """
    far = np.full(false.shape, np.inf)
    to_lesion = ndimage.distance_transform_edt(~true, spacing_mm) if true.any() else far
    to_organ, nearest = far, np.zeros((3, *false.shape), dtype=np.intp)
    if hot_outside.any():
        to_organ, nearest = ndimage.distance_transform_edt(hot_outside == 0, spacing_mm, return_indices=True)
    found: Counter[str] = Counter()
    for number in np.unique(false[false > 0]):
        area = np.nonzero(false == number)
        closest = int(np.argmin(to_organ[area]))
        if to_lesion[area].min() <= NEAR_MM:
            found["on a true lesion, or the pixel or slice beside it"] += 1
        elif to_lesion[area].min() <= BLURRED_MM:
            found[f"up to {BLURRED_MM:g} mm from a true lesion"] += 1
        elif to_organ[area][closest] <= NEAR_MM:
            label = hot_outside[tuple(axis[area][closest] for axis in nearest)]
            found[f"beside uptake outside the liver: {names[int(label)]}"] += 1
        else:
            found["elsewhere in the liver"] += 1
    return found


def evaluate(folder: Path, method: MethodName) -> Result:
    """Segment a study and compare it with its truth."""
    study = read_study(folder, tracer=TracerName.GA68_DOTATATE)
    spacing_mm = study.pet.grid.spacing_mm
    truth = read_labels(folder / "truth" / "lesions.nii.gz").array > 0
    labels = read_labels(folder / "truth" / "organs.nii.gz").array
    table = json.loads((folder / "truth" / "truth.json").read_text())["labels"]
    values = tuple(int(value) for value, row in table.items() if row["organ"] == Organ.LIVER)
    organs = Organs(labels, study.pet.grid, {Organ.LIVER: values})
    liver = np.isin(labels, values)
    found = segment(study, SegmentOptions(method=method, organs=organs))
    reference = found.reference
    box = around(liver, spacing_mm)
    liver, labels = liver[box], labels[box]
    predicted, true = areas((found.labels[box] > 0) & liver), areas(truth[box] & liver)
    hot = study.pet.array[box] > (reference.threshold or np.inf)
    counts = []
    places: Counter[str] = Counter()
    sizes = np.bincount(predicted.ravel())
    for least in FILTERS:
        kept = np.where(sizes[predicted] >= least, predicted, 0)
        match = match_lesions(kept, true, min_iou=MIN_IOU)
        counts.append((len(match.matches), len(match.false), len(match.missed)))
        if least == FILTERS[0]:
            false = np.where(np.isin(predicted, match.false), predicted, 0)
            names = {0: "outside the body", **{int(value): row["name"] for value, row in table.items()}}
            places = places_of(false, true > 0, np.where(hot & ~liver, labels, 0), names, spacing_mm)
    mean, sd = reference.mean or np.nan, reference.sd or np.nan
    figures = {"mean": mean, "cov": sd / mean, "threshold": reference.threshold or np.nan}
    return Result(np.array(counts), figures, places)


def f1_of(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of (..., 3) true positives, false positives and misses."""
    tp, fp, fn = np.moveaxis(counts, -1, 0)
    return np.asarray(2 * tp / np.maximum(2 * tp + fp + fn, 1))


def report(results: list[Result]) -> None:
    """Print reference, scores by pixel filter, and places of false areas."""
    for key in ("mean", "cov", "threshold"):
        values = np.array([result.reference[key] for result in results])
        print(f"reference {key}: {np.nanmean(values):.3f} +- {np.nanstd(values):.3f}")
    counts = np.array([result.counts for result in results])
    print(f"{'filter (pixels)':>16} {'TP':>6} {'FP':>6} {'FN':>6} {'PPV':>6} {'sens.':>6} {'F1':>6}   95 %")
    for number, (least, (tp, fp, fn)) in enumerate(zip(FILTERS, counts.sum(axis=0), strict=True)):
        own = counts[:, number]
        f1 = patient_interval(lambda drawn, own=own: f1_of(own[drawn].sum(axis=-2)), len(own), vectorised=True)
        print(
            f"{least:>16} {tp:>6} {fp:>6} {fn:>6} {tp / max(tp + fp, 1):>6.2f} {tp / max(tp + fn, 1):>6.2f} "
            f"{f1.estimate:>6.2f}   {f1.lower:.2f}-{f1.upper:.2f}"
        )
    print(f"false areas without a filter ({counts[:, 0, 1].sum()}):")
    for place, number in sum((result.places for result in results), Counter()).most_common():
        print(f"{number:>6} {place}")
    outside = sum(n for result in results for place, n in result.places.items() if place.startswith("beside"))
    tp, fp, fn = counts[:, 0].sum(axis=0)
    print(f"F1 without those beside uptake outside the liver: {f1_of(np.array([tp, fp - outside, fn])):.2f}")


def main() -> None:
    """Simulate, segment, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--patients", type=int, default=125)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", type=MethodName, default=MethodName.PERCIST)
    given = parser.parse_args()
    options = SimulateOptions(
        TracerName.GA68_DOTATATE,
        patients=given.patients,
        seed=given.seed,
        cohort=Cohort.S1_LIVER,
        jobs=given.jobs,
        resume=True,
    )
    simulate_cohort(options, given.cohort, lambda done, total: print(f"\r{done} of {total}", end="", flush=True))
    print()
    rows = [json.loads(line) for line in (given.cohort / "manifest.jsonl").read_text().splitlines()]
    # the manifest lists what earlier runs of other seeds left there as well
    rows = [row for row in rows if given.seed <= row["seed"] < given.seed + given.patients]
    results = []
    for row in rows:
        result = evaluate(given.cohort / row["folder"], given.method)
        results.append(result)
        tp, fp, fn = result.counts[0]
        print(f"{row['folder']} {len(row['lesions'])} lesions: TP {tp} FP {fp} FN {fn}, {result.reference}", flush=True)
    diseased = sum(bool(row["lesions"]) for row in rows)
    print(f"{len(rows)} studies, {diseased} with lesions, method {given.method}")
    report(results)


if __name__ == "__main__":
    main()
