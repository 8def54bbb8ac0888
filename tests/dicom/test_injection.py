"""Injection time: full date-times, times without a date, midnight, zones, and what is not believed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.tag import Tag

from petlesion.dicom.suv import suv_conversion
from petlesion.dicom.suv_overrides import SuvOverrides
from petlesion.errors import SuvError
from petlesion.report import SuvRecord

MakePetHeader = Callable[..., Dataset]
CU64 = "45721"
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")


@pytest.fixture(scope="session")
def record_of(pet_header: MakePetHeader) -> Callable[..., SuvRecord]:
    """Record of a slice scanned at 11:00, given its full date-time of injection, time of day, and other attributes."""

    def record(full: str | None, clock: str | None = None, **changes: Any) -> SuvRecord:
        overrides = changes.pop("overrides", SuvOverrides())
        header = pet_header(RadiopharmaceuticalStartDateTime=full, RadiopharmaceuticalStartTime=clock, **changes)
        return suv_conversion([header], overrides).record

    return record


RecordOf = Callable[..., SuvRecord]


def at(clock: str, day: int = 1) -> datetime:
    return datetime.strptime(f"202501{day:02} {clock}", "%Y%m%d %H:%M:%S")


@pytest.mark.parametrize(
    "full", ["20250101100000", "202501011000", "2025010110", "20250101100000.000000", "20250101100000.0000001 "]
)
def test_a_full_date_time_that_fits_is_believed_without_a_word(record_of: RecordOf, full: str) -> None:
    record = record_of(full)
    assert record.injection_time == at("10:00:00")
    assert record.warnings == ()


def test_fractions_of_a_second_count(record_of: RecordOf) -> None:
    assert record_of("20250101100012.25").injection_time == at("10:00:12") + timedelta(milliseconds=250)


@pytest.mark.parametrize("clock", ["100000", "1000", "10", "100000.00", "10:00:00", "100000.0000001"])
def test_a_time_without_date_is_put_on_the_day_of_the_scan(record_of: RecordOf, clock: str) -> None:
    record = record_of(None, clock)
    assert record.injection_time == at("10:00:00")
    assert "put on 2025-01-01" in " ".join(record.warnings)


def test_a_time_after_that_of_the_scan_is_of_the_day_before(record_of: RecordOf) -> None:
    scan = {
        "AcquisitionTime": "003000",
        "SeriesTime": "003000",
        "AcquisitionDate": "20250102",
        "SeriesDate": "20250102",
    }
    assert record_of(None, "233000", **scan).injection_time == at("23:30:00", day=1)
    assert record_of("20250101233000", "233000", **scan).injection_time == at("23:30:00", day=1)


@pytest.mark.parametrize("clock", ["070000", None])
def test_a_late_scan_is_long_uptake_and_no_wrong_header(record_of: RecordOf, clock: str | None) -> None:
    record = record_of("20250101070000", clock)  # 2.2 half-lives of 18F
    assert record.injection_time == at("07:00:00")
    assert record.warnings == ("Uptake of 4.0 h is unusually long.",)


def test_a_day_before_needs_an_uptake_below_six_hours(record_of: RecordOf) -> None:
    with pytest.raises(SuvError, match=r"later than the reference time.*--injection-time"):
        record_of(None, "120000")


@pytest.mark.parametrize(
    ("full", "reason"),
    [
        ("20250102100000", "a day late"),
        ("20241231100000", "a day early"),
        ("19620714100000", "anonymised"),
        ("20250101072000", "2 half-lives early"),
    ],
)
def test_a_full_date_time_outside_the_window_gives_way_to_the_time(record_of: RecordOf, full: str, reason: str) -> None:
    record = record_of(full, "100000")
    assert record.injection_time == at("10:00:00"), reason
    assert "not believed" in record.warnings[0]


def test_the_window_ends_below_two_half_lives(record_of: RecordOf) -> None:
    assert record_of("20250101072100", "100000").injection_time == at("07:21:00")


def test_the_date_alone_is_not_believed_when_there_is_no_other_time(record_of: RecordOf) -> None:
    record = record_of("19620714100000")
    assert record.injection_time == at("10:00:00")
    assert "not believed" in record.warnings[0]


def test_contradicting_times_draw_a_warning(record_of: RecordOf) -> None:
    record = record_of("20250101100000", "101500")
    assert record.injection_time == at("10:00:00")
    assert "although RadiopharmaceuticalStartTime says 10:15:00" in record.warnings[0]


@pytest.mark.parametrize("changes", [{}, {"RadionuclideHalfLife": CU64}])
@pytest.mark.parametrize("full", ["20250101000000", "20250101000000.00", "202501010000"])
def test_midnight_beside_another_time_is_a_date(record_of: RecordOf, full: str, changes: dict[str, str]) -> None:
    record = record_of(full, "100000", **changes)
    assert record.injection_time == at("10:00:00")
    assert not [warning for warning in record.warnings if "DateTime" in warning]
    with pytest.raises(SuvError, match=full):
        record_of(full, None, **changes)


def test_a_date_and_a_time_apart_make_a_full_date_time(record_of: RecordOf) -> None:
    record = record_of("20241231", "110000", RadionuclideHalfLife=CU64)
    assert record.injection_time == datetime(2024, 12, 31, 11)


@pytest.mark.parametrize(
    ("full", "clock"), [(None, "100000"), ("", "100000"), ("20200101100000", "100000"), ("20250101", None)]
)
def test_long_lived_tracers_need_a_full_date_time(record_of: RecordOf, full: str | None, clock: str | None) -> None:
    with pytest.raises(SuvError, match="--injection-time YYYY-MM-DDThh:mm:ss"):
        record_of(full, clock, RadionuclideHalfLife=CU64)


def test_long_lived_tracers_may_be_injected_the_day_before(record_of: RecordOf) -> None:
    assert record_of("20241231150000", RadionuclideHalfLife=CU64).injection_time == datetime(2024, 12, 31, 15)


@pytest.mark.parametrize(("full", "clock"), [(None, None), ("", ""), ("soon", "noon"), ("2025", "250000")])
def test_no_readable_time_is_an_error_that_names_the_option(
    record_of: RecordOf, full: str | None, clock: str | None
) -> None:
    with pytest.raises(SuvError, match=r"RadiopharmaceuticalStartTime.*--injection-time"):
        record_of(full, clock)


@pytest.mark.parametrize("full", ["20250101110000", "20250101111500"])
def test_injection_after_the_scan_began_is_refused(record_of: RecordOf, full: str) -> None:
    with pytest.raises(SuvError, match="not before the reference time"):
        record_of(full)


def test_short_and_long_uptake_draw_a_warning(record_of: RecordOf) -> None:
    assert record_of("20250101102900").warnings == ()
    assert "20 min is unusually short" in " ".join(record_of("20250101104000").warnings)
    assert "8.0 h is unusually long" in " ".join(record_of(None, "030000").warnings)


ZONE = "TimezoneOffsetFromUTC"


@pytest.mark.parametrize(
    ("full", "clock", "zone"),
    [
        ("20250101090000+0000", "100000", "+0100"),
        ("20250101090000+0000", None, "+0100"),
        ("20250101100000+0100", None, "+0100"),
        ("20250101100000", None, "+0100"),
        ("20241231220000-1100", None, "+0100"),
        ("20250101143000+0530", None, "+0100"),
    ],
)
def test_zones_are_brought_to_the_scanners_clock(record_of: RecordOf, full: str, clock: str | None, zone: str) -> None:
    record = record_of(full, clock, **{ZONE: zone})
    assert record.injection_time == at("10:00:00").replace(tzinfo=timezone(timedelta(hours=1)))
    assert record.reference_time == at("11:00:00").replace(tzinfo=timezone(timedelta(hours=1)))
    assert record.warnings == ()


@pytest.mark.parametrize(
    ("full", "clock"),
    [
        ("20250101020000-0800", "100000"),
        ("20250101090000+0000", "100000"),
        ("20250101000000+0000", "100000"),
        ("20250101100000+0100", None),
        ("20250101100000+0100", "101234"),
    ],
)
def test_without_the_scanners_zone_the_time_of_day_tells_it(record_of: RecordOf, full: str, clock: str | None) -> None:
    record = record_of(full, clock)
    assert record.injection_time == at("10:00:00")
    assert "TimezoneOffsetFromUTC (0008,0201) is missing" in record.warnings[0]


def test_a_given_injection_time_is_taken_as_it_is(record_of: RecordOf) -> None:
    naive = SuvOverrides(injection_time=at("09:00:00"))
    assert record_of("20250101100000", "100000", overrides=naive).injection_time == at("09:00:00")
    aware = SuvOverrides(injection_time=at("09:00:00").replace(tzinfo=UTC))
    zoned = record_of("20250101100000", overrides=aware, **{ZONE: "+0100"})
    assert zoned.injection_time == aware.injection_time
    assert zoned.factor == pytest.approx(record_of("20250101100000").factor)
    with pytest.raises(SuvError, match="has a zone"):
        record_of("20250101100000", overrides=aware)


def test_the_private_time_of_ge_is_the_last_resort(pet_header: MakePetHeader) -> None:
    header = pet_header(
        RadiopharmaceuticalStartDateTime=None, RadionuclideHalfLife=CU64, Manufacturer="GE MEDICAL SYSTEMS"
    )
    header.add_new(Tag(0x0009, 0x0010), "LO", "GEMS_PETD_01")
    header.add_new(Tag(0x0009, 0x103B), "UN", b"20241231150000.00 ")
    record = suv_conversion([header]).record
    assert record.injection_time == datetime(2024, 12, 31, 15)
    assert "admin_datetime" in " ".join(record.warnings)
