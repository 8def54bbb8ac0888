"""Log lines: JSON, and nothing of what an error quotes."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from logs import EndedEarlyError, Log, safe_summary

from petlesion.errors import (
    ExitCode,
    GeometryError,
    ModelError,
    NoCtError,
    NoDicomError,
    NoPetError,
    OutputError,
    PetlesionError,
    SegmentationError,
    SuvError,
    UsageError,
)

MARK = "ZZMARKZZ"


@pytest.mark.parametrize(
    "kind",
    [NoDicomError, NoPetError, NoCtError, SuvError, GeometryError, SegmentationError],
    ids=lambda kind: kind.__name__,
)
def test_errors_of_a_study_are_summarised(kind: type[PetlesionError]) -> None:
    summary = safe_summary(kind(f"slice of {MARK}", where=f"/in/{MARK}.dcm", remedy=f"ask {MARK}"), kind.exit_code)
    assert summary
    assert MARK not in summary


@pytest.mark.parametrize("kind", [UsageError, ModelError, OutputError, EndedEarlyError], ids=lambda kind: kind.__name__)
def test_errors_of_the_run_are_said_without_the_folder(kind: type[PetlesionError]) -> None:
    summary = safe_summary(kind("no space", where=f"/out/{MARK}", remedy="make room"), kind.exit_code)
    assert summary == "no space; make room"


def test_unforeseen_error_is_a_type_and_a_place() -> None:
    stream = StringIO()
    try:
        int(MARK)
    except ValueError as error:
        Log(stream).error("operator failed", error, ExitCode.SEGMENTATION, operator="read")
    line = json.loads(stream.getvalue())
    assert MARK not in stream.getvalue()
    assert line["error"] == "ValueError"
    assert line["operator"] == "read"
    assert line["raised_at"].startswith("test_deploy_logs.py:")
