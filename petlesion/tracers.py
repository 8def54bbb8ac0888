"""Tracers that the product knows: their physics, and how their images are thresholded and shown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

F18_HALF_LIFE_S = 6586.2
"""Half-life of 18F, s, as most scanners write it (IBSI manual for SUV computation)."""
GA68_HALF_LIFE_S = 4057.74
"""Half-life of 68Ga, s, as most scanners write it: 67.629 min.

The evaluation of Kuzmenko, Appl. Radiat. Isot. 152, 188 (2019), has 67.83 min, which changes SUV by 0.2 % at 60 min.
"""
CU64_HALF_LIFE_S = 45721.4
"""Half-life of 64Cu, s: 12.7004 h (NUBASE2020, Kondev et al., Chin. Phys. C 45, 030001, 2021)."""


class TracerName(StrEnum):
    """Names of tracers as `--tracer` takes them and `report.json` holds them."""

    GA68_DOTATATE = "ga68-dotatate"
    CU64_DOTATATE = "cu64-dotatate"
    GA68_DOTATOC = "ga68-dotatoc"
    GA68_PSMA11 = "ga68-psma11"
    F18_PSMA1007 = "f18-psma1007"
    F18_DCFPYL = "f18-dcfpyl"
    F18_FDG = "f18-fdg"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Tracer:
    """What reading, thresholding and display need to know of a tracer.

    Attributes
    ----------
    name
        Name in options and reports.
    title
        Name as a physician writes it.
    half_life_s
        Physical half-life, s; None when the radionuclide is not known.
    liver_is_reference
        Whether normal liver is a usable reference organ (excreted through the liver: it is not).
    fallback_suv
        SUVbw threshold when neither liver nor spleen can be measured.
    display_suv
        Upper end of the grey scale (its lower end is 0) in reports, and in the viewer to begin with (`windowOfTracer`
        in viewer/src/series.ts), SUVbw.
    """

    name: TracerName
    title: str
    half_life_s: float | None
    liver_is_reference: bool
    fallback_suv: float
    display_suv: float


# Fallback thresholds: FDG and PSMA, SUV 3, as the truth of total-tumour networks and of DEEP-PSMA 2025 is drawn;
# DOTATATE/DOTATOC, 1.5 x 5.0 + 2 x 0.5 = 8.5 from the SSTR literature's liver SUVmean near 5 and 10 % noise (rule of
# Wehrend et al. 2021).
_TABLE = (
    Tracer(TracerName.GA68_DOTATATE, "68Ga-DOTATATE", GA68_HALF_LIFE_S, True, 8.5, 15.0),
    Tracer(TracerName.CU64_DOTATATE, "64Cu-DOTATATE", CU64_HALF_LIFE_S, True, 8.5, 15.0),
    Tracer(TracerName.GA68_DOTATOC, "68Ga-DOTATOC", GA68_HALF_LIFE_S, True, 8.5, 15.0),
    Tracer(TracerName.GA68_PSMA11, "68Ga-PSMA-11", GA68_HALF_LIFE_S, True, 3.0, 15.0),
    Tracer(TracerName.F18_PSMA1007, "18F-PSMA-1007", F18_HALF_LIFE_S, False, 3.0, 15.0),
    Tracer(TracerName.F18_DCFPYL, "18F-DCFPyL", F18_HALF_LIFE_S, True, 3.0, 15.0),
    Tracer(TracerName.F18_FDG, "18F-FDG", F18_HALF_LIFE_S, True, 3.0, 5.0),
    Tracer(TracerName.UNKNOWN, "unknown tracer", None, True, 3.0, 10.0),
)
TRACERS: dict[TracerName, Tracer] = {tracer.name: tracer for tracer in _TABLE}
"""All tracers by name."""
