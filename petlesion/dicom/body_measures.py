"""Weight, height and sex, and the body measures that SUV is normalised by."""

from __future__ import annotations

from pydicom import Dataset

from petlesion.dicom.attributes import number, series_label, shown
from petlesion.errors import SuvError
from petlesion.suv_scale import SuvScale

GRAMS_ABOVE_KG = 1000.0
"""A PatientWeight above was entered in grams (IBSI manual for SUV computation)."""
PLAUSIBLE_WEIGHT_KG = (3.0, 300.0)
"""Weights outside are used, with a warning."""
CENTIMETRES_ABOVE_M = 3.0
"""A PatientSize above was entered in centimetres; nobody is 3 m tall."""
PLAUSIBLE_HEIGHT_M = (0.4, 2.5)
"""Heights outside are not used."""


def body_measure(scale: SuvScale, weight_kg: float, height_m: float, sex: str) -> float:
    """Body measure that a scale normalises by.

    Formulas as in the IBSI manual for SUV computation, version 1.

    Parameters
    ----------
    scale
        Kind of SUV.
    weight_kg
        Body weight, kg.
    height_m
        Body height, m; not used for `SuvScale.BW`.
    sex
        DICOM PatientSex. M or F; O gives the mean of both.

    Returns
    -------
    float
        kg, or m2 for `SuvScale.BSA`.

    Raises
    ------
    ValueError
        If sex is needed and is neither M, F nor O, or if the formula gives nothing positive.
    """
    if scale is SuvScale.BW:
        return weight_kg
    if sex == "O" and scale is not SuvScale.BSA:
        return (_measure(scale, weight_kg, height_m, "M") + _measure(scale, weight_kg, height_m, "F")) / 2
    return _measure(scale, weight_kg, height_m, sex)


def _measure(scale: SuvScale, weight_kg: float, height_m: float, sex: str) -> float:
    height_cm = 100 * height_m
    if scale is SuvScale.BSA:
        return float(0.007184 * height_cm**0.725 * weight_kg**0.425)
    if sex not in ("M", "F"):
        raise ValueError(f"{scale} needs a sex of M, F or O, not {sex!r}")
    male = sex == "M"
    bmi = weight_kg / height_m**2
    if scale is SuvScale.LBM_JANMAHASATIAN:
        measure = 9270 * weight_kg / (6680 + 216 * bmi if male else 8780 + 244 * bmi)
    elif scale is SuvScale.IBW:
        measure = 48 + 1.06 * (height_cm - 152) if male else 45.5 + 0.91 * (height_cm - 152)
    else:
        male_factor = 120 if scale is SuvScale.LBM_MORGAN else 128
        ratio = (weight_kg / height_cm) ** 2
        measure = 1.10 * weight_kg - male_factor * ratio if male else 1.07 * weight_kg - 148 * ratio
    if measure <= 0:
        raise ValueError(f"{scale} is not defined for {weight_kg:g} kg and {height_m:g} m")
    return measure


def suv_scale_factor(scale: SuvScale, weight_kg: float, height_m: float, sex: str) -> float:
    """Factor that turns SUVbw (g/mL) into another scale.

    Parameters
    ----------
    scale
        Wanted kind of SUV; its docstring says the unit.
    weight_kg, height_m, sex
        As for `body_measure`; the same weight as in SUVbw.

    Raises
    ------
    SuvError
        If the scale needs a sex that is not given, or is not defined for such a body.

    Examples
    --------
    >>> round(suv_scale_factor(SuvScale.LBM_JANMAHASATIAN, 70, 1.75, "M"), 3)
    0.798
    """
    try:
        return body_measure(scale, weight_kg, height_m, sex) / weight_kg
    except ValueError as error:
        raise SuvError(str(error), remedy="use SUVbw") from error


def patient_weight_kg(header: Dataset, override_kg: float | None, warnings: list[str]) -> float:
    """Body weight in kg: of the user, else PatientWeight (0010,1030), from grams if need be.

    Raises
    ------
    SuvError
        If neither gives a positive number.
    """
    weight = override_kg if override_kg is not None else number(header, "PatientWeight")
    if weight is None or not 0 < weight < GRAMS_ABOVE_KG**2:
        raise SuvError(
            f"{shown(header, 'PatientWeight')}, not a weight",
            where=series_label(header),
            remedy="correct the header, or give the body weight on the command line (--weight KG)",
        )
    if weight > GRAMS_ABOVE_KG:
        warnings.append(f"PatientWeight is {weight:g}, taken as grams: {weight / 1000:g} kg.")
        weight /= 1000
    low, high = PLAUSIBLE_WEIGHT_KG
    if not low <= weight <= high:
        warnings.append(
            f"A body weight of {weight:g} kg is implausible, but used; on the command line, --weight KG replaces it."
        )
    return weight


def patient_height_m(header: Dataset, warnings: list[str]) -> float | None:
    """Body height in m, PatientSize (0010,1020), from centimetres if need be; None where missing or implausible."""
    height = number(header, "PatientSize")
    if height is None:
        return None
    if height > CENTIMETRES_ABOVE_M:
        warnings.append(f"PatientSize is {height:g}, taken as centimetres: {height / 100:g} m.")
        height /= 100
    low, high = PLAUSIBLE_HEIGHT_M
    return height if low <= height <= high else None
