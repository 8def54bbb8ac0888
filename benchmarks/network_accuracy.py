"""The network against every threshold method on simulated patients whose truth is known.

    for tracer in ga68-dotatate cu64-dotatate ga68-psma11 f18-fdg; do
        petlesion simulate -o DATA/$tracer --tracer $tracer -n 20 --seed 900000 --diseased 1
        petlesion simulate -o DATA/$tracer-controls --tracer $tracer -n 10 --seed 910000 --diseased 0
    done
    python benchmarks/network_accuracy.py DATA -o PREDICTIONS --model apps/petlesion/model/unet

Every folder of DATA that holds patients takes part. A prediction that PREDICTIONS holds is not made again, unless it is
of other code, options or images, so the command can be interrupted, and repeated with more patients or models. A lesion
is found when a prediction shares a voxel with it (`--min-iou` for another rule); intervals are 95 %, by 2,000 resamples
of patients. Differences are those of the first method less each other one, paired by patient, with the p value of
`petlesion evaluate --against`.

    python benchmarks/network_accuracy.py runs/data -o PREDICTIONS --model runs/unet/model --validation --variants

chooses how to run a network: only the patients that the first model's card lists for validation, and every network also
with `--refine`, with `--mirror`, and with windows that overlap by a quarter instead of a half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

import petlesion
from petlesion.child_processes import worker_pool
from petlesion.evaluate.cohort import tabulate
from petlesion.evaluate.comparison import compare
from petlesion.evaluate.patients import PatientRow, Rules, evaluate_case
from petlesion.evaluate.resampling import Interval
from petlesion.measure.biomarkers import measure
from petlesion.networks.model_folder import CARD, model_identity
from petlesion.nifti import write_labels
from petlesion.reader import read_study
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, NetworkOptions, SegmentOptions
from petlesion.tracers import TracerName
from petlesion.training.loop import MODEL_FOLDER

FIGURES = ("dice", "lesion_f1", "false_positive_ml", "false_negative_ml", "ttv_absolute_error_ml")
"""Columns of the table, of patients with lesions."""
CODE = Path(petlesion.__file__).parent
MADE_FROM = "made_from"
THRESHOLDS = (MethodName.PERCIST, MethodName.FIXED, MethodName.RELATIVE, MethodName.GRADIENT)


@dataclass(frozen=True)
class Contender:
    """A method, with its model where it is a network.

    Attributes
    ----------
    name
        Of its row.
    options
        How it is run.
    folder
        Of its predictions: that of a network carries the model's identity, so that another model never meets them.
    """

    name: str
    options: SegmentOptions
    folder: str


def networks(model: Path, *, variants: bool = False) -> Iterator[Contender]:
    """A network, named as its folder, or as the run whose `model` folder it is; and with its options, if asked for."""
    name = model.resolve().parent.name if model.name == MODEL_FOLDER else model.name
    sha256 = model_identity(model)
    options = SegmentOptions(method=MethodName.UNET, models=(model,), model_sha256=sha256)
    folder = f"{name}-{sha256[:12]}"
    yield Contender(name, options, folder)
    if variants:
        refined, mirrored, quarter = (
            NetworkOptions(refine=True),
            NetworkOptions(mirror=True),
            NetworkOptions(overlap=0.25),
        )
        yield Contender(f"{name} --refine", replace(options, network=refined), f"{folder}-refine")
        yield Contender(f"{name} --mirror", replace(options, network=mirrored), f"{folder}-mirror")
        yield Contender(f"{name}, overlap of a quarter", replace(options, network=quarter), f"{folder}-quarter")


def validation_names(model: Path) -> set[str]:
    """Cases that a model's card lists for validation."""
    return {row["name"] for row in json.loads((model / CARD).read_text())["data"]["validation"]}


@dataclass(frozen=True)
class Patient:
    """Folder of a simulated patient and what is true of him."""

    folder: Path
    tracer: TracerName


def find_patients(data: Path) -> list[Patient]:
    """All simulated patients below a folder, by name; ends the program if two have the same, as predictions would."""
    truths = sorted(data.glob("**/truth/truth.json"))
    twice = [name for name, count in Counter(path.parents[1].name for path in truths).items() if count > 1]
    if twice:
        raise SystemExit(f"{data} holds {twice[0]} more than once: give cohorts of different seeds")
    records = [(path.parents[1], json.loads(path.read_text())) for path in truths]
    return [Patient(folder, TracerName(record["tracer"])) for folder, record in records]


@cache
def code_sha256() -> str:
    """Hash of all code that a prediction may depend on."""
    digest = hashlib.sha256()
    for path in sorted(CODE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def made_from(patient: Patient, contender: Contender) -> str:
    """Identity of what decides a prediction: code, options without the threads, and images."""
    options = replace(contender.options, models=(), network=replace(contender.options.network, threads=None))
    digest = hashlib.sha256(f"{code_sha256()} {options}".encode())
    for path in sorted(patient.folder.glob("*.nii.gz")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def predict(patient: Patient, contender: Contender, out: Path) -> None:
    """Segment a patient unless that was done before; a prediction is complete or absent."""
    target, source = out / contender.folder / patient.folder.name, made_from(patient, contender)
    if target.is_dir():
        if (target / MADE_FROM).is_file() and (target / MADE_FROM).read_text() == source:
            return
        shutil.rmtree(target)
    study = read_study(patient.folder, tracer=patient.tracer)
    lesions = segment(study, contender.options)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    write_labels(lesions.labels, lesions.grid, staging / "lesions.nii.gz")
    (staging / "report.json").write_text(measure(study, lesions).to_json())
    (staging / MADE_FROM).write_text(source)
    staging.rename(target)


def predict_all(patients: Sequence[Patient], contenders: Sequence[Contender], out: Path, jobs: int) -> None:
    """Segment all patients by all methods, some patients at a time, and say how far it is."""
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    shared = [
        replace(each, options=replace(each.options, network=replace(each.options.network, threads=threads)))
        for each in contenders
    ]
    with worker_pool(jobs) as pool:
        waiting = [pool.submit(predict_by_all, patient, shared, out) for patient in patients]
        for done, future in enumerate(as_completed(waiting), start=1):
            future.result()
            print(f"\r{done} of {len(patients)} patients", end="", flush=True)
    print()


def predict_by_all(patient: Patient, contenders: Sequence[Contender], out: Path) -> None:
    """Segment one patient by all methods."""
    for contender in contenders:
        predict(patient, contender, out)


def shown(interval: Interval) -> str:
    """Estimate and interval as text."""
    return f"{interval.estimate:.2f} ({interval.lower:.2f}-{interval.upper:.2f})"


def row_of(name: str, rows: Sequence[PatientRow], rules: Rules) -> str:
    """A line of the table."""
    figures = tabulate(rows, rules).figures if rows else {}
    cells = [shown(figures[key]) if key in figures else "-" for key in FIGURES]
    return f"| {name} | " + " | ".join(cells) + " |"


def tables(patients: Sequence[Patient], contenders: Sequence[Contender], out: Path, rules: Rules) -> Iterator[str]:
    """The table of every tracer, patients with lesions and controls apart."""
    for tracer in sorted({patient.tracer for patient in patients}):
        own = [patient for patient in patients if patient.tracer == tracer]
        results = {
            contender.name: [evaluate_case(p.folder.name, out / contender.folder, p.folder.parent, rules) for p in own]
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
        for name in list(results)[1:] if len(diseased) > 1 else ():
            found = compare(*([results[method][n] for n in diseased] for method in (champion, name)))["dice"]
            yield f"\nDice of {champion} less {name}: {shown(found.difference)}, p = {found.p_value:.3f}"


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, action="append", default=[], help="model folder; repeatable")
    parser.add_argument("--jobs", "-j", type=int, default=1, help="patients at a time; default %(default)s")
    parser.add_argument("--min-iou", type=float, default=0.0)
    parser.add_argument("--validation", action="store_true", help="only validation patients of the first model")
    parser.add_argument(
        "--variants", action="store_true", help="networks also with --refine, --mirror and less overlap"
    )
    given = parser.parse_args()
    if given.validation and not given.model:
        parser.error("--validation needs --model")
    trained = [contender for path in given.model for contender in networks(path, variants=given.variants)]
    contenders = [*trained, *(Contender(str(name), SegmentOptions(method=name), str(name)) for name in THRESHOLDS)]
    if len({contender.name for contender in contenders}) < len(contenders):
        parser.error("two models have the same name: copy them to folders of different names")
    patients = find_patients(given.data)
    if not patients:
        parser.error(f"{given.data} holds no simulated patient (folders with truth/truth.json; links are not followed)")
    if given.validation:
        names = validation_names(given.model[0])
        patients = [patient for patient in patients if patient.folder.name in names]
        if not patients:
            parser.error(f"{given.data} holds no validation patient of {given.model[0]}")
    predict_all(patients, contenders, given.out, given.jobs)
    for line in tables(patients, contenders, given.out, Rules(min_iou=given.min_iou)):
        print(line)


if __name__ == "__main__":
    main()
