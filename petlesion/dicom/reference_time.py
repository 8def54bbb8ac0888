"""The time that the voxel values of a PET series refer to."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from pydicom import Dataset

from petlesion.dicom.attributes import (
    number,
    on_scanner_clock,
    parse_date,
    parse_datetime,
    parse_time,
    private_text,
    series_label,
    shown,
    text,
)
from petlesion.dicom.decay import average_count_rate_time_s
from petlesion.dicom.injection import GE_PET_CREATOR, nearest
from petlesion.errors import SuvError

SIEMENS_PET_CREATOR = "SIEMENS MED PT"
"""Creator of Siemens' private PET block, group 0071."""
SAME_TIME = timedelta(seconds=2)
"""Times that differ by less are one time: headers round to whole seconds (2 s change SUV of 68Ga by 0.03 %)."""
LONGEST_SCAN = timedelta(hours=6)
"""A recorded start of the scan is not believed further before the acquisition of a slice."""
REMEDY = "use the series as the scanner wrote it"
"""What solves missing acquisition times."""

HALF_A_DAY = timedelta(hours=12)


class Frame(NamedTuple):
    """Timing of one slice: start of acquisition, duration in s, FrameReferenceTime in s, DecayFactor."""

    start: datetime
    duration_s: float | None
    reference_s: float | None
    decay_factor: float | None


def read_frames(headers: Sequence[Dataset], zone: timezone | None, warnings: list[str]) -> list[Frame]:
    """Timing of every slice of a series.

    Where slices have no date of their own and the date of the series puts them half a day apart, the scan went on over
    midnight, and those in the morning are of the day after.

    Raises
    ------
    SuvError
        If a slice has no acquisition time.
    """
    frames = [read_frame(header, zone, warnings) for header in headers]
    noon = min(frame.start for frame in frames) + HALF_A_DAY
    dated = any(parse_date(text(header, "AcquisitionDate")) for header in headers)
    if dated or max(frame.start for frame in frames) < noon:
        return frames
    warnings.append("The scan went on over midnight: slices of the morning are put on the day after the series.")
    return [f if f.start >= noon else f._replace(start=f.start + 2 * HALF_A_DAY) for f in frames]


def read_frame(header: Dataset, zone: timezone | None, warnings: list[str]) -> Frame:
    """Timing of a slice.

    Raises
    ------
    SuvError
        If there is no acquisition time.
    """
    return Frame(
        start=acquisition_start(header, zone, warnings),
        duration_s=_seconds(header, "ActualFrameDuration") or None,
        reference_s=_seconds(header, "FrameReferenceTime"),
        decay_factor=number(header, "DecayFactor"),
    )


def _seconds(header: Dataset, keyword: str) -> float | None:
    milliseconds = number(header, keyword)
    believable = milliseconds is not None and 0 <= milliseconds < 1000 * LONGEST_SCAN.total_seconds()
    return milliseconds / 1000 if milliseconds is not None and believable else None


def acquisition_start(header: Dataset, zone: timezone | None, warnings: list[str]) -> datetime:
    """Start of the acquisition of a slice on the scanner's clock.

    AcquisitionDate and AcquisitionTime (0008,0022), (0008,0032); else AcquisitionDateTime (0008,002A); else
    AcquisitionTime on the date of the series or the study.

    Raises
    ------
    SuvError
        If no acquisition time is readable.
    """
    day = parse_date(text(header, "AcquisitionDate"))
    clock = parse_time(text(header, "AcquisitionTime"))
    if day is not None and clock is not None:
        return datetime.combine(day, clock)
    full = parse_datetime(text(header, "AcquisitionDateTime"))
    if full is not None:
        return on_scanner_clock(full, zone)
    other = parse_date(text(header, "SeriesDate")) or parse_date(text(header, "StudyDate"))
    if clock is None or other is None:
        raise SuvError(
            f"{shown(header, 'AcquisitionDate')} and {shown(header, 'AcquisitionTime')}, so the time of the scan is "
            "not known",
            where=series_label(header),
            remedy=REMEDY,
        )
    warnings.append(f"{shown(header, 'AcquisitionDate')}; the date of the series, {other}, is used.")
    return datetime.combine(other, clock)


def series_start(header: Dataset, first: datetime, warnings: list[str]) -> datetime | None:
    """SeriesDate and SeriesTime (0008,0021), (0008,0031) on the scanner's clock; None without a time.

    Where the date is missing, or that of another day while the time is that of the first acquisition, the date was
    removed or changed by de-identification, and that of the acquisition is used.
    """
    clock = parse_time(text(header, "SeriesTime"))
    if clock is None:
        return None
    day = parse_date(text(header, "SeriesDate"))
    same_scan = nearest(clock, first)
    if day is not None and (abs(same_scan - first) >= SAME_TIME or day == same_scan.date()):
        return datetime.combine(day, clock)
    warnings.append(f"{shown(header, 'SeriesDate')}; the date of the acquisition, {same_scan:%Y-%m-%d}, is used.")
    return same_scan


def uncorrected_reference_times(
    headers: Sequence[Dataset], half_life_s: float, zone: timezone | None, warnings: list[str]
) -> list[datetime]:
    """Reference time of each slice that is not decay-corrected (DecayCorrection NONE): t_acq + T_ave.

    Raises
    ------
    SuvError
        If a slice has no acquisition time or no frame duration.
    """
    times = []
    for header, frame in zip(headers, read_frames(headers, zone, warnings), strict=True):
        if frame.duration_s is None:
            raise _missing(header, ("ActualFrameDuration",))
        times.append(frame.start + timedelta(seconds=average_count_rate_time_s(frame.duration_s, half_life_s)))
    return times


def start_reference_times(
    headers: Sequence[Dataset], half_life_s: float, zone: timezone | None, warnings: list[str]
) -> list[datetime]:
    """Reference time of each slice of a series that is decay-corrected to its start (DecayCorrection START).

    All images of a series shall be corrected to the same time, the start of the scan (PS3.3 C.8.9.1.1.5). In this
    order: the series time, where it is that of the first acquisition; the private date-time of Siemens (0071,xx22)
    or GE (0009,xx0D); DecayCorrectionDateTime (0018,9701); the time calculated back from the acquisition and frame
    reference time of each slice (IBSI manual for SUV computation, version 1).

    Parameters
    ----------
    headers
        One per slice.
    half_life_s
        Half-life, s.
    zone
        Zone of the scanner's clock where it is known.
    warnings
        Assumptions are appended, a sentence each.

    Returns
    -------
    list of datetime
        One per slice on the scanner's clock; they differ only where the header says that they do.

    Raises
    ------
    SuvError
        If the headers lack what the last resort needs.
    """
    frames = read_frames(headers, zone, warnings)
    first = min(frame.start for frame in frames)
    series = series_start(headers[0], first, warnings)
    ge = _is_ge(headers[0])
    calculated = _back_calculated(frames, ge, half_life_s)
    if series is not None and abs(series - first) < SAME_TIME:
        _warn_of_other_starts(frames, calculated, series, warnings)
        return [series] * len(frames)
    recorded = _recorded(headers, frames, zone, warnings)
    if recorded is not None:
        return recorded
    if series is not None and series > first:
        warnings.append(
            f"SeriesTime {series:%Y-%m-%d %H:%M:%S} is after the first acquisition {first:%Y-%m-%d %H:%M:%S}: the "
            "series was processed later, and the reference time is calculated from the frames."
        )
    if calculated is None:
        return _without_frame_reference(headers[0], frames, series, half_life_s, warnings)
    if not ge and any(frame.reference_s == 0 for frame in frames):
        warnings.append("FrameReferenceTime 0 cannot be that of the average count rate; taken as the start of frames.")
    if max(calculated) - min(calculated) > SAME_TIME:
        return _scattered(frames, calculated, half_life_s, warnings)
    common = sorted(calculated)[len(calculated) // 2]
    if series is not None and abs(series - common) < SAME_TIME:
        common = series
    elif series is not None and series < first:
        warnings.append(
            f"SeriesTime {series:%Y-%m-%d %H:%M:%S} is not used: the reference time calculated from the frames is "
            f"{common:%Y-%m-%d %H:%M:%S}."
        )
    return [common] * len(frames)


def _is_ge(header: Dataset) -> bool:
    return bool(re.match(r"GE\b|GEMS|GENERAL ELECTRIC", text(header, "Manufacturer").upper()))


def _back_calculated(frames: Sequence[Frame], ge: bool, half_life_s: float) -> list[datetime] | None:
    """Reference time of each slice from its start and FrameReferenceTime; None where an attribute is missing.

    FrameReferenceTime is the time of the average count rate, counted from the reference time; GE writes the start of
    the frame instead. So do others whose first frame is at 0, where an average cannot be.
    """
    offsets = [frame.reference_s for frame in frames]
    known = [offset for offset in offsets if offset is not None]
    if len(known) < len(frames):
        return None
    if ge or min(known) == 0:
        return [frame.start - timedelta(seconds=offset) for frame, offset in zip(frames, known, strict=True)]
    times = []
    for frame, offset in zip(frames, known, strict=True):
        if frame.duration_s is None:
            return None
        average = average_count_rate_time_s(frame.duration_s, half_life_s)
        times.append(frame.start + timedelta(seconds=average - offset))
    return times


def _warn_of_other_starts(
    frames: Sequence[Frame], calculated: Sequence[datetime] | None, series: datetime, warnings: list[str]
) -> None:
    if calculated is None:
        if any(abs(frame.start - series) >= SAME_TIME for frame in frames):
            warnings.append(
                "FrameReferenceTime or ActualFrameDuration is missing; all slices are taken as decay-corrected to "
                f"SeriesTime {series:%Y-%m-%d %H:%M:%S}."
            )
        return
    others = [
        time
        for frame, time in zip(frames, calculated, strict=True)
        if abs(time - series) > SAME_TIME + _unclear(frame, series)
    ]
    if others:
        warnings.append(
            f"All slices are taken as decay-corrected to SeriesTime {series:%Y-%m-%d %H:%M:%S}, although "
            f"FrameReferenceTime of {len(others)} slices points elsewhere, such as {others[0]:%Y-%m-%d %H:%M:%S}."
        )


def _unclear(frame: Frame, series: datetime) -> timedelta:
    """How far FrameReferenceTime may be off without a word: of a frame that starts the series, half its length.

    Some count it from the start of that frame and some from its middle.
    """
    starts = abs(frame.start - series) < SAME_TIME
    return timedelta(seconds=(frame.duration_s or 0.0) / 2 if starts else 0.0)


def _recorded(
    headers: Sequence[Dataset], frames: Sequence[Frame], zone: timezone | None, warnings: list[str]
) -> list[datetime] | None:
    """Reference time of each slice that the scanner recorded as such; None without a believable one."""
    for name, group, creator, offset in (
        ("Siemens' private decay correction date-time", 0x0071, SIEMENS_PET_CREATOR, 0x22),
        ("GE's private scan_datetime", 0x0009, GE_PET_CREATOR, 0x0D),
        ("DecayCorrectionDateTime", 0, "", 0),
    ):
        times = []
        for header, frame in zip(headers, frames, strict=True):
            value = private_text(header, group, creator, offset) if group else text(header, name)
            time = _recorded_time(value, frame.start, zone)
            if time is None:
                break
            times.append(time)
        else:
            if all(_is_start_of_scan(time, frame.start) for time, frame in zip(times, frames, strict=True)):
                return times
            same_day = [nearest(time.time(), frame.start) for time, frame in zip(times, frames, strict=True)]
            stated = (
                f"{name} {times[0]:%Y-%m-%d %H:%M:%S} does not fit the acquisition {frames[0].start:%Y-%m-%d %H:%M:%S}"
            )
            if all(_is_start_of_scan(time, frame.start) for time, frame in zip(same_day, frames, strict=True)):
                warnings.append(f"{stated}; only its time of day is used.")
                return same_day
            warnings.append(f"{stated} and is not used.")
    return None


def _recorded_time(value: str, start: datetime, zone: timezone | None) -> datetime | None:
    full = parse_datetime(value)
    if full is not None:
        return on_scanner_clock(full, zone)
    clock = parse_time(value)
    return None if clock is None else nearest(clock, start)


def _is_start_of_scan(moment: datetime, start: datetime) -> bool:
    return -SAME_TIME < start - moment < LONGEST_SCAN


def _from_decay_factors(frames: Sequence[Frame], half_life_s: float) -> datetime | None:
    """Common reference time by DecayFactor = exp(λ (t_acq - t_ref + T_ave)); None where slices do not agree on one."""
    times = []
    for frame in frames:
        if frame.duration_s is None or frame.decay_factor is None or frame.decay_factor <= 1:
            return None
        average = average_count_rate_time_s(frame.duration_s, half_life_s)
        elapsed = math.log2(frame.decay_factor) * half_life_s
        if elapsed > LONGEST_SCAN.total_seconds():
            return None
        times.append(frame.start + timedelta(seconds=average - elapsed))
    return min(times) if max(times) - min(times) <= SAME_TIME else None


def _without_frame_reference(
    header: Dataset, frames: Sequence[Frame], series: datetime | None, half_life_s: float, warnings: list[str]
) -> list[datetime]:
    common = _from_decay_factors(frames, half_life_s)
    if common is not None:
        warnings.append(f"The reference time {common:%Y-%m-%d %H:%M:%S} is calculated from DecayFactor.")
    elif series is not None and _is_start_of_scan(series, min(frame.start for frame in frames)):
        common = series
        warnings.append(f"The reference time is SeriesTime {series:%Y-%m-%d %H:%M:%S}, before the first acquisition.")
    else:
        raise _missing(header, ("FrameReferenceTime", "ActualFrameDuration"))
    return [common] * len(frames)


def _scattered(
    frames: Sequence[Frame], calculated: list[datetime], half_life_s: float, warnings: list[str]
) -> list[datetime]:
    """Decide where slices point to different reference times, which a series should not have.

    START means AcquisitionTime (PS3.3 C.8.9.1.1.5), so that a single one decides.
    """
    span = f"from {min(calculated):%Y-%m-%d %H:%M:%S} to {max(calculated):%Y-%m-%d %H:%M:%S}"
    common = _from_decay_factors(frames, half_life_s)
    if common is not None:
        reason = "DecayFactor points to one"
    elif len({frame.start for frame in frames}) == 1:
        common = frames[0].start
        reason = "AcquisitionTime is the same throughout, and taken as the start of the scan"
    elif not any(frame.reference_s for frame in frames):
        common = min(frame.start for frame in frames)
        reason = "FrameReferenceTime is 0 throughout, and the first acquisition is used"
    else:
        warnings.append(f"Reference times calculated from the frames differ, {span}; each slice is taken at its own.")
        return calculated
    warnings.append(f"Reference times calculated from the frames differ, {span}; {reason}, {common:%H:%M:%S}.")
    return [common] * len(frames)


def _missing(header: Dataset, keywords: Sequence[str]) -> SuvError:
    states = " and ".join(shown(header, keyword) for keyword in keywords)
    return SuvError(
        f"{states}, so the time that the voxel values refer to is not known", where=series_label(header), remedy=REMEDY
    )
