"""lesions.csv: one row a lesion, readable by people and programs."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from petlesion.measure.biomarkers import totals
from petlesion.present.table import COLUMNS, write_lesions_csv
from petlesion.report import NO_REFERENCE, LesionRecord, MethodRecord, Report, Review, StudyRecord, SuvRecord

LESION = LesionRecord(
    id=1,
    tracking_uid="2.25.1",
    volume_ml=12.3456789,
    suv_max=20.0,
    suv_mean=10.0,
    suv_min=5.0,
    suv_sd=2.5,
    suv_peak=15.0,
    tlu=123.456789,
    centroid_mm=(-1.005, 2.0, 1234.5),
    location="Leber, Segment Ⅷ",
    confidence=0.5,
)


def make_report(*lesions: LesionRecord) -> Report:
    return Report(
        study=StudyRecord("1.2", "1.2.3", None, "f18-fdg"),
        suv=SuvRecord("GML", "START", None, None, None),
        reference=NO_REFERENCE,
        method=MethodRecord("fixed", "1"),
        lesions=lesions,
        totals=totals(lesions),
        review=Review.CANDIDATES,
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_hold_the_report(tmp_path: Path) -> None:
    other = replace(LESION, id=2, tracking_uid="2.25.2", location=None, confidence=None)
    write_lesions_csv(make_report(LESION, other), tmp_path / "lesions.csv")
    first, second = read(tmp_path / "lesions.csv")
    assert tuple(first) == COLUMNS
    assert list(first.values()) == [
        *("1.2", "1.2.3", "1", "2.25.1", "Leber, Segment Ⅷ", "0.5000"),
        *("12.3457", "20.0000", "10.0000", "5.0000", "2.5000", "15.0000", "123.4568"),
        *("-1.00", "2.00", "1234.50"),
        *("fixed", "", "candidates"),
    ]
    assert (second["id"], second["location"], second["confidence"]) == ("2", "", "")


def test_no_lesion_is_one_row_that_says_none(tmp_path: Path) -> None:
    write_lesions_csv(make_report(), tmp_path / "lesions.csv")
    (row,) = read(tmp_path / "lesions.csv")
    assert {key: value for key, value in row.items() if value} == {
        "study_instance_uid": "1.2",
        "pet_series_instance_uid": "1.2.3",
        "id": "none",
        "method": "fixed",
        "review": "candidates",
    }


def test_a_network_is_named_by_its_hash(tmp_path: Path) -> None:
    report = make_report(LESION)
    unet = replace(report, method=MethodRecord("unet", "1", weights_sha256="ab" * 32))
    for made in (unet, replace(unet, lesions=(), totals=totals(()))):
        write_lesions_csv(made, tmp_path / "lesions.csv")
        (row,) = read(tmp_path / "lesions.csv")
        assert (row["method"], row["weights_sha256"]) == ("unet", "ab" * 32)


def test_columns_are_the_keys_of_a_lesion_with_units() -> None:
    keys = [key for key in LesionRecord.__dataclass_fields__ if key != "centroid_mm"]
    for key in [*keys, "centroid_x", "centroid_y", "centroid_z"]:
        assert sum(column.startswith(key) for column in COLUMNS) == 1, key


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_becomes_a_formula(tmp_path: Path, text: str) -> None:
    write_lesions_csv(make_report(replace(LESION, location=text)), tmp_path / "lesions.csv")
    assert read(tmp_path / "lesions.csv")[0]["location"] == f"'{text}"
