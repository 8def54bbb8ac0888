"""How hard the S1-like cohort is for a threshold: `percist` for detection and boundary of liver lesions.

Run as `python benchmarks/s1_threshold.py COHORT [--patients 125] [--jobs 2] [--method percist]`; the cohort is
simulated into COHORT, or what is there already is kept. Wehrend et al. (EJNMMI Res 2021) report F1 0.60 for
thresholding on 125 studies of patients. As theirs, the evaluation looks at connected areas of transaxial slices within
the liver, and an area is a true positive when its IoU with a true one is above 0.05. Areas of fewer pixels than the
filter are removed from the prediction.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.evaluate.lesions import match_lesions
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


def areas(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the connected areas of every slice, 1..n over the volume."""
    in_plane = np.zeros((3, 3, 3), dtype=bool)
    in_plane[1] = True
    labels, _ = ndimage.label(mask, in_plane)
    return np.asarray(labels, dtype=np.int32)


def evaluate(folder: Path, method: MethodName) -> tuple[NDArray[np.int64], dict[str, float]]:
    """True positives, false positives and misses of one study by pixel filter, (filters, 3); and its reference."""
    study = read_study(folder, tracer=TracerName.GA68_DOTATATE)
    truth = read_labels(folder / "truth" / "lesions.nii.gz").array > 0
    labels = read_labels(folder / "truth" / "organs.nii.gz").array
    table = json.loads((folder / "truth" / "truth.json").read_text())["labels"]
    values = tuple(int(value) for value, row in table.items() if row["organ"] == Organ.LIVER)
    organs = Organs(labels, study.pet.grid, {Organ.LIVER: values})
    liver = organs.mask(Organ.LIVER)
    found = segment(study, SegmentOptions(method=method, organs=organs))
    box = ndimage.find_objects(liver.astype(np.uint8))[0]
    liver = liver[box]
    predicted, true = areas((found.labels[box] > 0) & liver), areas(truth[box] & liver)
    counts = []
    sizes = np.bincount(predicted.ravel())
    for least in FILTERS:
        kept = np.where(sizes[predicted] >= least, predicted, 0)
        match = match_lesions(kept, true, min_iou=MIN_IOU)
        counts.append((len(match.matches), len(match.false), len(match.missed)))
    reference = found.reference
    return np.array(counts), {
        "mean": reference.mean or np.nan,
        "cov": (reference.sd or np.nan) / (reference.mean or np.nan),
        "threshold": reference.threshold or np.nan,
    }


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
    results = []
    for row in rows:
        counts, reference = evaluate(given.cohort / row["folder"], given.method)
        results.append((counts, reference))
        tp, fp, fn = counts[0]
        print(f"{row['folder']} {len(row['lesions'])} lesions: TP {tp} FP {fp} FN {fn}, {reference}", flush=True)
    total = np.sum([counts for counts, _ in results], axis=0)
    diseased = sum(bool(row["lesions"]) for row in rows)
    print(f"{len(rows)} studies, {diseased} with lesions, method {given.method}")
    for key in ("mean", "cov", "threshold"):
        values = np.array([reference[key] for _, reference in results])
        print(f"reference {key}: {np.nanmean(values):.3f} +- {np.nanstd(values):.3f}")
    print(f"{'filter (pixels)':>16} {'TP':>6} {'FP':>6} {'FN':>6} {'PPV':>6} {'sens.':>6} {'F1':>6}")
    for least, (tp, fp, fn) in zip(FILTERS, total, strict=True):
        ppv, sensitivity = tp / max(tp + fp, 1), tp / max(tp + fn, 1)
        print(
            f"{least:>16} {tp:>6} {fp:>6} {fn:>6} {ppv:>6.2f} {sensitivity:>6.2f} {2 * tp / (2 * tp + fp + fn):>6.2f}"
        )


if __name__ == "__main__":
    main()
