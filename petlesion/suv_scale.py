"""Kinds of SUV."""

from __future__ import annotations

from enum import StrEnum


class SuvScale(StrEnum):
    """What the activity concentration per administered activity is multiplied by.

    Units: g/mL, except `BSA`, which is m2/L = 10 cm2/mL (DICOM's CM2ML counts in cm2/mL).
    """

    BW = "SUVbw"
    """Body weight."""
    LBM_JANMAHASATIAN = "SULjanma"
    """SUL by lean body mass of Janmahasatian et al., Clin. Pharmacokinet. 44, 1051 (2005); that of EANM and QIBA."""
    LBM_JAMES = "SULjames128"
    """SUL by lean body mass of James (1976), with the factor 128 for men."""
    LBM_MORGAN = "SULmorgan"
    """SUL by lean body mass of Morgan and Bray (1994): as James, but with the factor 120 for men."""
    BSA = "SUVbsa"
    """Body surface area, DuBois and DuBois (1916)."""
    IBW = "SUVibw"
    """Ideal body weight, Sugawara et al., Radiology 213, 521 (1999)."""
