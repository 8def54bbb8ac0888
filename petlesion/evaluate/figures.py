"""Figures of a cohort: what each one is, over which patients it is taken, and when it is not defined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from petlesion.evaluate.lesions import average_precision
from petlesion.evaluate.patients import PatientRow

Figure = Callable[[Sequence[PatientRow]], float]
"""From patients to a number; NaN where it is not defined for them."""
UNDEFINED = float("nan")


def lesion_f1(rows: Sequence[PatientRow]) -> float:
    """2 TP / (2 TP + FP + FN) over all lesions of the cohort."""
    found, wrong = sum(row.found for row in rows), sum(row.false + row.missed for row in rows)
    return _ratio(2 * found, 2 * found + wrong)


def lesion_average_precision(rows: Sequence[PatientRow]) -> float:
    """Area under the precision-recall curve over the lesions of all patients; see `lesions.average_precision`."""
    if any(row.candidates is None for row in rows):
        return UNDEFINED
    candidates = [candidate for row in rows for candidate in row.candidates or ()]
    truth = sum(row.found + row.missed for row in rows)
    area = average_precision([c.confidence for c in candidates], [c.correct for c in candidates], truth)
    return UNDEFINED if area is None else area


def percent_agreement(measured: float, truth: float) -> float:
    """100 × the smaller of two values over the larger one: 100 where they are equal, 0 where one of them is 0.

    DEEP-PSMA ranks by "% agreement" of SUVmean (PSMA) and volume (FDG); its published code holds no formula for it.

    Examples
    --------
    >>> percent_agreement(3.0, 4.0)
    75.0
    """
    largest = max(measured, truth)
    return 100 * min(measured, truth) / largest if largest > 0 else 100.0


def _volume_agreement(rows: Sequence[PatientRow]) -> float:
    return _mean([percent_agreement(row.voxels.predicted_ml, row.voxels.truth_ml) for row in _diseased(rows)])


def _suv_mean_agreement(rows: Sequence[PatientRow]) -> float:
    pairs = [(row.predicted_uptake, row.true_uptake) for row in _diseased(rows)]
    known = [(found, true) for found, true in pairs if found is not None and true is not None]
    return _mean([percent_agreement(found.suv_mean or 0.0, true.suv_mean or 0.0) for found, true in known])


def _tlu_bias(rows: Sequence[PatientRow]) -> float:
    pairs = [(row.predicted_uptake, row.true_uptake) for row in rows]
    return _mean([found.tlu - true.tlu for found, true in pairs if found is not None and true is not None])


def _diseased(rows: Sequence[PatientRow]) -> list[PatientRow]:
    return [row for row in rows if row.voxels.truth_ml > 0]


def _healthy(rows: Sequence[PatientRow]) -> list[PatientRow]:
    return [row for row in rows if row.voxels.truth_ml == 0]


def _called(rows: Sequence[PatientRow]) -> list[PatientRow]:
    return [row for row in rows if row.voxels.predicted_ml > 0]


def _cleared(rows: Sequence[PatientRow]) -> list[PatientRow]:
    return [row for row in rows if row.voxels.predicted_ml == 0]


def is_right(row: PatientRow) -> bool:
    """Whether disease is predicted in a patient if and only if there is some."""
    return (row.voxels.predicted_ml > 0) == (row.voxels.truth_ml > 0)


def _share_right(among: Callable[[Sequence[PatientRow]], Sequence[PatientRow]]) -> Figure:
    return lambda rows: _ratio(sum(map(is_right, among(rows))), len(among(rows)))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else UNDEFINED


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else UNDEFINED


PATIENT_SHARES: Final[dict[str, Callable[[Sequence[PatientRow]], Sequence[PatientRow]]]] = {
    "patient_accuracy": lambda rows: rows,
    "patient_sensitivity": _diseased,
    "patient_specificity": _healthy,
    "patient_ppv": _called,
    "patient_npv": _cleared,
}
"""Figures that are the share of patients who are called right (`is_right`), and among whom."""
FIGURES: Final[dict[str, Figure]] = {
    "dice": lambda rows: _mean([row.voxels.dice or 0.0 for row in _diseased(rows)]),
    "iou": lambda rows: _mean([row.voxels.iou or 0.0 for row in _diseased(rows)]),
    "voxel_sensitivity": lambda rows: _mean([row.voxels.sensitivity or 0.0 for row in _diseased(rows)]),
    "voxel_ppv": lambda rows: _mean([row.voxels.ppv or 0.0 for row in _diseased(_called(rows))]),
    "surface_dice": lambda rows: _mean([row.surface_dice or 0.0 for row in _diseased(rows)]),
    "false_positive_ml": lambda rows: _mean([row.voxels.false_positive_ml for row in rows]),
    "false_negative_ml": lambda rows: _mean([row.voxels.false_negative_ml for row in rows]),
    "volume_agreement_percent": _volume_agreement,
    "suv_mean_agreement_percent": _suv_mean_agreement,
    "ttv_bias_ml": lambda rows: _mean([row.voxels.predicted_ml - row.voxels.truth_ml for row in rows]),
    "ttv_absolute_error_ml": lambda rows: _mean([abs(row.voxels.predicted_ml - row.voxels.truth_ml) for row in rows]),
    "tlu_bias_g": _tlu_bias,
    "lesion_f1": lesion_f1,
    "lesion_sensitivity": lambda rows: _ratio(
        sum(row.found for row in rows), sum(row.found + row.missed for row in rows)
    ),
    "lesion_ppv": lambda rows: _ratio(sum(row.found for row in rows), sum(row.found + row.false for row in rows)),
    "lesion_average_precision": lesion_average_precision,
    **{name: _share_right(among) for name, among in PATIENT_SHARES.items()},
}
"""All figures by name.

`dice`, `iou`, `surface_dice`, `voxel_sensitivity` and both agreements are means over patients with lesions, where a
patient in whom nothing was found counts 0; `voxel_ppv` over those of them in whom something was. Volumes and biases are
means over all patients, `lesion_*` go over all lesions of the cohort at once, and `patient_*` call a patient diseased
where any voxel is predicted.
"""
