"""Reading of single attributes, well-formed or not."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from petlesion.dicom.attributes import (
    items,
    number,
    on_scanner_clock,
    parse_date,
    parse_datetime,
    parse_time,
    parse_utc_offset,
    person_name,
    private_text,
    series_label,
    shown,
    text,
    values,
)


def header_with(keyword: str, raw: bytes, vr: str | None = None) -> Dataset:
    """Header with an element as it stands in a file, not yet converted."""
    header = Dataset()
    tag = Tag(keyword)
    header[tag] = RawDataElement(tag, vr, len(raw), raw, 0, vr is None, True)
    return header


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"70 ", 70.0),
        (b" 7.0E1\0", 70.0),
        (b"70\\70", 70.0),
        (b"70\\80", None),
        (b"seventy", None),
        (b"nan", None),
        (b"1e999", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_numbers(raw: bytes, expected: float | None) -> None:
    assert number(header_with("PatientWeight", raw), "PatientWeight") == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(b"Doe^John ", "Doe^John"), (b"A^B=C^D=E^F", "A^B=C^D=E^F"), (b"Doe^John\\Doe^Jane", "Doe^John"), (b"", "")],
)
def test_names(raw: bytes, expected: str) -> None:
    assert person_name(header_with("PatientName", raw, "PN"), "PatientName") == expected


def test_converted_elements_read_like_raw_ones() -> None:
    header = Dataset()
    header.PatientWeight, header.CorrectedImage, header.SeriesDescription = "70.5", ["ATTN", "", "DECY"], " WB \0"
    assert number(header, "PatientWeight") == 70.5
    assert values(header, "CorrectedImage") == ("ATTN", "DECY")
    assert text(header, "SeriesDescription") == "WB"


def test_binary_and_broken_elements_do_not_raise() -> None:
    assert text(header_with("Rows", b"\x80\x00", "US"), "Rows") == "128"
    assert text(header_with("Rows", b"\x80", "US"), "Rows") == ""
    assert text(header_with("RadiopharmaceuticalInformationSequence", b"abc", "SQ"), "PatientWeight") == ""
    assert items(header_with("RadiopharmaceuticalInformationSequence", b"abc"), "RadionuclideCodeSequence") == ()
    broken = header_with("RadiopharmaceuticalInformationSequence", b"abc")
    assert items(broken, "RadiopharmaceuticalInformationSequence") == ()
    assert text(broken, "RadiopharmaceuticalInformationSequence") == ""


def test_what_an_attribute_holds_is_shown() -> None:
    header = Dataset()
    assert shown(header, "PatientWeight") == "PatientWeight (0010,1030) is missing"
    header.PatientWeight = None
    assert shown(header, "PatientWeight") == "PatientWeight (0010,1030) is empty"
    assert shown(header_with("PatientWeight", b"a"), "PatientWeight") == "PatientWeight (0010,1030) is 'a'"
    with pytest.raises(ValueError, match="PatientsWeight is no DICOM keyword"):
        shown(header, "PatientsWeight")


def test_series_are_named_by_description_else_uid() -> None:
    header = Dataset()
    assert series_label(header) == "PET series"
    header.SeriesInstanceUID = "1.2.3"
    assert series_label(header) == "PET series '1.2.3'"
    header.SeriesDescription = "PET AC"
    assert series_label(header) == "PET series 'PET AC'"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20250131", date(2025, 1, 31)),
        ("2025.01.31", date(2025, 1, 31)),
        ("19000101", date(1900, 1, 1)),
        ("00010101", None),
        ("99991231", None),
        ("20250132", None),
        ("2025-01-31", None),
        ("202501", None),
        ("", None),
    ],
)
def test_dates(value: str, expected: date | None) -> None:
    assert parse_date(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("101502", time(10, 15, 2)),
        ("101502.5", time(10, 15, 2, 500_000)),
        ("101502.1234567", time(10, 15, 2, 123_456)),
        ("1015", time(10, 15)),
        ("10", time(10)),
        ("10:15:02", time(10, 15, 2)),
        ("000000", time(0)),
        ("240000", None),
        ("93000", None),
        ("noon", None),
        ("", None),
    ],
)
def test_times(value: str, expected: time | None) -> None:
    assert parse_time(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20250131101502", datetime(2025, 1, 31, 10, 15, 2)),
        ("20250131101502.25", datetime(2025, 1, 31, 10, 15, 2, 250_000)),
        ("20250131101502.1234567", datetime(2025, 1, 31, 10, 15, 2, 123_456)),
        ("202501311015", datetime(2025, 1, 31, 10, 15)),
        ("2025013110", datetime(2025, 1, 31, 10)),
        ("20250131101502+0000", datetime(2025, 1, 31, 10, 15, 2, tzinfo=UTC)),
        ("20250131101502.5-0330", datetime(2025, 1, 31, 10, 15, 2, 500_000, timezone(-timedelta(hours=3.5)))),
        ("20250131", None),
        ("20251331101502", None),
        ("20250131101502+9900", None),
        ("00010101101502", None),
        ("99991231235959", None),
        ("2025-01-31T10:15:02", None),
        ("", None),
    ],
)
def test_date_times(value: str, expected: datetime | None) -> None:
    parsed = parse_datetime(value)
    assert parsed == expected
    assert (parsed and parsed.utcoffset()) == (expected and expected.utcoffset())


@pytest.mark.parametrize(
    ("value", "hours"),
    [("+0100", 1), ("-0330", -3.5), ("+0000", 0), ("+1400", 14), ("+1500", None), ("Z", None), ("", None)],
)
def test_utc_offsets(value: str, hours: float | None) -> None:
    assert parse_utc_offset(value) == (None if hours is None else timezone(timedelta(hours=hours)))


def test_the_scanners_clock() -> None:
    zone = timezone(timedelta(hours=2))
    moment = datetime(2025, 1, 1, 9, tzinfo=UTC)
    assert on_scanner_clock(moment, zone) == datetime(2025, 1, 1, 11)
    assert on_scanner_clock(moment, None) == datetime(2025, 1, 1, 9)
    assert on_scanner_clock(datetime(2025, 1, 1, 9), zone) == datetime(2025, 1, 1, 9)


def test_private_blocks_are_found_by_creator() -> None:
    header = Dataset()
    assert private_text(header, 0x7053, "Mine", 0x09) == ""
    header.add_new(Tag(0x7053, 0x1009), "UN", b"stripped ")
    assert private_text(header, 0x7053, "Mine", 0x09) == "stripped"
    header.add_new(Tag(0x7053, 0x0010), "LO", "Other")
    assert private_text(header, 0x7053, "Mine", 0x09) == ""
    header.add_new(Tag(0x7053, 0x00E1), "LO", "MINE ")
    header.add_new(Tag(0x7053, 0xE109), "DS", "2.5")
    assert private_text(header, 0x7053, "Mine", 0x09) == "2.5"
