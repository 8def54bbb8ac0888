"""One case of a patient: a predicted mask against the true one, from files of any kind."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from petlesion.case_files import PET, SIMULATED_TRUTH, CaseFacts, case_facts, image_file
from petlesion.errors import UsageError
from petlesion.evaluate.lesions import LesionMatching, as_instances, match_lesions
from petlesion.evaluate.rating import Rating, rate
from petlesion.evaluate.surface import surface_dice
from petlesion.evaluate.voxels import VoxelScores, voxel_scores
from petlesion.nifti import SUFFIXES, read_image, read_labels
from petlesion.output import REPORT
from petlesion.resample import Interpolation, lies_apart, resample
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume

MASK_NAMES: Final = ("lesions.nii.gz", "lesions.nii", "truth/lesions.nii.gz", "gtv.nii.gz", "gtv.nii", "seg.dcm")
"""Where the mask of a case's folder may lie; the first that exists is read."""


@dataclass(frozen=True)
class Candidate:
    """A predicted lesion: its confidence, and whether it is true."""

    confidence: float
    correct: bool


@dataclass(frozen=True)
class Uptake:
    """What lies under a mask.

    Attributes
    ----------
    suv_mean
        Mean SUVbw; None under an empty mask.
    tlu
        SUVmean × mL, g; 0 under an empty mask.
    """

    suv_mean: float | None
    tlu: float


@dataclass(frozen=True)
class PatientRow:
    """One case: a scan of a patient.

    Attributes
    ----------
    case
        Name.
    patient
        Whose, as the simulator's truth or `case.json` says; the case itself where neither does.
    tracer
        As truth or report name it; None where neither does.
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
    predicted_uptake, true_uptake
        None where there is no PET.
    candidates
        Predicted lesions with their confidence; None where one has none.
    unranked
        Why one has none; empty where all have one.
    """

    case: str
    patient: str
    tracer: TracerName | None
    voxels: VoxelScores
    surface_dice: float | None
    found: int
    missed: int
    false: int
    lesion_f1: float | None
    rating: Rating
    predicted_uptake: Uptake | None
    true_uptake: Uptake | None
    candidates: tuple[Candidate, ...] | None
    unranked: str = ""


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


def evaluate_case(name: str, predictions: Path, truth: Path, rules: Rules) -> PatientRow:
    """Compare one case; the prediction is brought to the grid of the truth where it differs.

    Raises
    ------
    UsageError
        If the case has no truth or no prediction, or the two lie apart.
    """
    true = _read(name, truth, truth)
    if true is None:
        raise UsageError(
            f"case {name} has no mask",
            where=truth,
            remedy=f"add one of {', '.join(MASK_NAMES)}; where there is no lesion, one of zeros",
        )
    predicted = _read(name, predictions, truth)
    report = predictions / name / REPORT
    if predicted is None:
        if not report.is_file():
            raise UsageError(f"case {name} has no prediction", where=predictions, remedy="segment it, or leave it out")
        if _confidences(report):
            raise UsageError(
                f"case {name} lists lesions in {REPORT} and has no mask",
                where=predictions,
                remedy="copy its mask too",
            )
        predicted = Volume(np.zeros(true.grid.shape, dtype=np.uint8), true.grid)
    if lies_apart(predicted, true.grid):
        raise UsageError(
            f"the prediction of case {name} lies outside the image of its truth",
            where=predictions,
            remedy="compare masks of the same study, in the same coordinates",
        )
    if not predicted.grid.is_close(true.grid):
        predicted = resample(predicted, true.grid, Interpolation.NEAREST)
    labels, true_labels = predicted.array, true.array
    mask, true_mask = labels > 0, true_labels > 0
    matching = match_lesions(labels, true_labels, min_iou=rules.min_iou)
    suv = _suv(truth / name, true.grid)
    voxel_ml, facts = true.grid.voxel_ml, case_facts(truth / name)
    candidates, unranked = _candidates(report, labels, matching)
    return PatientRow(
        case=name,
        patient=facts.patient_id or name,
        tracer=_tracer(facts, report),
        voxels=voxel_scores(mask, true_mask, voxel_ml),
        surface_dice=surface_dice(mask, true_mask, true.grid.spacing_mm, rules.surface_tolerance_mm),
        found=len(matching.matches),
        missed=len(matching.missed),
        false=len(matching.false),
        lesion_f1=matching.f1,
        rating=rate(match_lesions(labels, true_labels)),
        predicted_uptake=None if suv is None else _uptake(name, suv, mask, voxel_ml),
        true_uptake=None if suv is None else _uptake(name, suv, true_mask, voxel_ml),
        candidates=candidates,
        unranked=unranked,
    )


def find_cases(folder: Path) -> list[str]:
    """Names of the cases in a folder of truth, those of results without a mask among them.

    Raises
    ------
    UsageError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder", remedy="give a folder of cases with --truth")
    named = {path.name.removesuffix(suffix) for suffix in SUFFIXES for path in folder.glob(f"*{suffix}")}
    held = {path.parent.name for path in folder.glob(f"*/{REPORT}")}
    held |= {path.name for path in folder.iterdir() if path.is_dir() and _mask_file(folder, path.name)}
    return sorted(held | named)


def _mask_file(folder: Path, name: str) -> Path | None:
    places = [folder / name / mask for mask in MASK_NAMES] + [folder / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in places if path.is_file()), None)


def _read(name: str, folder: Path, studies: Path) -> Volume | None:
    """Lesions of a case, one integer (int32) a lesion; None where it has no mask."""
    path = _mask_file(folder, name)
    if path is None:
        return None
    if path.suffix != ".dcm":
        labels = read_labels(path)
        return Volume(as_instances(labels.array, numbered=_is_numbered(path)), labels.grid)
    from petlesion.masks import read_mask
    from petlesion.reader import read_study

    lesions = read_mask(path, read_study(studies / name, ct=False))
    return Volume(as_instances(lesions.labels, numbered=True), lesions.grid)


def _is_numbered(mask: Path) -> bool:
    """Whether each value of a mask is known to be one lesion: by the simulator, or by a report of a single lesion."""
    report = mask.with_name(REPORT)
    return mask.with_name(Path(SIMULATED_TRUTH).name).is_file() or (report.is_file() and len(_confidences(report)) == 1)


def _suv(study: Path, grid: Grid) -> NDArray[np.float32] | None:
    """PET of a case on the grid of its truth; None where the folder holds no PET, NIfTI or DICOM."""
    pet = image_file(study, PET)
    if pet is not None:
        return resample(read_image(pet), grid).array
    if not (study / "seg.dcm").is_file():
        return None
    from petlesion.reader import read_study

    return resample(read_study(study, ct=False).pet, grid).array


def _uptake(case: str, suv: NDArray[np.float32], mask: NDArray[np.bool_], voxel_ml: float) -> Uptake:
    total = float(suv[mask].sum(dtype=np.float64))
    if not np.isfinite(total):
        raise UsageError(
            f"the PET of case {case} is not finite (NaN or infinity) under a mask",
            remedy="repair the image, or take it away: then uptake is left out",
        )
    count = int(np.count_nonzero(mask))
    return Uptake(total / count if count else None, total * voxel_ml)


def _tracer(facts: CaseFacts, report: Path) -> TracerName | None:
    """From the simulator's truth or `case.json`, else from the report of the prediction; None where it is unknown."""
    named: Any = facts.tracer
    if named in (None, TracerName.UNKNOWN) and report.is_file():
        document = _json(report)
        said = document.get("study") if isinstance(document, dict) else None
        named = said.get("tracer") if isinstance(said, dict) else None
    return TracerName(named) if named in list(TracerName) and named != TracerName.UNKNOWN else None


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path.name} cannot be read", where=path.parent, remedy="make it again") from error


def _candidates(
    report: Path, labels: NDArray[np.int32], matching: LesionMatching
) -> tuple[tuple[Candidate, ...] | None, str]:
    """Predicted lesions with the confidences of their `report.json`; or None, and why one has none."""
    predicted = [match.predicted for match in matching.matches] + list(matching.false)
    if not predicted:
        return (), ""
    if not report.is_file():
        return None, f"has no {REPORT}"
    confidences = _confidences(report)
    found = len(np.unique(labels[labels > 0]))
    if len(confidences) != found:
        return None, f"lists {len(confidences)} lesions in {REPORT} and has {found} in its mask"
    candidates = [Candidate(c, n not in matching.false) for n in predicted if (c := confidences.get(n)) is not None]
    if len(candidates) < len(predicted):
        return None, f"gives {len(predicted) - len(candidates)} of {len(predicted)} lesions no confidence in {REPORT}"
    return tuple(candidates), ""


def _confidences(report: Path) -> dict[int, float | None]:
    """Confidence of every lesion of a `report.json` by its number."""
    try:
        rows = {int(lesion["id"]): lesion["confidence"] for lesion in _json(report)["lesions"]}
        confidences = {number: None if value is None else float(value) for number, value in rows.items()}
        if not all(value is None or math.isfinite(value) for value in confidences.values()):
            raise ValueError("a confidence is not finite")
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{REPORT} does not list lesions with their confidence", where=report.parent, remedy="make it again"
        ) from error
    return confidences
