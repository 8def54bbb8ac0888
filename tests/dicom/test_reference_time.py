"""Time that voxel values refer to: whole-body series of every vendor, and headers that lack or contradict it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.tag import Tag

from petlesion.dicom.decay import average_count_rate_time_s, decay
from petlesion.dicom.suv import SuvConversion, suv_conversion
from petlesion.errors import SuvError

MakePetHeader = Callable[..., Dataset]
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR")
HALF_LIFE = 6586.2
BED_S = 120
AVERAGE_MS = 1000 * average_count_rate_time_s(BED_S, HALF_LIFE)
SCAN = datetime(2025, 1, 1, 11)
BEDS = range(4)


def bed_series(make: MakePetHeader, frame_reference_ms: Callable[[int], float | None], **changes: Any) -> list[Dataset]:
    """Four beds of 120 s from 11:00 on, 123 s apart, by the offset in s from the start of the scan."""
    headers = []
    for bed in BEDS:
        start = SCAN + timedelta(seconds=123 * bed)
        offset = frame_reference_ms(123 * bed)
        timing = {
            "AcquisitionTime": f"{start:%H%M%S}",
            "FrameReferenceTime": None if offset is None else f"{offset:.6f}"[:16],
        }
        headers.append(make(**{**timing, **changes}))
    return headers


def ge(offset_s: float) -> float:
    """FrameReferenceTime as GE writes it: the start of the frame."""
    return 1000 * offset_s


def standard(offset_s: float) -> float:
    """FrameReferenceTime of the standard: the time of the average count rate."""
    return 1000 * offset_s + AVERAGE_MS


def reference_of(conversion: SuvConversion) -> datetime:
    """Reference time of a series that has one."""
    assert conversion.record.factor is not None
    assert conversion.record.reference_time is not None
    return conversion.record.reference_time


@pytest.mark.parametrize("dated", [True, False])
def test_a_scan_over_midnight(pet_header: MakePetHeader, dated: bool) -> None:
    days = ("20250101", "20250102") if dated else (None, None)
    beds = [("235500", days[0], 0.0), ("000500", days[1], 600.0)]
    headers = [
        pet_header(
            AcquisitionTime=clock, AcquisitionDate=day, SeriesTime="235500",
            FrameReferenceTime=f"{standard(offset):.4f}",
            RadiopharmaceuticalStartDateTime="20250101225500", RadiopharmaceuticalStartTime="225500",
        )
        for clock, day, offset in beds
    ]  # fmt: skip
    found = suv_conversion(headers)
    assert reference_of(found) == datetime(2025, 1, 1, 23, 55)
    assert any("over midnight" in warning for warning in found.record.warnings) != dated
    for header in headers:
        header.DecayCorrection = "ADMIN"
    assert suv_conversion(headers).record.injection_time == datetime(2025, 1, 1, 22, 55)


@settings(deadline=None)
@given(duration=st.floats(1, 5000), half_life=st.floats(70, 50_000))
def test_average_count_rate_is_that_at_the_average_time(duration: float, half_life: float) -> None:
    average = average_count_rate_time_s(duration, half_life)
    steps = 500
    mean = sum(decay((step + 0.5) * duration / steps, half_life) for step in range(steps)) / steps
    assert decay(average, half_life) == pytest.approx(mean, rel=1e-3)
    assert 0 < average < duration / 2


@pytest.mark.parametrize("manufacturer", ["GE MEDICAL SYSTEMS", "SIEMENS", "Philips", "UIH", ""])
def test_beds_of_an_unprocessed_series_refer_to_its_start(pet_header: MakePetHeader, manufacturer: str) -> None:
    convention = ge if manufacturer.startswith("GE") else standard
    conversion = suv_conversion(bed_series(pet_header, convention, Manufacturer=manufacturer))
    assert reference_of(conversion) == SCAN
    assert conversion.record.warnings == ()


@pytest.mark.parametrize("manufacturer", ["GE MEDICAL SYSTEMS", "SIEMENS", "Philips", "UIH", ""])
def test_beds_of_a_series_processed_later_refer_to_the_scan(pet_header: MakePetHeader, manufacturer: str) -> None:
    convention = ge if manufacturer.startswith("GE") else standard
    headers = bed_series(pet_header, convention, Manufacturer=manufacturer, SeriesTime="120000")
    assert abs(reference_of(suv_conversion(headers)) - SCAN) < timedelta(milliseconds=1)
    assert abs(reference_of(suv_conversion(headers[2:])) - SCAN) < timedelta(milliseconds=1)
    assert "processed later" in suv_conversion(headers).record.warnings[0]


def test_a_part_of_a_series_refers_to_the_start_of_the_whole(pet_header: MakePetHeader) -> None:
    conversion = suv_conversion(bed_series(pet_header, standard)[2:])
    assert reference_of(conversion) == SCAN
    assert conversion.record.warnings == ()


def test_whole_seconds_of_headers_make_no_steps_between_beds(pet_header: MakePetHeader) -> None:
    headers = bed_series(pet_header, ge, Manufacturer="GE MEDICAL SYSTEMS", SeriesTime="105958")
    for header, seconds in zip(headers, (0, 1, 0, 1), strict=True):
        header.AcquisitionTime = f"{int(header.AcquisitionTime) + seconds:06}"
    assert suv_conversion(headers).record.factor is not None


def test_continuous_bed_motion_with_one_acquisition_time(pet_header: MakePetHeader) -> None:
    timings = [(38513.36, 74324), (39189.36, 75676), (39864.86, 77027)]
    headers = [
        pet_header(
            AcquisitionTime="110001.351370", FrameReferenceTime=f"{reference}", ActualFrameDuration=str(duration)
        )
        for reference, duration in timings
    ]
    assert reference_of(suv_conversion(headers)) == SCAN


def private(header: Dataset, vendor: str, value: str) -> Dataset:
    group, creator, element = {
        "Siemens": (0x0071, "SIEMENS MED PT", 0x1022),
        "GE": (0x0009, "GEMS_PETD_01", 0x100D),
    }[vendor]
    header.add_new(Tag(group, 0x10), "LO", creator)
    header.add_new(Tag(group, element), "UN", value.encode())
    return header


@pytest.mark.parametrize("vendor", ["Siemens", "GE"])
@pytest.mark.parametrize("value", ["20250101105000.00 ", "20250101105000", "105000"])
def test_private_reference_times_come_before_calculated_ones(
    pet_header: MakePetHeader, vendor: str, value: str
) -> None:
    header = private(pet_header(SeriesTime="120000"), vendor, value)
    record = suv_conversion([header]).record
    assert record.reference_time == datetime(2025, 1, 1, 10, 50)
    assert record.warnings == ()


def test_series_time_of_the_first_acquisition_comes_before_private_times(pet_header: MakePetHeader) -> None:
    assert reference_of(suv_conversion([private(pet_header(), "GE", "20250101105000")])) == SCAN


def test_private_times_whose_date_was_not_shifted_give_their_time_of_day(pet_header: MakePetHeader) -> None:
    header = private(pet_header(SeriesTime="120000"), "GE", "20240315105000.00")
    record = suv_conversion([header]).record
    assert record.reference_time == datetime(2025, 1, 1, 10, 50)
    assert "time of day" in record.warnings[0]


@pytest.mark.parametrize("value", ["20250101113000", "20240101150000"])
def test_private_times_after_the_acquisition_are_not_used(pet_header: MakePetHeader, value: str) -> None:
    header = private(pet_header(SeriesTime="120000"), "Siemens", value)
    conversion = suv_conversion([header])
    assert abs(reference_of(conversion) - SCAN) < timedelta(seconds=1)
    assert "not used" in conversion.record.warnings[0]


def test_decay_correction_date_time_comes_before_calculated_times(pet_header: MakePetHeader) -> None:
    header = pet_header(
        SeriesTime="120000", DecayCorrectionDateTime="20250101095000+0000", TimezoneOffsetFromUTC="+0100"
    )
    reference = reference_of(suv_conversion([header]))
    assert reference.replace(tzinfo=None) == datetime(2025, 1, 1, 10, 50)


def test_frame_reference_time_0_is_the_start_of_the_frame_with_every_vendor(pet_header: MakePetHeader) -> None:
    headers = bed_series(pet_header, ge, SeriesTime="120000")
    conversion = suv_conversion(headers)
    assert reference_of(conversion) == SCAN
    assert "taken as the start" in " ".join(conversion.record.warnings)


def test_frame_reference_time_0_throughout_leaves_the_first_acquisition(pet_header: MakePetHeader) -> None:
    conversion = suv_conversion(bed_series(pet_header, lambda _: 0, SeriesTime="120000"))
    assert reference_of(conversion) == SCAN
    assert "first acquisition" in " ".join(conversion.record.warnings)


def test_a_single_acquisition_time_is_the_start_whatever_the_frames_say(pet_header: MakePetHeader) -> None:
    headers = bed_series(pet_header, ge, AcquisitionTime="110000", SeriesTime="120000", Manufacturer="GE")
    conversion = suv_conversion(headers)
    assert reference_of(conversion) == SCAN
    assert "AcquisitionTime is the same throughout" in " ".join(conversion.record.warnings)


def test_beds_that_refer_to_their_own_start_are_taken_at_it(pet_header: MakePetHeader) -> None:
    headers = bed_series(pet_header, lambda _: AVERAGE_MS, SeriesTime="120000")
    conversion = suv_conversion(headers)
    expected = [2 ** (123 * bed / HALF_LIFE) for bed in BEDS]
    assert conversion.factors / conversion.factors[0] == pytest.approx(expected, rel=1e-6)
    assert conversion.record.factor is None
    assert "each slice is taken at its own" in " ".join(conversion.record.warnings)


def with_decay_factors(headers: list[Dataset]) -> list[Dataset]:
    for bed, header in zip(BEDS, headers, strict=True):
        header.DecayFactor = f"{1 / decay(123 * bed + AVERAGE_MS / 1000, HALF_LIFE):.6g}"
    return headers


@pytest.mark.parametrize("frame_reference_ms", [None, AVERAGE_MS])
def test_decay_factors_decide_where_frame_reference_times_cannot(
    pet_header: MakePetHeader, frame_reference_ms: float | None
) -> None:
    headers = bed_series(pet_header, lambda _: frame_reference_ms, SeriesTime="120000")
    conversion = suv_conversion(with_decay_factors(headers))
    assert abs(reference_of(conversion) - SCAN) < timedelta(seconds=0.2)
    assert "DecayFactor" in " ".join(conversion.record.warnings)


def test_the_series_time_serves_where_frame_reference_times_are_missing(pet_header: MakePetHeader) -> None:
    first = suv_conversion(bed_series(pet_header, lambda _: None))
    assert reference_of(first) == SCAN
    assert "is missing" in first.record.warnings[0]
    rest = suv_conversion(bed_series(pet_header, lambda _: None)[1:])
    assert reference_of(rest) == SCAN


@pytest.mark.parametrize("missing", ["FrameReferenceTime", "ActualFrameDuration"])
def test_nothing_is_guessed_where_no_attribute_tells(pet_header: MakePetHeader, missing: str) -> None:
    with pytest.raises(SuvError, match=f"{missing} .* is missing.*not known"):
        suv_conversion([pet_header(SeriesTime="120000", **{missing: None})])
    ge_header = pet_header(SeriesTime="120000", Manufacturer="GE", ActualFrameDuration=None)
    assert suv_conversion([ge_header]).record.reference_time == datetime(2025, 1, 1, 10, 59)


def test_frames_that_contradict_the_series_time_draw_a_warning(pet_header: MakePetHeader) -> None:
    record = suv_conversion(bed_series(pet_header, lambda _: AVERAGE_MS)).record
    assert record.reference_time == SCAN
    assert "points elsewhere" in record.warnings[0]
    late = suv_conversion(bed_series(pet_header, standard, SeriesTime="105000")).record
    assert late.reference_time is not None
    assert abs(late.reference_time - SCAN) < timedelta(milliseconds=1)
    assert "is not used" in late.warnings[0]


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"AcquisitionDate": None, "AcquisitionTime": None, "AcquisitionDateTime": "20250101110000.0"}, ""),
        ({"AcquisitionTime": "", "AcquisitionDateTime": "20250101100000+0000", "TimezoneOffsetFromUTC": "+0100"}, ""),
        ({"AcquisitionDate": None}, "the date of the series"),
        ({"AcquisitionDate": "00010101"}, "the date of the series"),
        ({"SeriesDate": None}, "the date of the acquisition"),
        ({"SeriesDate": "19000101"}, "the date of the acquisition"),
        ({"SeriesDate": None, "AcquisitionDate": None, "StudyDate": "20250101"}, "date"),
    ],
)
def test_dates_and_times_are_taken_from_where_they_are(
    pet_header: MakePetHeader, changes: dict[str, Any], warning: str
) -> None:
    record = suv_conversion([pet_header(**changes)]).record
    assert record.reference_time is not None
    assert record.reference_time.replace(tzinfo=None) == SCAN
    assert warning in " ".join(record.warnings)
    assert bool(record.warnings) == bool(warning)


@pytest.mark.parametrize(
    "changes", [{"AcquisitionTime": None}, {"AcquisitionTime": "noon"}, {"AcquisitionDate": None, "SeriesDate": None}]
)
def test_a_scan_without_time_is_refused(pet_header: MakePetHeader, changes: dict[str, Any]) -> None:
    with pytest.raises(SuvError, match="the time of the scan is not known"):
        suv_conversion([pet_header(**changes)])


def test_uncorrected_frames_need_their_duration(pet_header: MakePetHeader) -> None:
    with pytest.raises(SuvError, match="ActualFrameDuration"):
        suv_conversion([pet_header(DecayCorrection="NONE", CorrectedImage=["ATTN"], ActualFrameDuration="0")])


@pytest.mark.parametrize(("frame_reference_s", "told"), [(0, False), (30, False), (60, False), (300, True)])
def test_a_frame_that_starts_the_series_may_not_count_from_long_before_it(
    pet_header: MakePetHeader, frame_reference_s: int, told: bool
) -> None:
    header = pet_header(FrameReferenceTime=str(1000 * frame_reference_s), ActualFrameDuration="120000")
    assert ("points elsewhere" in " ".join(suv_conversion([header]).record.warnings)) is told
