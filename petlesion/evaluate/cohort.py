"""Folders of predictions against folders of truth: a row a patient, and the cohort with its uncertainty."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from petlesion.errors import UsageError
from petlesion.evaluate.agreement import Agreement, agreement
from petlesion.evaluate.lesions import LesionMatching, as_instances, average_precision, match_lesions
from petlesion.evaluate.rating import Rating, rate
from petlesion.evaluate.resampling import Interval, patient_interval
from petlesion.evaluate.surface import surface_dice
from petlesion.evaluate.voxels import VoxelScores, voxel_scores
from petlesion.nifti import read_image, read_labels
from petlesion.resample import Interpolation, resample
from petlesion.volume import Volume

MASK_NAMES: Final = ("lesions.nii.gz", "lesions.nii", "truth/lesions.nii.gz", "gtv.nii.gz", "gtv.nii", "seg.dcm")
"""Where the mask of a case's folder may lie; the first that exists is read."""
SUFFIXES: Final = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Candidate:
    """A predicted lesion: its confidence, and whether it is true."""

    confidence: float
    correct: bool


@dataclass(frozen=True)
class PatientRow:
    """One patient.

    Attributes
    ----------
    case
        Name.
    voxels
        Dice and volumes.
    surface_dice
        None when both masks are empty.
    found, missed, false
        Numbers of lesions.
    lesion_f1
        None when there is neither truth nor prediction.
    rating
        S2's five-point rating.
    predicted_tlu, true_tlu
        SUVmean × mL; None where there is no PET.
    candidates
        Predicted lesions with their confidence; None where a prediction has none.
    """

    case: str
    voxels: VoxelScores
    surface_dice: float | None
    found: int
    missed: int
    false: int
    lesion_f1: float | None
    rating: Rating
    predicted_tlu: float | None
    true_tlu: float | None
    candidates: tuple[Candidate, ...] | None


@dataclass(frozen=True)
class Rules:
    """What counts as found.

    Attributes
    ----------
    min_iou
        A predicted lesion is true when its IoU is above this; 0: any common voxel.
    surface_tolerance_mm
        Of the surface Dice.
    """

    min_iou: float = 0.0
    surface_tolerance_mm: float = 0.0


@dataclass(frozen=True)
class CohortTable:
    """All rows, and figures of the cohort with 95 % bootstrap intervals over patients.

    Attributes
    ----------
    rules
        What counted as found.
    rows
        By name.
    figures
        Name → estimate and interval; figures that are not defined for the cohort are left out. `dice`, `surface_dice`:
        means over patients with lesions. `false_positive_ml`, `false_negative_ml`: means over all. `lesion_*`: over all
        lesions. `patient_*`: any lesion predicted against any present.
    average_precision
        None without confidences or without truth.
    ttv, tlu
        Agreement of volume and uptake; None with fewer than two patients, or without PET.
    ratings
        How many patients got each rating.
    """

    rules: Rules
    rows: tuple[PatientRow, ...]
    figures: dict[str, Interval]
    average_precision: float | None
    ttv: Agreement | None
    tlu: Agreement | None
    ratings: dict[int, int]


def evaluate_folders(predictions: Path, truth: Path, rules: Rules | None = None) -> CohortTable:
    """Compare all predictions with their truth.

    Parameters
    ----------
    predictions, truth
        Folders of cases: `<case>/` with a file of `MASK_NAMES`, or `<case>.nii.gz`. A DICOM SEG needs the study beside
        the truth (`pet.nii.gz` or DICOM). Every case of the truth needs a prediction, except that an output folder with
        `report.json` and no mask predicts nothing.
    rules
        What counts as found.

    Raises
    ------
    UsageError
        If a folder is empty, a case has no prediction, or grids do not overlap.
    """
    rules = rules or Rules()
    rows = [evaluate_case(name, predictions, truth, rules) for name in _cases(truth)]
    return tabulate(rows, rules)


def evaluate_case(name: str, predictions: Path, truth: Path, rules: Rules) -> PatientRow:
    """Compare one case; the prediction is brought to the grid of the truth where it differs."""
    true = _read(name, truth, truth)
    if true is None:
        raise UsageError(f"case {name} has no mask", where=truth, remedy=f"add one of {', '.join(MASK_NAMES)}")
    predicted = _read(name, predictions, truth)
    if predicted is None:
        if not (predictions / name / "report.json").is_file():
            raise UsageError(f"case {name} has no prediction", where=predictions, remedy="segment it, or leave it out")
        predicted = Volume(np.zeros(true.grid.shape, dtype=np.uint8), true.grid)
    if not predicted.grid.is_close(true.grid):
        predicted = resample(predicted, true.grid, Interpolation.NEAREST)
    labels, true_labels = _instances(predicted.array), _instances(true.array)
    mask, true_mask = labels > 0, true_labels > 0
    matching = match_lesions(labels, true_labels, min_iou=rules.min_iou)
    pet = truth / name / "pet.nii.gz"
    suv = resample(read_image(pet), true.grid).array if pet.is_file() else None
    voxel_ml = true.grid.voxel_ml
    return PatientRow(
        case=name,
        voxels=voxel_scores(mask, true_mask, voxel_ml),
        surface_dice=surface_dice(mask, true_mask, true.grid.spacing_mm, rules.surface_tolerance_mm),
        found=len(matching.matches),
        missed=len(matching.missed),
        false=len(matching.false),
        lesion_f1=matching.f1,
        rating=rate(match_lesions(labels, true_labels)),
        predicted_tlu=None if suv is None else float(suv[mask].sum(dtype=np.float64)) * voxel_ml,
        true_tlu=None if suv is None else float(suv[true_mask].sum(dtype=np.float64)) * voxel_ml,
        candidates=_candidates(predictions / name / "report.json", labels, matching),
    )


def tabulate(rows: Sequence[PatientRow], rules: Rules) -> CohortTable:
    """Figures of a cohort.

    Raises
    ------
    UsageError
        Without rows.
    """
    if not rows:
        raise UsageError("there is no case to evaluate", remedy="give folders of cases with --pred and --truth")
    defined = {name: figure for name, figure in _FIGURES.items() if np.isfinite(figure(rows))}
    with_tlu = [row for row in rows if row.predicted_tlu is not None and row.true_tlu is not None]
    ratings = [row.rating for row in rows]
    return CohortTable(
        rules=rules,
        rows=tuple(rows),
        figures={name: patient_interval(_over(rows, figure), len(rows)) for name, figure in defined.items()},
        average_precision=_precision(rows),
        ttv=_agreement([row.voxels.predicted_ml for row in rows], [row.voxels.truth_ml for row in rows]),
        tlu=_agreement([row.predicted_tlu or 0.0 for row in with_tlu], [row.true_tlu or 0.0 for row in with_tlu]),
        ratings={int(rating): ratings.count(rating) for rating in Rating},
    )


_Figure = Callable[[Sequence[PatientRow]], float]


def _over(rows: Sequence[PatientRow], figure: _Figure) -> Callable[[NDArray[np.intp]], float]:
    return lambda drawn: figure([rows[n] for n in drawn])


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


def _diseased(rows: Sequence[PatientRow]) -> list[PatientRow]:
    return [row for row in rows if row.voxels.truth_ml > 0]


def _called(rows: Sequence[PatientRow]) -> list[PatientRow]:
    return [row for row in rows if row.voxels.predicted_ml > 0]


def _right(rows: Sequence[PatientRow]) -> int:
    return sum((row.voxels.predicted_ml > 0) == (row.voxels.truth_ml > 0) for row in rows)


def _lesion_f1(rows: Sequence[PatientRow]) -> float:
    found, wrong = sum(row.found for row in rows), sum(row.false + row.missed for row in rows)
    return _ratio(2 * found, 2 * found + wrong)


_FIGURES: dict[str, _Figure] = {
    "dice": lambda rows: _mean([row.voxels.dice or 0.0 for row in _diseased(rows)]),
    "surface_dice": lambda rows: _mean([row.surface_dice or 0.0 for row in _diseased(rows)]),
    "false_positive_ml": lambda rows: _mean([row.voxels.false_positive_ml for row in rows]),
    "false_negative_ml": lambda rows: _mean([row.voxels.false_negative_ml for row in rows]),
    "lesion_f1": _lesion_f1,
    "lesion_sensitivity": lambda rows: _ratio(
        sum(row.found for row in rows), sum(row.found + row.missed for row in rows)
    ),
    "lesion_ppv": lambda rows: _ratio(sum(row.found for row in rows), sum(row.found + row.false for row in rows)),
    "patient_accuracy": lambda rows: _ratio(_right(rows), len(rows)),
    "patient_sensitivity": lambda rows: _ratio(_right(_diseased(rows)), len(_diseased(rows))),
    "patient_ppv": lambda rows: _ratio(_right(_called(rows)), len(_called(rows))),
}


def _precision(rows: Sequence[PatientRow]) -> float | None:
    if any(row.candidates is None for row in rows):
        return None
    candidates = [candidate for row in rows for candidate in row.candidates or ()]
    truth = sum(row.found + row.missed for row in rows)
    return average_precision([c.confidence for c in candidates], [c.correct for c in candidates], truth)


def _agreement(measured: Sequence[float], truth: Sequence[float]) -> Agreement | None:
    return agreement(measured, truth) if len(measured) > 1 else None


def _cases(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", remedy="give a folder of cases with --truth")
    named = {path.name.removesuffix(suffix) for suffix in SUFFIXES for path in folder.glob(f"*{suffix}")}
    held = {path.name for path in folder.iterdir() if path.is_dir() and _mask_file(folder, path.name)}
    return sorted(held | {name for name in named if not name.endswith(".nii")})


def _mask_file(folder: Path, name: str) -> Path | None:
    places = [folder / name / mask for mask in MASK_NAMES] + [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in places if path.is_file()), None)


def _read(name: str, folder: Path, studies: Path) -> Volume | None:
    """Labels of a case; None where it has no mask."""
    path = _mask_file(folder, name)
    if path is None:
        return None
    if path.suffix != ".dcm":
        return read_labels(path)
    from petlesion.masks import read_mask
    from petlesion.reader import read_study

    lesions = read_mask(path, read_study(studies / name, ct=False))
    return Volume(lesions.labels, lesions.grid)


def _instances(labels: NDArray[Any]) -> NDArray[np.int32]:
    """One integer a lesion: as the file numbers them, or the parts of a mask with a single value."""
    positive = labels > 0
    if positive.any() and len(np.unique(labels[positive])) > 1:
        return np.where(positive, labels, 0).astype(np.int32)
    return as_instances(positive)


def _candidates(report: Path, labels: NDArray[np.int32], matching: LesionMatching) -> tuple[Candidate, ...] | None:
    """Predicted lesions with the confidences of their `report.json`; None where one has none."""
    predicted = [match.predicted for match in matching.matches] + list(matching.false)
    if not predicted:
        return ()
    if not report.is_file():
        return None
    lesions = json.loads(report.read_text(encoding="utf-8"))["lesions"]
    confidences = {int(lesion["id"]): lesion["confidence"] for lesion in lesions}
    if len(confidences) != len(np.unique(labels)) - 1 or any(confidences.get(n) is None for n in predicted):
        return None
    return tuple(Candidate(float(confidences[n]), n not in matching.false) for n in predicted)
