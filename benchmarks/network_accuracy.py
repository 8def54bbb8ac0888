"""The network against every threshold method on simulated patients whose truth is known.

    for tracer in ga68-dotatate cu64-dotatate ga68-psma11 f18-fdg; do
        petlesion simulate -o DATA/$tracer --tracer $tracer -n 20 --seed 900000 --diseased 1
        petlesion simulate -o DATA/$tracer-controls --tracer $tracer -n 10 --seed 910000 --diseased 0
    done
    python benchmarks/network_accuracy.py DATA -o PREDICTIONS --model apps/petlesion/model/unet

Every folder of DATA that holds patients takes part. A prediction that PREDICTIONS holds is not made again, so the
command can be interrupted, and repeated with more patients or models. A lesion is found when a prediction shares a
voxel with it (`--min-iou` for another rule); intervals are 95 %, by 2,000 resamples of patients. Differences are those
of the first model less each other method, paired by patient.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from petlesion.evaluate.cohort import tabulate
from petlesion.evaluate.patients import PatientRow, Rules, evaluate_case
from petlesion.evaluate.resampling import Interval, patient_interval
from petlesion.measure.biomarkers import measure
from petlesion.nifti import write_labels
from petlesion.reader import read_study
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.tracers import TracerName

THRESHOLDS = (MethodName.PERCIST, MethodName.FIXED, MethodName.RELATIVE, MethodName.GRADIENT)


@dataclass(frozen=True)
class Contender:
    """A method, with its model where it is a network, under the name of its row."""

    name: str
    options: SegmentOptions


@dataclass(frozen=True)
class Patient:
    """Folder of a simulated patient and what is true of him."""

    folder: Path
    tracer: TracerName


def find_patients(data: Path) -> list[Patient]:
    """All simulated patients below a folder, by name."""
    truths = sorted(data.glob("**/truth/truth.json"))
    records = [(path.parents[1], json.loads(path.read_text())) for path in truths]
    return [Patient(folder, TracerName(record["tracer"])) for folder, record in records]


def predict(patient: Patient, contender: Contender, out: Path) -> None:
    """Segment a patient unless that was done before; a prediction is complete or absent."""
    target = out / contender.name / patient.folder.name
    if target.is_dir():
        return
    study = read_study(patient.folder, tracer=patient.tracer)
    lesions = segment(study, contender.options)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    write_labels(lesions.labels, lesions.grid, staging / "lesions.nii.gz")
    (staging / "report.json").write_text(measure(study, lesions).to_json())
    staging.rename(target)


def volume_error(rows: Sequence[PatientRow]) -> float:
    """Mean absolute error of TTV, mL."""
    return float(np.mean([abs(row.voxels.predicted_ml - row.voxels.truth_ml) for row in rows]))


def shown(interval: Interval) -> str:
    """Estimate and interval as text."""
    return f"{interval.estimate:.2f} ({interval.lower:.2f}-{interval.upper:.2f})"


def row_of(name: str, rows: Sequence[PatientRow], rules: Rules) -> str:
    """A line of the table."""
    figures = tabulate(rows, rules).figures
    cells = [
        shown(figures[key]) if key in figures else "-"
        for key in ("dice", "lesion_f1", "false_positive_ml", "false_negative_ml")
    ]
    cells.append(shown(patient_interval(_over(rows, volume_error), len(rows))))
    return f"| {name} | " + " | ".join(cells) + " |"


def _over(
    rows: Sequence[PatientRow], figure: Callable[[Sequence[PatientRow]], float]
) -> Callable[[NDArray[np.intp]], float]:
    return lambda drawn: figure([rows[n] for n in drawn])


def dice_difference(first: Sequence[PatientRow], second: Sequence[PatientRow]) -> Interval:
    """Mean difference of Dice over patients with lesions, paired."""
    pairs = [
        (a.voxels.dice or 0.0) - (b.voxels.dice or 0.0)
        for a, b in zip(first, second, strict=True)
        if a.voxels.truth_ml > 0
    ]
    values = np.array(pairs)
    return patient_interval(lambda drawn: values[drawn].mean(axis=-1), len(values), vectorised=True)


def tables(patients: Sequence[Patient], contenders: Sequence[Contender], out: Path, rules: Rules) -> Iterator[str]:
    """The table of every tracer, patients with lesions and controls apart."""
    for tracer in sorted({patient.tracer for patient in patients}):
        own = [patient for patient in patients if patient.tracer == tracer]
        results = {
            contender.name: [evaluate_case(p.folder.name, out / contender.name, p.folder.parent, rules) for p in own]
            for contender in contenders
        }
        diseased = [n for n, row in enumerate(results[contenders[0].name]) if row.voxels.truth_ml > 0]
        yield f"\n### {tracer}: {len(diseased)} patients with lesions, {len(own) - len(diseased)} controls\n"
        yield "| method | Dice | lesion F1 | FP, mL | FN, mL | error of TTV, mL | FP of controls, mL |"
        yield "| --- | --- | --- | --- | --- | --- | --- |"
        for name, rows in results.items():
            controls = [row.voxels.false_positive_ml for n, row in enumerate(rows) if n not in diseased]
            last = f" {np.mean(controls):.2f}, at most {max(controls):.2f} |" if controls else " - |"
            yield row_of(name, [rows[n] for n in diseased], rules) + last
        champion = contenders[0].name
        for name in list(results)[1:]:
            difference = dice_difference(results[champion], results[name])
            yield f"\nDice of {champion} less {name}: {shown(difference)}"


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", default=[], help="model folder; repeatable")
    parser.add_argument("--min-iou", type=float, default=0.0)
    given = parser.parse_args()
    networks = [Contender(path.name, SegmentOptions(method=MethodName.UNET, models=(path,))) for path in given.model]
    contenders = [*networks, *(Contender(str(name), SegmentOptions(method=name)) for name in THRESHOLDS)]
    patients = find_patients(given.data)
    for done, patient in enumerate(patients, start=1):
        for contender in contenders:
            predict(patient, contender, given.out)
        print(f"\r{done} of {len(patients)} patients", end="", flush=True)
    print()
    for line in tables(patients, contenders, given.out, Rules(min_iou=given.min_iou)):
        print(line)


if __name__ == "__main__":
    main()
