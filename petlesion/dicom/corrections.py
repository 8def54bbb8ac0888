"""Which physical effects the values of a PET series are corrected for."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from pydicom import Dataset

from petlesion.dicom.attributes import series_label, shown, text, values
from petlesion.errors import SuvError


class DecayCorrection(StrEnum):
    """Event to which values are decay-corrected, DecayCorrection (0054,1102) (PS3.3 C.8.9.1)."""

    NONE = "NONE"
    START = "START"
    ADMIN = "ADMIN"


def check_corrections(headers: Sequence[Dataset], correction: str, warnings: list[str]) -> None:
    """Reject series without attenuation or decay correction, by CorrectedImage (0028,0051).

    Parameters
    ----------
    headers
        One per slice.
    correction
        DecayCorrection (0054,1102); values that are not decay-corrected may be NONE.
    warnings
        Assumptions are appended, a sentence each.

    Raises
    ------
    SuvError
        If a slice lacks either.
    """
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
