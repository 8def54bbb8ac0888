"""Codes of anatomic locations, where the name of a location has one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

_SYNONYMS = {
    "adrenal": "adrenal gland",
    "arm": "upper limb",
    "bladder": "bladder",
    "chest": "thorax",
    "leg": "lower limb",
    "groin": "inguinal region",
    "parotid": "parotid gland",
}
_OUTSIDE_CID_4 = {
    "bone": Code("272673000", "SCT", "Bone"),
    "bowel": Code("113276009", "SCT", "Intestine"),
    "kidney": Code("64033007", "SCT", "Kidney"),
    "lymph node": Code("59441001", "SCT", "Lymph node"),
}
_SIDES = {"left": Code("7771000", "SCT", "Left"), "right": Code("24028007", "SCT", "Right")}


@dataclass(frozen=True)
class AnatomicSite:
    """An anatomic region (DICOM PS3.16 CID 4) and its side (CID 244), if any."""

    region: Code
    side: Code | None = None


def anatomic_site(location: str | None) -> AnatomicSite | None:
    """Code of a location given in words, such as ``liver`` or ``left axilla``.

    Returns
    -------
    AnatomicSite or None
        None where the words are no region that a code is known for; then the words alone are written.
    """
    words = " ".join((location or "").lower().split())
    first, _, rest = words.partition(" ")
    side = _SIDES.get(first)
    name = rest if side is not None else words
    for candidate in (name, name.removesuffix("s")):
        region = _regions().get(_SYNONYMS.get(candidate, candidate))
        if region is not None:
            return AnatomicSite(region, side)
    return None


@cache
def _regions() -> dict[str, Code]:
    """Regions by lower-case meaning: those of CID 4 in pydicom's dictionary, and those that lesions need besides."""
    return {code.meaning.lower(): code for code in codes.cid4.concepts.values()} | _OUTSIDE_CID_4
