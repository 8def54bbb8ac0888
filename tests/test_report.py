"""report.json: keys, round trip, and the published schema."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from petlesion.report import (
    SCHEMA,
    LesionRecord,
    MethodRecord,
    Reference,
    ReferenceOrgan,
    Report,
    Review,
    Sphere,
    StudyRecord,
    SuvRecord,
    Totals,
    report_json_schema,
)

PUBLISHED_SCHEMA = Path(__file__).parents[1] / "docs" / "report-schema.json"

CONTRACT = {
    "study": "study_instance_uid pet_series_instance_uid ct_series_instance_uid tracer",
    "suv": "units decay_correction factor reference_time injection_time warnings "
    "injected_mbq weight_kg half_life_s uptake_min",
    "reference": "organ mean sd threshold spheres",
    "method": "name version weights_sha256",
    "totals": "n_lesions ttv_ml tlu suv_max suv_mean suv_peak min_lesion_suv_mean",
}
LESION_KEYS = "id tracking_uid volume_ml suv_max suv_mean suv_min suv_sd suv_peak tlu centroid_mm location confidence"

REPORT = Report(
    study=StudyRecord("1.2", "1.2.3", "1.2.4", "ga68-dotatate", ("the only PET series",)),
    suv=SuvRecord(
        "BQML",
        "START",
        0.000123,
        datetime(2020, 2, 29, 12, 0, 0, 250000),
        datetime(2020, 2, 29, 11, 0, tzinfo=UTC),
        ("weight was given by the user",),
        {"weight_kg": 70.5},
        *(150.0, 70.5, 4057.74, 62.0),
    ),
    reference=Reference(ReferenceOrgan.LIVER, 5.0, 0.5, 8.5, (Sphere((-80.0, 10.0, 900.5), 15.0),)),
    method=MethodRecord("percist", "0.1.0", None, {"factor": 1.5, "connectivity": 26, "fallback": None}),
    lesions=(LesionRecord(1, "2.25.1", 1.5, 9.0, 7.0, 6.0, 0.5, 8.0, 10.5, (1.0, 2.0, 3.0), "liver", 0.9),),
    totals=Totals(1, 1.5, 10.5, 9.0, 7.0, 8.0, 7.0),
    review=Review.CANDIDATES,
    warnings=("slices are unequally spaced",),
)


def document(report: Report = REPORT) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(report.to_json())
    return parsed


def test_the_contract_keys_are_there() -> None:
    written = document()
    assert written["schema"] == "petlesion-report/1"
    for section, keys in CONTRACT.items():
        assert set(keys.split()) <= set(written[section]), section
    assert set(LESION_KEYS.split()) == set(written["lesions"][0])
    assert written["reference"]["spheres"] == [{"center_mm": [-80.0, 10.0, 900.5], "radius_mm": 15.0}]


def test_reading_gives_back_what_was_written() -> None:
    assert Report.from_json(REPORT.to_json()) == REPORT
    assert Report.from_json(REPORT.to_json()).to_json() == REPORT.to_json()


def test_a_report_of_before_activity_and_uptake_time_were_written_is_read() -> None:
    older = document()
    for key in ("injected_mbq", "weight_kg", "half_life_s", "uptake_min"):
        del older["suv"][key]
    suv = Report.from_json(json.dumps(older)).suv
    assert suv.injected_mbq is suv.weight_kg is suv.half_life_s is suv.uptake_min is None


def test_not_a_number_is_never_written() -> None:
    broken = replace(REPORT, totals=replace(REPORT.totals, suv_max=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        broken.to_json()


@pytest.mark.parametrize(
    ("key", "value"), [("schema", "petlesion-report/2"), ("review", "maybe"), ("lesions", None), ("totals", {})]
)
def test_other_documents_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValidationError, match=key):
        Report.from_json(json.dumps(document() | {key: value}))


def test_the_published_schema_is_current() -> None:
    command = (
        'python -c "import json; from petlesion.report import report_json_schema as schema; '
        'print(json.dumps(schema(), indent=2))" > docs/report-schema.json'
    )
    assert json.loads(PUBLISHED_SCHEMA.read_text(encoding="utf-8")) == report_json_schema(), f"run: {command}"


def test_the_schema_names_its_version_and_requires_every_result() -> None:
    schema = report_json_schema()
    assert schema["properties"]["schema"]["const"] == SCHEMA
    assert {"study", "suv", "reference", "method", "lesions", "totals", "review"} <= set(schema["required"])
