"""SUVbw of a PET series: from stored values and headers of every vendor to one factor per slice.

SUVbw = stored value x RescaleSlope x factor, in g/mL. The steps are those of the IBSI manual for SUV computation,
version 1 (oncoray.github.io/suv_computation): units, reference time, injection time, decayed dose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from petlesion.dicom.attributes import (
    number,
    on_scanner_clock,
    parse_number,
    private_text,
    scanner_zone,
    series_label,
    shown,
    text,
    values,
)
from petlesion.dicom.body_measures import SuvScale, patient_height_m, patient_weight_kg, suv_scale_factor
from petlesion.dicom.decay import decay
from petlesion.dicom.injection import REMEDY as INJECTION_REMEDY
from petlesion.dicom.injection import InjectionSearch
from petlesion.dicom.radiopharmaceutical import administered_dose_bq, half_life_s, read_radiopharmaceutical
from petlesion.dicom.reference_time import acquisition_start, start_reference_times, uncorrected_reference_times
from petlesion.errors import SuvError, UsageError
from petlesion.report import SuvRecord

PHILIPS_PET_CREATOR = "Philips PET Private Group"
"""Creator of Philips' private PET block: SUV factor (7053,xx00) and activity concentration factor (7053,xx09)."""
ENHANCED_PET = frozenset({"1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"})
"""SOP classes of multi-frame PET, whose attributes are in functional groups."""
CM2_ML_PER_SUVBSA = 10.0
"""cm2/mL, in which DICOM counts SUVbsa, per m2/L."""
SHORT_UPTAKE = timedelta(minutes=30)
"""Shorter uptake is unusual for a static scan and draws a warning."""
LONG_UPTAKE_HALF_LIVES = 3
"""Uptake of more half-lives draws a warning."""
BQML_REMEDY = "reconstruct or export the series in BQML"
"""What solves values that are SUV of an unknown kind."""
SAME_FACTOR = 1e-9
"""Factors whose relative difference is smaller are one factor."""


class Units(StrEnum):
    """Units (0054,1001) that SUV is computed from (PS3.3 C.8.9.1.1.3)."""

    BQML = "BQML"
    GML = "GML"
    CM2ML = "CM2ML"
    CNTS = "CNTS"


class DecayCorrection(StrEnum):
    """Event to which values are decay-corrected, DecayCorrection (0054,1102) (PS3.3 C.8.9.1)."""

    NONE = "NONE"
    START = "START"
    ADMIN = "ADMIN"


_SUV_TYPE_SCALE = {
    "": SuvScale.BW,
    "BW": SuvScale.BW,
    "LBM": SuvScale.LBM_MORGAN,
    "LBMJAMES128": SuvScale.LBM_JAMES,
    "LBMJANMA": SuvScale.LBM_JANMAHASATIAN,
    "IBW": SuvScale.IBW,
}
"""Normalisation that SUVType (0054,1006) names for values in g/mL."""


@dataclass(frozen=True)
class SuvOverrides:
    """What the user knows better than the header.

    Attributes
    ----------
    weight_kg
        Body weight, kg.
    dose_bq
        Administered activity at the injection time, Bq.
    injection_time
        Injection time; without a zone it is that of the scanner's clock.

    Raises
    ------
    UsageError
        If weight or dose is not a positive number.
    """

    weight_kg: float | None = None
    dose_bq: float | None = None
    injection_time: datetime | None = None

    def __post_init__(self) -> None:
        for name, value in (("weight", self.weight_kg), ("dose", self.dose_bq)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"a {name} of {value:g} is not possible", remedy=f"give a positive --{name}")

    @property
    def replace_injection(self) -> bool:
        """Whether dose and time of the injection are both replaced."""
        return self.dose_bq is not None and self.injection_time is not None

    def as_record(self) -> dict[str, float | str]:
        """Option name → value, as given on the command line (dose in MBq)."""
        record: dict[str, float | str] = {}
        if self.weight_kg is not None:
            record["weight"] = self.weight_kg
        if self.dose_bq is not None:
            record["dose"] = self.dose_bq / 1e6
        if self.injection_time is not None:
            record["injection-time"] = self.injection_time.isoformat()
        return record


NO_OVERRIDES = SuvOverrides()
"""Everything as the header says."""


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
    header = headers[0]
    units = _read_units(header)
    correction = text(header, "DecayCorrection").upper()
    warnings = [f"--{option} {value} replaces the header's." for option, value in overrides.as_record().items()]
    _check_corrections(headers, correction, warnings)
    activity = _activity_factors(headers, units, overrides)
    if activity is None:
        factors = _suv_factors(headers, units, overrides, warnings)
        times = _times_if_readable(headers, correction, overrides, warnings)
    else:
        item = read_radiopharmaceutical(headers, warnings, replaced=overrides.replace_injection)
        dose = administered_dose_bq(header, item, overrides.dose_bq, warnings)
        factors = activity * 1000 * patient_weight_kg(header, overrides.weight_kg, warnings) / dose
        if correction == DecayCorrection.ADMIN:
            times = _times_if_readable(headers, correction, overrides, warnings)
        else:
            times = _times(headers, item, correction, overrides, warnings)
            factors = factors / times.dose_left()
    if not np.all(np.isfinite(factors) & (factors > 0)):
        raise SuvError(
            f"the factor to SUVbw is {factors.min():g}",
            where=series_label(header),
            remedy="check dose, half-life, times and scale factors of the header",
        )
    return SuvConversion(factors, _record(header, units, correction, factors, times, overrides, warnings))


@dataclass(frozen=True)
class _Times:
    """When the values of each slice refer to and when the tracer was injected, on the scanner's clock."""

    reference: list[datetime]
    injection: datetime
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
        if number(header, "RescaleIntercept"):
            raise SuvError(
                f"{shown(header, 'RescaleIntercept')} and must be 0",
                where=where,
                remedy="use the series as the scanner wrote it",
            )
    for keyword in ("Units", "SUVType", "DecayCorrection", "PatientWeight", "PatientSize", "PatientSex"):
        found = {text(header, keyword) for header in headers}
        if len(found) > 1:
            raise SuvError(
                f"slices differ in {keyword}: {', '.join(sorted(found))}",
                where=where,
                remedy="give the slices of one series",
            )


def _read_units(header: Dataset) -> Units:
    stated = text(header, "Units").upper()
    if stated not in set(Units):
        raise SuvError(
            f"{shown(header, 'Units')}, and SUV can be computed from {', '.join(Units)} only",
            where=series_label(header),
            remedy=BQML_REMEDY,
        )
    return Units(stated)


def _check_corrections(headers: Sequence[Dataset], correction: str, warnings: list[str]) -> None:
    """Reject series without attenuation or decay correction, by CorrectedImage (0028,0051)."""
    header = headers[0]
    done = frozenset.intersection(*(frozenset(map(str.upper, values(each, "CorrectedImage"))) for each in headers))
    method = text(header, "AttenuationCorrectionMethod")
    if not done and method and method.upper() != "NONE":
        warnings.append(
            f"{shown(header, 'CorrectedImage')}; attenuation correction is taken from {method!r} in "
            "AttenuationCorrectionMethod, decay correction from DecayCorrection."
        )
        return
    if "ATTN" not in done:
        raise SuvError(
            f"{shown(header, 'CorrectedImage')} without ATTN: the series is not attenuation-corrected",
            where=series_label(header),
            remedy="choose the attenuation-corrected series",
        )
    if "DECY" not in done and correction != DecayCorrection.NONE:
        raise SuvError(
            f"{shown(header, 'CorrectedImage')} without DECY, although {shown(header, 'DecayCorrection')}",
            where=series_label(header),
            remedy="choose the decay-corrected series",
        )
    if "DECY" in done and correction == DecayCorrection.NONE:
        warnings.append(
            "DecayCorrection is NONE, although CorrectedImage lists DECY; values are taken as not corrected."
        )


def _activity_factors(headers: Sequence[Dataset], units: Units, overrides: SuvOverrides) -> NDArray[np.float64] | None:
    """(n_slices,) factors from rescaled values to Bq/mL; None where the values lead to SUV without the dose.

    Philips writes counts with a factor to SUVbw, one to Bq/mL, or both. The first is preferred (IBSI manual, QIBA),
    unless the user replaces what it was computed from.
    """
    if units is Units.BQML:
        return np.ones(len(headers))
    if units is not Units.CNTS:
        return None
    to_suv = _philips_factors(headers, 0x00)
    to_activity = _philips_factors(headers, 0x09)
    return to_activity if to_suv is None or overrides != NO_OVERRIDES else None


def _philips_factors(headers: Sequence[Dataset], offset: int) -> NDArray[np.float64] | None:
    """(n_slices,) factors in a private element of Philips; None where one is absent or, what means the same, 0."""
    found = [parse_number(private_text(header, 0x7053, PHILIPS_PET_CREATOR, offset)) for header in headers]
    factors = np.array([factor for factor in found if factor is not None and factor > 0])
    return factors if len(factors) == len(headers) else None


def _suv_factors(
    headers: Sequence[Dataset], units: Units, overrides: SuvOverrides, warnings: list[str]
) -> NDArray[np.float64]:
    """(n_slices,) factors to SUVbw of values that are SUV of some kind, or counts with Philips' factor to SUVbw."""
    header = headers[0]
    ineffective = overrides.as_record()
    factors = np.ones(len(headers))
    if units is Units.CNTS:
        factors = _philips_suv_factors(headers)
    else:
        scale = _stored_scale(header, units)
        if scale is not SuvScale.BW:
            ineffective.pop("weight", None)
            weight = patient_weight_kg(header, overrides.weight_kg, warnings)
            factors /= _scale_factor(header, scale, weight, warnings)
            warnings.append(f"Values are {scale}, converted to SUVbw with {weight:g} kg.")
    warnings += [f"--{option} has no effect: the scanner computed SUV." for option in ineffective]
    return factors / CM2_ML_PER_SUVBSA if units is Units.CM2ML else factors


def _philips_suv_factors(headers: Sequence[Dataset]) -> NDArray[np.float64]:
    factors = _philips_factors(headers, 0x00)
    if factors is None:
        raise SuvError(
            "units are CNTS, and both SUV scale factor (7053,1000) and activity concentration scale factor "
            "(7053,1009) of Philips are missing or 0",
            where=series_label(headers[0]),
            remedy="export the series with its private attributes",
        )
    return factors


def _stored_scale(header: Dataset, units: Units) -> SuvScale:
    """Kind of SUV of values in g/mL or cm2/mL, by SUVType (0054,1006)."""
    suv_type = text(header, "SUVType").upper()
    known = _SUV_TYPE_SCALE if units is Units.GML else {"": SuvScale.BSA, "BSA": SuvScale.BSA}
    if suv_type not in known:
        raise SuvError(
            f"{shown(header, 'SUVType')}, which does not go with Units {units}",
            where=series_label(header),
            remedy=BQML_REMEDY,
        )
    return known[suv_type]


def _scale_factor(header: Dataset, scale: SuvScale, weight_kg: float, warnings: list[str]) -> float:
    height = patient_height_m(header, warnings)
    if height is None:
        raise SuvError(
            f"values are {scale}, and {shown(header, 'PatientSize')}, no height",
            where=series_label(header),
            remedy=BQML_REMEDY,
        )
    sex = text(header, "PatientSex").upper()
    if sex == "O" and scale is not SuvScale.BSA:
        warnings.append(f"PatientSex is O: the body measure of {scale} is the mean of both sexes.")
    try:
        return suv_scale_factor(scale, weight_kg, height, sex)
    except ValueError as error:
        raise SuvError(str(error), where=series_label(header), remedy=BQML_REMEDY) from error


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
        reference = [acquisition_start(each, zone, warnings) for each in headers]
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
    return _Times(reference, injection, half_life)


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
    overrides: SuvOverrides,
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
        overrides=overrides.as_record(),
    )
