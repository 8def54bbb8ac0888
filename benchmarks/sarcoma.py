"""The network on real FDG PET/CT of soft-tissue sarcoma, against thresholds, on patients it has not seen.

    python benchmarks/sarcoma.py ../shared/data/sts --model runs/fold0/model [--model runs/fold1/model ...]
        [--nnunet runs/nnunet]
    python benchmarks/sarcoma.py ../shared/data/sts --model apps/petlesion/model/unet --seen

Every model is judged on the patients that its card lists for validation, and on no other; with the models of all folds
that is everybody once. `--seen` takes all patients instead, whether the model was trained on them or not: that says
how much of them it has learned, and nothing of others. With `--nnunet`, what `benchmarks/nnunet_sarcoma.py` has
trained on the same folds takes part. Images are crops around one tumour (the truth is a radiotherapy contour drawn on
MR, cold parts included), so that position alone tells much: the second column cuts and pads every crop at random, by
up to 40 mm a side, without touching the tumour. Thresholds take every voxel of the crop at or above an SUV; `41 %`
those connected to the highest voxel at 41 % of it; `best SUV` the threshold in steps of 0.25 with the highest Dice,
which needs the truth. Differences are paired by patient; intervals are 95 %, by 2,000 resamples.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from nnunet_sarcoma import REPOSITORY, splits_file, trained_folder
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.evaluate.resampling import Interval, patient_interval
from petlesion.evaluate.voxels import voxel_scores
from petlesion.lesions import CONNECTIVITY
from petlesion.networks.model_folder import CARD
from petlesion.nifti import read_labels
from petlesion.reader import read_study
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.study import NO_CT_HU, PetCt
from petlesion.tracers import TracerName
from petlesion.training.split import position
from petlesion.volume import Grid, Volume

LARGEST_MM = 40.0
"""Cut or added at a side of a crop; the tumour lies 50 mm inside."""
SUVS = (2.0, 2.5, 3.0)


@dataclass(frozen=True, eq=False)
class Patient:
    """PET/CT and the contour, (z, y, x) bool on the grid of the PET."""

    name: str
    study: PetCt
    truth: NDArray[np.bool_]


def read_patient(folder: Path) -> Patient:
    """Read one folder of the data."""
    study = read_study(folder, tracer=TracerName.F18_FDG)
    return Patient(folder.name, study, read_labels(folder / "gtv.nii.gz").array > 0)


def moved(patient: Patient) -> Patient:
    """The same patient with every side of the crop cut or padded at random; the name decides how much."""
    rng = np.random.default_rng(int(position(patient.name) * 2**32))
    grid = patient.study.pet.grid
    reach = [int(LARGEST_MM // step) for step in grid.spacing_mm]
    sides = [(int(rng.integers(-most, most + 1)), int(rng.integers(-most, most + 1))) for most in reach]
    z, y, x = (size + first + last for size, (first, last) in zip(grid.shape, sides, strict=True))
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world([-first for first, _ in sides])
    target = Grid((z, y, x), affine)
    study = patient.study
    pet = Volume(_reshaped(study.pet.array, sides, 0.0), target)
    ct = None if study.ct is None else Volume(_reshaped(study.ct.array, sides, NO_CT_HU), target)
    return Patient(patient.name, replace(study, pet=pet, ct=ct), _reshaped(patient.truth, sides, False))


def _reshaped(array: NDArray[Any], sides: Sequence[tuple[int, int]], outside: float) -> NDArray[Any]:
    padded = np.pad(array, [(max(a, 0), max(b, 0)) for a, b in sides], constant_values=outside)
    return padded[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(sides, padded.shape, strict=True))]


def dice(mask: NDArray[np.bool_], patient: Patient) -> float:
    """Dice, 0 where nothing was found."""
    return voxel_scores(mask, patient.truth, patient.study.pet.grid.voxel_ml).dice or 0.0


def by_threshold(patient: Patient) -> dict[str, float]:
    """Dice of every threshold."""
    suv = patient.study.pet.array
    found = {f"SUV {value:g}": dice(suv >= value, patient) for value in SUVS}
    labels, _ = ndimage.label(suv >= 0.41 * suv.max(), CONNECTIVITY)
    found["41 %"] = dice(labels == labels.flat[int(suv.argmax())], patient)
    found["best SUV"] = max(dice(suv >= value, patient) for value in np.arange(0.5, 10, 0.25))
    return found


def by_network(patient: Patient, model: Path) -> float:
    """Dice of the network."""
    return dice(segment(patient.study, SegmentOptions(method=MethodName.UNET, models=(model,))).labels > 0, patient)


def by_nnunet(patient: Patient, out: Path, fold: int, links: Path) -> float:
    """Dice of nnU-Net trained on the other folds; ends the program if this fold was trained on the patient."""
    splits = json.loads(splits_file(out).read_text())
    if fold >= len(splits) or patient.name not in splits[fold]["val"]:
        raise SystemExit(
            f"{out}: fold {fold} does not hold out {patient.name}; train nnU-Net by the split of the models"
        )
    trained = trained_folder(out)
    alone = links / f"fold_{fold}"  # all folds of a folder are averaged: one of its own for each
    if not alone.is_dir():
        alone.mkdir()
        for name in ("plans.json", "dataset.json", f"fold_{fold}"):
            (alone / name).symlink_to((trained / name).resolve())
    options = SegmentOptions(method=MethodName.NNUNET, models=(alone,))
    return dice(segment(patient.study, options).labels > 0, patient)


def unseen(card: dict[str, Any], model: Path, data: Path) -> list[str]:
    """Patients of the data that a model holds out.

    Ends the program if one of its ancestors was trained on any of them, or does not say.
    """
    rows = [row for row in card["data"]["validation"] if (data / row["name"]).is_dir()]
    for ancestor in card["ancestors"]:
        seen = ancestor["data"].get("training_sha256")
        if seen is None or any(row["sha256"] in seen for row in rows):
            raise SystemExit(
                f"{model}: its ancestor {ancestor['sha256'][:12]} may have seen patients that it holds out"
            )
    return [row["name"] for row in rows]


def judged(models: Sequence[Path], data: Path, *, seen: bool) -> list[tuple[Path, str]]:
    """Each model with each patient that it is judged by.

    Ends the program if two models are judged by the same patient: intervals would take him for two.
    """
    everybody = [path.name for path in data.iterdir() if path.is_dir()]
    pairs = [
        (model, name)
        for model in models
        for name in sorted(everybody if seen else unseen(json.loads((model / CARD).read_text()), model, data))
    ]
    twice = [name for name, count in Counter(name for _, name in pairs).items() if count > 1]
    if twice:
        raise SystemExit(f"{twice[0]} is judged by more than one model; give models of different folds")
    return pairs


def mean(values: Sequence[float]) -> Interval:
    """Mean over patients with its interval."""
    array = np.array(values)
    return patient_interval(lambda drawn: array[drawn].mean(axis=-1), len(array), vectorised=True)


def shown(interval: Interval) -> str:
    """Estimate and interval as text."""
    return f"{interval.estimate:.3f} ({interval.lower:.3f} to {interval.upper:.3f})"


def compare(given: argparse.Namespace, links: Path) -> None:
    """Judge every model on its held-out patients, and print the table."""
    if given.nnunet is not None:
        sys.path.append(str(REPOSITORY / "build" / "nnunet"))
    scores: dict[str, list[dict[str, float]]] = {"as they are": [], "cut and padded": []}
    for model, name in judged(given.model, given.data, seen=given.seen):
        patient = read_patient(given.data / name)
        for kind, variant in (("as they are", patient), ("cut and padded", moved(patient))):
            row = {"unet": by_network(variant, model), **by_threshold(variant)}
            if given.nnunet is not None:
                fold = json.loads((model / CARD).read_text())["split"]["fold"] or 0
                row["nnU-Net"] = by_nnunet(variant, given.nnunet, fold, links)
            scores[kind].append(row)
            print(name, kind, {key: round(value, 3) for key, value in row.items()}, flush=True)
    how = "seen in training or not" if given.seen else "each held out from the model that segmented it"
    print(f"\nmean Dice of {len(scores['as they are'])} patients, {how}")
    print("| method | crops as they are | crops cut and padded | unet less method, as they are |")
    print("| --- | --- | --- | --- |")
    for name in scores["as they are"][0]:
        columns = [shown(mean([row[name] for row in rows])) for rows in scores.values()]
        paired = "" if name == "unet" else shown(mean([row["unet"] - row[name] for row in scores["as they are"]]))
        print(f"| {name} | {' | '.join(columns)} | {paired} |")


def main() -> None:
    """Segment, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path, action="append", required=True, help="one a fold; repeatable")
    parser.add_argument("--nnunet", type=Path, help="folder that benchmarks/nnunet_sarcoma.py has written")
    parser.add_argument("--seen", action="store_true", help="all patients, also those that the model was trained on")
    given = parser.parse_args()
    if given.seen and given.nnunet is not None:
        parser.error("--seen goes with --model alone: nnU-Net was trained by fold")
    with tempfile.TemporaryDirectory() as links:
        compare(given, Path(links))


if __name__ == "__main__":
    main()
