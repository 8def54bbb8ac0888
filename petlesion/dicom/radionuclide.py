"""Positron emitters: half-lives, and the codes and names by which headers tell them."""

from __future__ import annotations

import re
from enum import StrEnum

from pydicom import Dataset
from pydicom.sr.coding import Code

from petlesion.dicom.attributes import items, text
from petlesion.tracers import CU64_HALF_LIFE_S, F18_HALF_LIFE_S, GA68_HALF_LIFE_S

HALF_LIFE_TOLERANCE = 0.02
"""Half-lives in headers differ by less from each other (68Ga: 4057 to 4080 s)."""


class Radionuclide(StrEnum):
    """Radionuclides that a PET header may name, as mass number and element."""

    C11 = "11C"
    N13 = "13N"
    O15 = "15O"
    F18 = "18F"
    CU64 = "64Cu"
    GA68 = "68Ga"
    ZR89 = "89Zr"
    I124 = "124I"


HALF_LIFE_S: dict[Radionuclide, float] = {
    Radionuclide.C11: 1220.4,
    Radionuclide.N13: 597.9,
    Radionuclide.O15: 122.27,
    Radionuclide.F18: F18_HALF_LIFE_S,
    Radionuclide.CU64: CU64_HALF_LIFE_S,
    Radionuclide.GA68: GA68_HALF_LIFE_S,
    Radionuclide.ZR89: 282096.0,
    Radionuclide.I124: 360806.0,
}
"""Half-lives in s; those not in `petlesion.tracers` from NUBASE2020 (Kondev et al., Chin. Phys. C 45, 030001, 2021)."""

_SCT_CODE = {
    Radionuclide.C11: "40565003",
    Radionuclide.N13: "21576001",
    Radionuclide.O15: "129504001",
    Radionuclide.F18: "77004003",
    Radionuclide.CU64: "3932008",
    Radionuclide.GA68: "35337001",
    Radionuclide.ZR89: "63360001",
    Radionuclide.I124: "40937006",
}
"""SNOMED CT codes of CID 4020, PET Radionuclide (PS3.16)."""

_ELEMENT_NAME = {
    "C": "carbon",
    "N": "nitrogen",
    "O": "oxygen",
    "F": "fluor(?:ine)?",
    "Cu": "copper",
    "Ga": "gallium",
    "Zr": "zirconium",
    "I": "iod(?:ine)?",
}

SNOMED_RT_DESIGNATORS = frozenset({"SRT", "SNM3", "99SDM"})
"""Coding schemes of SNOMED RT codes such as C-111A1 (PS3.16 section 8.1; 99SDM is older still)."""


def read_code(item: Dataset) -> Code:
    """Code of a code sequence item (PS3.3 section 8.8); SNOMED RT ones compare equal to their SNOMED CT successors."""
    scheme = text(item, "CodingSchemeDesignator")
    if scheme.upper() in SNOMED_RT_DESIGNATORS:
        scheme = "SRT"
    return Code(text(item, "CodeValue"), scheme, text(item, "CodeMeaning"))


def coded_radionuclide(radiopharmaceutical: Dataset) -> Radionuclide | None:
    """Radionuclide of the RadionuclideCodeSequence (0054,0300): by its code, else by the meaning beside it."""
    for item in items(radiopharmaceutical, "RadionuclideCodeSequence"):
        code = read_code(item)
        for nuclide, value in _SCT_CODE.items():
            if code == Code(value, "SCT", ""):
                return nuclide
        named = radionuclide_in_text(code.meaning)
        if named is not None:
            return named
    return None


def radionuclide_of_half_life(half_life_s: float | None) -> Radionuclide | None:
    """Radionuclide whose half-life in s is within `HALF_LIFE_TOLERANCE` of the given one."""
    if half_life_s is None:
        return None
    for nuclide, expected in HALF_LIFE_S.items():
        if abs(half_life_s / expected - 1) <= HALF_LIFE_TOLERANCE:
            return nuclide
    return None


def radionuclide_in_text(label: str) -> Radionuclide | None:
    """Radionuclide that a free text names; None where it names none, or several.

    Examples
    --------
    >>> radionuclide_in_text("[68Ga]Ga-DOTATATE"), radionuclide_in_text("PSMA-1007 F^18^")
    (<Radionuclide.GA68: '68Ga'>, <Radionuclide.F18: '18F'>)
    """
    found = {nuclide for nuclide, pattern in _PATTERN.items() if pattern.search(label)}
    return found.pop() if len(found) == 1 else None


def _text_pattern(nuclide: Radionuclide) -> re.Pattern[str]:
    """Match 68Ga, 68GaDOTATATE, Ga-68, ^68^Gallium and the like, but not the 11 of PSMA-11 as a mass."""
    mass, symbol = re.fullmatch(r"(\d+)(\D+)", nuclide).groups()  # type: ignore[union-attr]
    element = f"(?:{_ELEMENT_NAME[symbol]}|{symbol})"
    gap = r"[\s^\[\]()-]*"
    mass_first = rf"(?<!\d)(?<!psma[ -]){mass}(?:{gap}{element}(?![a-z])|{symbol})"
    mass_last = rf"(?<![a-z]){element}{gap}{mass}(?!\d)"
    return re.compile(f"{mass_first}|{mass_last}", re.IGNORECASE)


_PATTERN = {nuclide: _text_pattern(nuclide) for nuclide in Radionuclide}
