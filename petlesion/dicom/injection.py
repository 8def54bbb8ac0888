"""When the tracer was injected, from the several and often contradictory times of a PET header."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone

from pydicom import Dataset

from petlesion.dicom.attributes import (
    on_scanner_clock,
    parse_date,
    parse_datetime,
    parse_time,
    private_text,
    series_label,
    shown,
    text,
)
from petlesion.errors import SuvError

GE_PET_CREATOR = "GEMS_PETD_01"
"""Creator of GE's private PET block, group 0009."""
CLOCK_SKEW = timedelta(hours=1)
"""A full injection date-time is believed when it is at most this long after the reference time."""
BELIEVED_HALF_LIVES = 2
"""A full injection date-time is believed when it is less than this many half-lives before the reference time."""
LONG_HALF_LIFE_S = 41400.0
"""From 11.5 h on, uptake may span days, and an injection time needs its date."""
MAX_UPTAKE_OVER_MIDNIGHT = timedelta(hours=6)
"""An injection time without date is put on the day before only if the uptake is then shorter."""
ZONE_STEP = timedelta(minutes=15)
"""Time zones differ by multiples of this."""
REMEDY = (
    "correct the header, or give the injection time of the scanner's clock on the command line "
    "(--injection-time YYYY-MM-DDThh:mm:ss)"
)
"""What solves every doubt about the injection time."""


@dataclass(frozen=True)
class InjectionSearch:
    """What an injection time must fit.

    Attributes
    ----------
    header, item
        Image header and its radiopharmaceutical information.
    reference
        Time that the voxel values refer to, on the scanner's clock.
    half_life_s
        Half-life, s.
    zone
        Zone of the scanner's clock where it is known.
    warnings
        Assumptions are appended, a sentence each.
    """

    header: Dataset
    item: Dataset
    reference: datetime
    half_life_s: float
    zone: timezone | None
    warnings: list[str]

    def find(self) -> datetime:
        """Injection time on the scanner's clock.

        RadiopharmaceuticalStartDateTime (0018,1078) is believed where it fits the reference time. Otherwise
        RadiopharmaceuticalStartTime (0018,1072), which has no date, is put on the day of the reference time or the day
        before (IBSI manual for SUV computation, version 1). For tracers that live for days, and where no other time
        is left, GE's private admin_datetime (0009,xx3B) is looked at.

        Raises
        ------
        SuvError
            If no source gives a believable time.
        """
        clock = parse_time(text(self.item, "RadiopharmaceuticalStartTime"))
        full = self._full(clock)
        if full is not None and self._believable(full):
            return full
        if full is not None and clock is None:
            clock = full.time()
        long_lived = self.half_life_s >= LONG_HALF_LIFE_S
        if clock is not None and not long_lived:
            dated = self._dated(clock)
            if dated != full:  # else the scan was late, and the header right
                self._disbelieve(full)
                self.warnings.append(
                    f"The injection time {clock:%H:%M:%S} has no usable date and is put on {dated:%Y-%m-%d}."
                )
            return dated
        self._disbelieve(full)
        private = parse_datetime(private_text(self.header, 0x0009, GE_PET_CREATOR, 0x3B))
        private = private and on_scanner_clock(private, self.zone)
        if private is not None and self._believable(private):
            self.warnings.append(f"The injection time {private:%Y-%m-%d %H:%M:%S} is GE's private admin_datetime.")
            return private
        stated = f"{shown(self.item, 'RadiopharmaceuticalStartDateTime')}"
        if clock is not None:
            what = f"a half-life of {self.half_life_s / 3600:.1f} h needs a full injection date-time, and {stated}"
        else:
            what = f"{stated} and {shown(self.item, 'RadiopharmaceuticalStartTime')}"
        raise SuvError(what, where=series_label(self.header), remedy=REMEDY)

    def _believable(self, injection: datetime) -> bool:
        uptake = self.reference - injection
        return -CLOCK_SKEW <= uptake < timedelta(seconds=BELIEVED_HALF_LIVES * self.half_life_s)

    def _full(self, clock: time | None) -> datetime | None:
        """RadiopharmaceuticalStartDateTime on the scanner's clock, whether it fits the scan or not."""
        value = text(self.item, "RadiopharmaceuticalStartDateTime")
        stated = parse_datetime(value)
        if stated is None or stated == datetime.combine(stated, time.min):
            # to the second at midnight nobody is injected: a date whose time of day was removed
            day = parse_date(value) or parse_date(value[:8])
            return None if day is None or clock is None else datetime.combine(day, clock)
        full = on_scanner_clock(stated, self.zone)
        if stated.tzinfo is not None and self.zone is None:
            full = self._without_scanner_zone(full, clock)
        if self._believable(full) and clock is not None and abs(nearest(clock, full) - full) >= timedelta(minutes=1):
            self.warnings.append(
                f"The injection time is RadiopharmaceuticalStartDateTime {full:%Y-%m-%d %H:%M:%S}, although "
                f"RadiopharmaceuticalStartTime says {clock:%H:%M:%S}."
            )
        return full

    def _disbelieve(self, full: datetime | None) -> None:
        if full is not None:
            self.warnings.append(
                f"RadiopharmaceuticalStartDateTime {full:%Y-%m-%d %H:%M:%S} does not fit the scan "
                f"at {self.reference:%Y-%m-%d %H:%M:%S} and is not believed."
            )

    def _without_scanner_zone(self, full: datetime, clock: time | None) -> datetime:
        """Shift a date-time of known zone to the scanner's clock of unknown zone, by the time of day beside it."""
        local = full if clock is None else nearest(clock, full)
        steps = (local - full) / ZONE_STEP
        if abs(steps - round(steps)) * ZONE_STEP > timedelta(minutes=1):
            local = full
        self.warnings.append(
            "RadiopharmaceuticalStartDateTime has a time zone, TimezoneOffsetFromUTC (0008,0201) is missing: "
            f"{local:%Y-%m-%d %H:%M:%S} is taken as the scanner's clock."
        )
        return local

    def _dated(self, clock: time) -> datetime:
        dated = datetime.combine(self.reference.date(), clock)
        if dated > self.reference:
            dated -= timedelta(days=1)
            if self.reference - dated >= MAX_UPTAKE_OVER_MIDNIGHT:
                raise SuvError(
                    f"the injection time {clock:%H:%M:%S} has no usable date and is later than the reference time "
                    f"{self.reference:%Y-%m-%d %H:%M:%S}",
                    where=series_label(self.header),
                    remedy=REMEDY,
                )
        return dated


def nearest(clock: time, moment: datetime) -> datetime:
    """Date-time with the given time of day that is nearest to `moment`."""
    day = timedelta(days=1)
    same_day = datetime.combine(moment.date(), clock)
    return min((same_day - day, same_day, same_day + day), key=lambda candidate: abs(candidate - moment))
