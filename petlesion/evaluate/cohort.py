"""Folders of predictions against folders of truth: a row a patient, and the cohort with its uncertainty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from petlesion.errors import UsageError
from petlesion.evaluate.agreement import Agreement, agreement
from petlesion.evaluate.figures import FIGURES, PATIENT_SHARES, Figure, is_right
from petlesion.evaluate.patients import PatientRow, Rules, evaluate_case, find_cases
from petlesion.evaluate.rating import Rating
from petlesion.evaluate.resampling import Interval, patient_interval, share_interval
from petlesion.progress import Progress, silent


@dataclass(frozen=True)
class CohortTable:
    """All rows, and figures of the cohort with 95 % intervals.

    Attributes
    ----------
    rules
        What counted as found.
    rows
        By name.
    figures
        Name of `figures.FIGURES` → estimate and interval, by resampling patients, of the share of patients who are
        called right by Wilson's score if each has one case; what is not defined for the cohort is left out.
    ttv, tlu
        Agreement of volume and uptake; None with fewer than two patients, or without PET.
    ratings
        How many patients got each rating.
    notes
        What keeps a figure from being defined, a sentence each.
    """

    rules: Rules
    rows: tuple[PatientRow, ...]
    figures: dict[str, Interval]
    ttv: Agreement | None
    tlu: Agreement | None
    ratings: dict[int, int]
    notes: tuple[str, ...] = ()


def evaluate_folders(
    predictions: Path, truth: Path, rules: Rules | None = None, progress: Progress = silent
) -> list[PatientRow]:
    """Compare all predictions with their truth.

    Parameters
    ----------
    predictions, truth
        Folders of cases: `<case>/` with a file of `patients.MASK_NAMES`, or `<case>.nii.gz`. A DICOM SEG needs the
        study beside the truth (`pet.nii.gz` or DICOM). Every case of the truth needs a prediction, except that an
        output folder with `report.json` and no mask predicts nothing.
    rules
        What counts as found.
    progress
        Told how many cases are done.

    Raises
    ------
    UsageError
        If a folder is empty, a case has no prediction, or grids do not overlap.
    """
    names = find_cases(truth)
    if not names:
        raise UsageError("there is no case to evaluate", where=truth, remedy="give folders of cases")
    rows: list[PatientRow] = []
    for name in names:
        progress(len(rows), len(names))
        rows.append(evaluate_case(name, predictions, truth, rules or Rules()))
    progress(len(rows), len(names))
    return rows


def tabulate(rows: Sequence[PatientRow], rules: Rules) -> CohortTable:
    """Figures of a cohort.

    Raises
    ------
    UsageError
        Without rows.
    """
    if not rows:
        raise UsageError("there is no case to evaluate", remedy="give folders of cases with --pred and --truth")
    uptakes = [
        (row.predicted_uptake.tlu, row.true_uptake.tlu)
        for row in rows
        if row.predicted_uptake is not None and row.true_uptake is not None
    ]
    ratings = [row.rating for row in rows]
    return CohortTable(
        rules=rules,
        rows=tuple(rows),
        figures={name: _interval(name, figure, rows) for name, figure in FIGURES.items() if np.isfinite(figure(rows))},
        ttv=_agreement([(row.voxels.predicted_ml, row.voxels.truth_ml) for row in rows]),
        tlu=_agreement(uptakes),
        ratings={int(rating): ratings.count(rating) for rating in Rating},
        notes=without_confidence(rows),
    )


def without_confidence(rows: Sequence[PatientRow]) -> tuple[str, ...]:
    """Say which case leaves a cohort without average precision; nothing where no lesion of any case has a confidence.

    To rank the lesions of the other cases alone would give a figure of another cohort than all others in the table.
    """
    unranked = [row for row in rows if row.candidates is None]
    if not unranked or not any(row.candidates for row in rows):
        return ()
    first, cases = unranked[0], "1 case has" if len(unranked) == 1 else f"{len(unranked)} cases have"
    why = f"{cases} lesions without a confidence, and case {first.case} {first.unranked}"
    return (f"no lesion_average_precision: {why}",)


def by_tracer(rows: Sequence[PatientRow], rules: Rules) -> dict[str, CohortTable]:
    """The cohort of every tracer; empty unless there are two or more. Patients of unknown tracer are in none."""
    tracers = sorted({row.tracer for row in rows if row.tracer is not None})
    if len(tracers) < 2:
        return {}
    return {str(tracer): tabulate([row for row in rows if row.tracer is tracer], rules) for tracer in tracers}


def of_patients(rows: Sequence[PatientRow]) -> list[list[PatientRow]]:
    """All cases of each patient: scans of one patient are no independent draws."""
    patients: dict[str, list[PatientRow]] = {}
    for row in rows:
        patients.setdefault(row.patient, []).append(row)
    return list(patients.values())


def over(patients: Sequence[Sequence[PatientRow]], figure: Figure) -> Callable[[NDArray[np.intp]], float]:
    """The figure as a function of the patients that were drawn, each with all his cases."""
    return lambda drawn: figure([row for n in drawn for row in patients[n]])


def _interval(name: str, figure: Figure, rows: Sequence[PatientRow]) -> Interval:
    patients = of_patients(rows)
    if name not in PATIENT_SHARES or len(patients) < len(rows):
        return patient_interval(over(patients, figure), len(patients))
    among = PATIENT_SHARES[name](rows)
    return share_interval(sum(map(is_right, among)), len(among))


def _agreement(pairs: Sequence[tuple[float, float]]) -> Agreement | None:
    """Of measured and true values; None where there are fewer than two."""
    return agreement(*zip(*pairs, strict=True)) if len(pairs) > 1 else None
