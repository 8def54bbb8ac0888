"""`lesions.csv`: one row a lesion, for spreadsheets and statistics programs."""

from __future__ import annotations

import csv
from pathlib import Path

from petlesion.report import LesionRecord, Report

COLUMNS = (
    "study_instance_uid",
    "pet_series_instance_uid",
    "id",
    "tracking_uid",
    "location",
    "confidence",
    "volume_ml",
    "suv_max_g_ml",
    "suv_mean_g_ml",
    "suv_min_g_ml",
    "suv_sd_g_ml",
    "suv_peak_g_ml",
    "tlu_g",
    "centroid_x_mm",
    "centroid_y_mm",
    "centroid_z_mm",
    "method",
    "weights_sha256",
    "review",
)
"""Header of `lesions.csv`: the keys of `report.json` with their units (SUVbw in g/mL, TLU in g, LPS in mm).

`confidence` is defined at `petlesion.report.LesionRecord`, `review` at `petlesion.report.Review`.
"""

NO_LESION = "none"
"""The `id` in the only row of a study without lesions."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write_lesions_csv(report: Report, path: Path) -> None:
    """Write the lesions of a report as CSV (RFC 4180, UTF-8, decimal point).

    Every row names the study, what found the lesion and whether a person has looked, so that files of many patients can
    be appended to one table. There is no row of totals; they are in `report.json`. A study without lesions has one row,
    whose `id` is "none" and whose measurements are empty: it does not vanish from such a table, and no empty file is
    mistaken for a result.

    Parameters
    ----------
    report
        What was measured.
    path
        File to write; an existing one is replaced.
    """
    study = (report.study.study_instance_uid, report.study.pet_series_instance_uid)
    method = (report.method.name, report.method.weights_sha256 or "", str(report.review))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows((*study, *_row(lesion), *method) for lesion in report.lesions)
        if not report.lesions:
            measures = len(COLUMNS) - len(study) - 1 - len(method)
            writer.writerow((*study, NO_LESION, *[""] * measures, *method))


def _row(lesion: LesionRecord) -> tuple[str, ...]:
    measures = (
        lesion.volume_ml,
        lesion.suv_max,
        lesion.suv_mean,
        lesion.suv_min,
        lesion.suv_sd,
        lesion.suv_peak,
        lesion.tlu,
    )
    return (
        str(lesion.id),
        lesion.tracking_uid,
        _plain_text(lesion.location or ""),
        "" if lesion.confidence is None else f"{lesion.confidence:.4f}",
        *(f"{value:.4f}" for value in measures),
        *(f"{value:.2f}" for value in lesion.centroid_mm),
    )


def _plain_text(text: str) -> str:
    """The text such that a spreadsheet does not run it as a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
