"""What was injected and how much: the radiopharmaceutical information of a PET header."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from petlesion.dicom.attributes import items, number, series_label, shown, text
from petlesion.dicom.radionuclide import (
    HALF_LIFE_S,
    HALF_LIFE_TOLERANCE,
    coded_radionuclide,
    radionuclide_of_half_life,
)
from petlesion.dicom.tracer import named_radionuclide
from petlesion.errors import SuvError

MEGABECQUEREL_BELOW = 1e5
"""A dose below was entered in MBq instead of Bq (IBSI manual for SUV computation)."""
LONGEST_HALF_LIFE_S = 1e9
"""Half-lives beyond 30 years are not those of a tracer."""
PLAUSIBLE_DOSE_BQ = (1e7, 5e9)
"""Doses outside are used, with a warning."""

_SEQUENCE = "RadiopharmaceuticalInformationSequence"


def read_radiopharmaceutical(headers: Sequence[Dataset], warnings: list[str], *, replaced: bool = False) -> Dataset:
    """Item of the RadiopharmaceuticalInformationSequence (0054,0016) that SUV is computed from.

    Items that hold no dose, and repetitions, are left out. Without any item an empty data set is returned: each
    attribute is then found missing where it is needed.

    Parameters
    ----------
    headers
        One per slice.
    warnings
        Assumptions are appended, a sentence each.
    replaced
        Whether the user replaces dose and time, so that several injections need not agree on them.

    Raises
    ------
    SuvError
        If items or slices differ in dose, half-life or time: the image is then the sum of injections.
    """
    each = [items(header, _SEQUENCE) for header in _with_different_sequences(headers)]
    found = [item for of_slice in each for item in of_slice]
    distinct: dict[tuple[object, ...], Dataset] = {}
    for item in found:
        if number(item, "RadionuclideTotalDose"):
            distinct.setdefault(_identity(item), item)
    if len(distinct) > 1 and not (replaced and len({identity[1] for identity in distinct}) == 1):
        raise SuvError(
            f"RadiopharmaceuticalInformationSequence (0054,0016) holds {len(distinct)} injections with different "
            "dose, half-life or time",
            where=series_label(headers[0]),
            remedy="choose a series of a single injection, or give the effective --dose MBQ and --injection-time on "
            "the command line",
        )
    if len(each[0]) > 1:
        warnings.append(
            f"RadiopharmaceuticalInformationSequence has {len(each[0])} items; the first injection with a dose is used."
        )
    return next(iter([*distinct.values(), *found]), Dataset())


def _with_different_sequences(headers: Sequence[Dataset]) -> list[Dataset]:
    """Headers whose sequence may differ: where pydicom still holds its bytes, equal ones need not be parsed again."""
    different: dict[object, Dataset] = {}
    for header in headers:
        element = header.get_item(_SEQUENCE) if _SEQUENCE in header else None
        key = element.value if isinstance(element, RawDataElement) else id(header)
        different.setdefault(key, header)
    return list(different.values())


def _identity(item: Dataset) -> tuple[object, ...]:
    return (
        number(item, "RadionuclideTotalDose"),
        number(item, "RadionuclideHalfLife"),
        text(item, "RadiopharmaceuticalStartDateTime"),
        text(item, "RadiopharmaceuticalStartTime"),
    )


def administered_dose_bq(header: Dataset, item: Dataset, override_bq: float | None, warnings: list[str]) -> float:
    """Administered activity in Bq: of the user, else RadionuclideTotalDose (0018,1074), from MBq if need be.

    The activity is that at the injection time, not corrected for residual activity.

    Raises
    ------
    SuvError
        If neither gives a positive number.
    """
    low, high = PLAUSIBLE_DOSE_BQ
    if override_bq is not None:
        if not low < override_bq <= high:  # 10 is 10 mCi rather than 10 MBq
            warnings.append(f"A --dose of {override_bq / 1e6:g} MBq is implausible, but used; it is given in MBq.")
        return override_bq
    dose = number(item, "RadionuclideTotalDose")
    if dose is None or dose <= 0:
        raise SuvError(
            f"{shown(item, 'RadionuclideTotalDose')}, not a dose",
            where=series_label(header),
            remedy="correct the header, or give the administered activity on the command line (--dose MBQ)",
        )
    if dose < MEGABECQUEREL_BELOW:
        warnings.append(f"RadionuclideTotalDose is {dose:g}, taken as MBq.")
        dose *= 1e6
    if not low <= dose <= high:
        warnings.append(
            f"An administered activity of {dose / 1e6:g} MBq is implausible, but used; on the command line, --dose MBQ "
            "replaces it."
        )
    return dose


def half_life_s(header: Dataset, item: Dataset, warnings: list[str]) -> float:
    """Half-life in s: RadionuclideHalfLife (0018,1075), else that of the radionuclide which the item names.

    Raises
    ------
    SuvError
        If there is no half-life and no known radionuclide.
    """
    stated = number(item, "RadionuclideHalfLife")
    if stated is not None and 1 <= stated <= LONGEST_HALF_LIFE_S:
        said = coded_radionuclide(item) or named_radionuclide(item)
        return _checked_half_life(stated, HALF_LIFE_S[said] if said else None, warnings)
    nuclide = named_radionuclide(item)
    if nuclide is None:
        raise SuvError(
            f"{shown(item, 'RadionuclideHalfLife')}, and beside it stands no known radionuclide, or several",
            where=series_label(header),
            remedy="restore RadionuclideHalfLife or RadionuclideCodeSequence (0054,0300) from the original series",
        )
    warnings.append(f"{shown(item, 'RadionuclideHalfLife')}; {HALF_LIFE_S[nuclide]:g} s of {nuclide} is used.")
    return HALF_LIFE_S[nuclide]


def _checked_half_life(stated_s: float, said_s: float | None, warnings: list[str]) -> float:
    """Half-life in s, compared with that of the radionuclide that a code or a name says, if one does."""
    if said_s is None:
        minutes = radionuclide_of_half_life(60 * stated_s)
        if radionuclide_of_half_life(stated_s) is None and minutes is not None:
            warnings.append(f"RadionuclideHalfLife is {stated_s:g}, taken as minutes, those of {minutes}.")
            return 60 * stated_s
        if radionuclide_of_half_life(stated_s) is None:
            warnings.append(f"RadionuclideHalfLife {stated_s:g} s is that of no usual PET radionuclide.")
        return stated_s
    if abs(60 * stated_s / said_s - 1) <= HALF_LIFE_TOLERANCE:
        warnings.append(f"RadionuclideHalfLife is {stated_s:g}, taken as minutes.")
        return 60 * stated_s
    if abs(stated_s / said_s - 1) > HALF_LIFE_TOLERANCE:
        warnings.append(
            f"RadionuclideHalfLife {stated_s:g} s contradicts the radionuclide that is named, whose half-life is "
            f"{said_s:g} s; the stated one is used."
        )
    return stated_s
