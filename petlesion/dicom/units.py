"""What the rescaled values of a PET series are: activity concentration, SUV of some kind, or counts."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from petlesion.dicom.attributes import parse_number, private_text, series_label, shown, text
from petlesion.dicom.body_measures import body_measure, patient_height_m, patient_weight_kg
from petlesion.dicom.suv_overrides import NO_OVERRIDES, SuvOverrides
from petlesion.errors import SuvError
from petlesion.suv_scale import SuvScale

PHILIPS_PET_CREATOR = "Philips PET Private Group"
"""Creator of Philips' private PET block, group 7053."""
CM2_ML_PER_SUVBSA = 10.0
"""cm2/mL, in which DICOM counts SUVbsa, per m2/L."""
BQML_REMEDY = "reconstruct or export the series in BQML"
"""What solves values that are SUV of an unknown kind."""


class Units(StrEnum):
    """Units (0054,1001) that SUV is computed from (PS3.3 C.8.9.1.1.3)."""

    BQML = "BQML"
    GML = "GML"
    CM2ML = "CM2ML"
    CNTS = "CNTS"


_SUV_TYPE_SCALE = {
    "": SuvScale.BW,
    "BW": SuvScale.BW,
    "LBM": SuvScale.LBM_MORGAN,
    "LBMJAMES128": SuvScale.LBM_JAMES,
    "LBMJANMA": SuvScale.LBM_JANMAHASATIAN,
    "IBW": SuvScale.IBW,
}
"""Normalisation that SUVType (0054,1006) names for values in g/mL."""


def read_units(header: Dataset) -> Units:
    """Units (0054,1001) of the rescaled values.

    Raises
    ------
    SuvError
        If SUV cannot be computed from them.
    """
    stated = text(header, "Units").upper()
    if stated not in set(Units):
        raise SuvError(
            f"{shown(header, 'Units')}, and SUV can be computed from {', '.join(Units)} only",
            where=series_label(header),
            remedy=BQML_REMEDY,
        )
    return Units(stated)


def activity_factors(
    headers: Sequence[Dataset], units: Units, overrides: SuvOverrides, warnings: list[str]
) -> NDArray[np.float64] | None:
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
    if to_suv is None or to_activity is None:
        return to_activity
    if overrides == NO_OVERRIDES:
        return None
    warnings.append("Philips' SUV scale factor holds the replaced values; the activity concentration factor is used.")
    return to_activity


def _philips_factors(headers: Sequence[Dataset], offset: int) -> NDArray[np.float64] | None:
    """(n_slices,) factors of (7053,xx00) to SUVbw or (7053,xx09) to Bq/mL; None where one is absent or, as such, 0."""
    found = [parse_number(private_text(header, 0x7053, PHILIPS_PET_CREATOR, offset)) for header in headers]
    factors = np.array([factor for factor in found if factor is not None and factor > 0])
    return factors if len(factors) == len(headers) else None


def suv_factors(
    headers: Sequence[Dataset],
    units: Units,
    overrides: SuvOverrides,
    effective: dict[str, float | str],
    warnings: list[str],
) -> NDArray[np.float64]:
    """(n_slices,) factors to SUVbw of values that are SUV of some kind, or counts with Philips' factor to SUVbw.

    What of the overrides has no effect is taken out of `effective`.

    Raises
    ------
    SuvError
        If SUVType or a body measure is missing, or if counts have no factor.
    """
    header = headers[0]
    ineffective = list(effective)
    factors = np.ones(len(headers))
    if units is Units.CNTS:
        factors = _philips_suv_factors(headers)
    else:
        scale = _stored_scale(header, units)
        if scale is not SuvScale.BW:
            if overrides.weight_kg is not None:
                ineffective.remove("weight")
                warnings.append(f"--weight {overrides.weight_kg} replaces the header's.")
            weight = patient_weight_kg(header, overrides.weight_kg, warnings)
            factors /= _scale_factor(header, scale, weight, warnings)
            warnings.append(f"Values are {scale}, converted to SUVbw with {weight:g} kg.")
    for option in ineffective:
        del effective[option]
        warnings.append(f"--{option} has no effect: the scanner computed SUV.")
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
        return body_measure(scale, weight_kg, height, sex) / weight_kg
    except ValueError as error:
        raise SuvError(str(error), where=series_label(header), remedy=BQML_REMEDY) from error
