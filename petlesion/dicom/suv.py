"""SUVbw of a PET series: from stored values and headers of every vendor to one factor per slice.

SUVbw = stored value x RescaleSlope x factor, in g/mL. The steps are those of the IBSI manual for SUV computation,
version 1 (oncoray.github.io/suv_computation): units, reference time, injection time, decayed dose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from petlesion.dicom.attributes import (
    number,
    on_scanner_clock,
    parse_number,
    scanner_zone,
    series_label,
    shown,
    text,
)
from petlesion.dicom.body_measures import patient_weight_kg
from petlesion.dicom.corrections import DecayCorrection, check_corrections
from petlesion.dicom.decay import decay
from petlesion.dicom.injection import REMEDY as INJECTION_REMEDY
from petlesion.dicom.injection import InjectionSearch
from petlesion.dicom.radiopharmaceutical import administered_dose_bq, half_life_s, read_radiopharmaceutical
from petlesion.dicom.reference_time import read_frames, start_reference_times, uncorrected_reference_times
from petlesion.dicom.suv_overrides import NO_OVERRIDES, SuvOverrides
from petlesion.dicom.units import Units, activity_factors, read_units, suv_factors
from petlesion.errors import SuvError
from petlesion.report import SuvRecord

ENHANCED_PET = frozenset({"1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"})
"""SOP classes of multi-frame PET, whose attributes are in functional groups."""
SHORT_UPTAKE = timedelta(minutes=30)
"""Shorter uptake is unusual for a static scan and draws a warning."""
LONG_UPTAKE_HALF_LIVES = 2
"""Uptake of more half-lives draws a warning."""
SAME_FACTOR = 1e-9
"""Factors whose relative difference is smaller are one factor."""


@dataclass(frozen=True, eq=False)
class SuvConversion:
    """How stored values become SUVbw.

    Attributes
    ----------
    factors
        (n_slices,), float64: SUVbw = stored value x RescaleSlope x factor.
    record
        What the report says of it.
    """

    factors: NDArray[np.float64]
    record: SuvRecord


def suv_conversion(headers: Sequence[Dataset], overrides: SuvOverrides = NO_OVERRIDES) -> SuvConversion:
    """Find the factor to SUVbw of each slice of a PET series.

    Parameters
    ----------
    headers
        Data sets of the slices (PixelData not needed), in slice order.
    overrides
        Values that replace those of the header.

    Raises
    ------
    SuvError
        If SUVbw does not follow from the header; the message says which option or which other series solves it.
    """
    _reject_unusable(headers)
    _reject_mixed(headers, overrides)
    header = headers[0]
    units = read_units(header)
    correction = text(header, "DecayCorrection").upper()
    warnings: list[str] = []
    effective = overrides.as_record()
    dose = weight = None
    check_corrections(headers, correction, warnings)
    activity = activity_factors(headers, units, overrides, warnings)
    if activity is None:
        factors = suv_factors(headers, units, overrides, effective, warnings)
        times = _times_if_readable(headers, correction, overrides, warnings)
    else:
        warnings += [f"--{option} {value} replaces the header's." for option, value in effective.items()]
        item = read_radiopharmaceutical(headers, warnings, replaced=overrides.replace_injection)
        dose = administered_dose_bq(header, item, overrides.dose_bq, warnings)
        weight = patient_weight_kg(header, overrides.weight_kg, warnings)
        factors = activity * 1000 * weight / dose
        if correction == DecayCorrection.ADMIN:
            if effective.pop("injection-time", None) is not None:
                warnings.append("--injection-time has no effect: values are decay-corrected to the injection.")
            times = _times_if_readable(headers, correction, overrides, warnings)
        else:
            times = _times(headers, item, correction, overrides, warnings)
            with np.errstate(divide="ignore"):
                factors = factors / times.dose_left()
    if not np.all(np.isfinite(factors) & (factors > 0)):
        raise SuvError(
            f"the factor to SUVbw is {factors.min():g}",
            where=series_label(header),
            remedy="check dose, half-life, times and scale factors of the header",
        )
    record = _record(header, units, correction, factors, times, effective, warnings)
    injected_mbq = None if dose is None else dose / 1e6
    return SuvConversion(factors, replace(record, injected_mbq=injected_mbq, weight_kg=weight))


@dataclass(frozen=True)
class _Times:
    """When the values of each slice refer to and when the tracer was injected, on the scanner's clock.

    `uptake` goes from the injection to the start of the scan (uncorrected images: to the first reference time).
    """

    reference: list[datetime]
    injection: datetime
    uptake: timedelta
    half_life_s: float

    def dose_left(self) -> NDArray[np.float64]:
        """(n_slices,) fraction of the dose that is left at the reference time."""
        uptakes = [(reference - self.injection).total_seconds() for reference in self.reference]
        return np.array([decay(uptake, self.half_life_s) for uptake in uptakes])


def _reject_unusable(headers: Sequence[Dataset]) -> None:
    """Reject headers of no single static, linearly scaled, single-frame PET series."""
    if not headers:
        raise SuvError("there is no PET slice", remedy="give a PET series")
    where = series_label(headers[0])
    for header in headers:
        if text(header, "SOPClassUID") in ENHANCED_PET:
            raise SuvError(
                "enhanced multi-frame PET is not supported",
                where=where,
                remedy="export the series as single-frame PET images",
            )
        if text(header, "RescaleIntercept") and number(header, "RescaleIntercept") != 0:
            raise SuvError(
                f"{shown(header, 'RescaleIntercept')} and must be 0",
                where=where,
                remedy="use the series as the scanner wrote it",
            )


def _reject_mixed(headers: Sequence[Dataset], overrides: SuvOverrides) -> None:
    """Reject slices that differ in what one factor is computed from."""
    needed = ["Units", "SUVType", "DecayCorrection"]
    if overrides.weight_kg is None:
        needed.append("PatientWeight")
    for keyword in needed:
        found = {text(header, keyword) for header in headers}
        if len({parse_number(value) or value for value in found}) > 1:
            raise SuvError(
                f"slices differ in {keyword}: {', '.join(sorted(found))}",
                where=series_label(headers[0]),
                remedy="give the slices of one series",
            )


def _times(
    headers: Sequence[Dataset], item: Dataset, correction: str, overrides: SuvOverrides, warnings: list[str]
) -> _Times:
    """Reference times and injection time.

    Raises
    ------
    SuvError
        If DecayCorrection is unknown, a time is missing, or the injection is not before the reference time.
    """
    header = headers[0]
    zone = scanner_zone(header)
    half_life = half_life_s(header, item, warnings)
    if correction == DecayCorrection.START:
        reference = start_reference_times(headers, half_life, zone, warnings)
    elif correction == DecayCorrection.NONE:
        reference = uncorrected_reference_times(headers, half_life, zone, warnings)
    elif correction == DecayCorrection.ADMIN:
        reference = [frame.start for frame in read_frames(headers, zone, warnings)]
    else:
        raise SuvError(
            f"{shown(header, 'DecayCorrection')}, not one of {', '.join(DecayCorrection)}",
            where=series_label(header),
            remedy="use the series as the scanner wrote it",
        )
    earliest = min(reference)
    if overrides.injection_time is None:
        injection = InjectionSearch(header, item, earliest, half_life, zone, warnings).find()
    else:
        injection = _given_injection_time(header, overrides.injection_time, zone)
    uptake = earliest - injection
    if uptake <= timedelta(0):
        raise SuvError(
            f"the injection time {injection:%Y-%m-%d %H:%M:%S} is not before the reference time "
            f"{earliest:%Y-%m-%d %H:%M:%S}",
            where=series_label(header),
            remedy=INJECTION_REMEDY,
        )
    if uptake < SHORT_UPTAKE:
        warnings.append(f"Uptake of {uptake.total_seconds() / 60:.0f} min is unusually short.")
    if uptake.total_seconds() > LONG_UPTAKE_HALF_LIVES * half_life:
        warnings.append(f"Uptake of {uptake.total_seconds() / 3600:.1f} h is unusually long.")
    if correction == DecayCorrection.ADMIN:
        reference = [injection] * len(headers)
    return _Times(reference, injection, uptake, half_life)


def _given_injection_time(header: Dataset, given: datetime, zone: timezone | None) -> datetime:
    if given.tzinfo is not None and zone is None:
        raise SuvError(
            f"--injection-time {given.isoformat()} has a zone, and {shown(header, 'TimezoneOffsetFromUTC')}",
            where=series_label(header),
            remedy=INJECTION_REMEDY,
        )
    return on_scanner_clock(given, zone)


def _times_if_readable(
    headers: Sequence[Dataset], correction: str, overrides: SuvOverrides, warnings: list[str]
) -> _Times | None:
    """Times for the record only, where SUV does not depend on them; None where they cannot be had."""
    doubts: list[str] = []
    times = None
    try:
        item = read_radiopharmaceutical(headers, doubts, replaced=overrides.replace_injection)
        times = _times(headers, item, correction, overrides, doubts)
    except SuvError as error:
        doubts.append(f"They are not known: {error.what}.")
    if doubts:
        warnings += ["Reference and injection time do not change SUV here.", *doubts]
    return times


def _record(
    header: Dataset,
    units: Units,
    correction: str,
    factors: NDArray[np.float64],
    times: _Times | None,
    effective: dict[str, float | str],
    warnings: list[str],
) -> SuvRecord:
    zone = scanner_zone(header)
    common = bool(np.ptp(factors) <= SAME_FACTOR * factors.max())
    return SuvRecord(
        units=units.value,
        decay_correction=correction,
        factor=float(factors[0]) if common else None,
        reference_time=None if times is None else min(times.reference).replace(tzinfo=zone),
        injection_time=None if times is None else times.injection.replace(tzinfo=zone),
        warnings=tuple(dict.fromkeys(warnings)),
        overrides=effective,
        half_life_s=None if times is None else times.half_life_s,
        uptake_min=None if times is None else times.uptake.total_seconds() / 60,
    )
