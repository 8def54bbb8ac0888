"""Normal uptake of liver and spleen by tracer: where a search for these organs may look, never a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

from petlesion.tracers import TracerName

PLAUSIBLE_SPREADS = 2.0
"""Uptake within this many spreads (of its logarithm) of the typical one is plausible for normal tissue."""


@dataclass(frozen=True)
class NormalUptake:
    """Uptake of a normal organ across patients, log-normal.

    Attributes
    ----------
    suv
        Typical SUVmean, SUVbw.
    spread
        Standard deviation of its natural logarithm.
    """

    suv: float
    spread: float

    @property
    def band(self) -> tuple[float, float]:
        """Lowest and highest plausible SUVmean."""
        factor = math.exp(PLAUSIBLE_SPREADS * self.spread)
        return self.suv / factor, self.suv * factor

    def plausibility(self, suv: float) -> float:
        """1 at the typical uptake, falling to 0 away from it."""
        return math.exp(-0.5 * (math.log(suv / self.suv) / self.spread) ** 2)


@dataclass(frozen=True)
class OrganUptake:
    """Uptake of the two reference organs.

    Attributes
    ----------
    liver, spleen
        Normal uptake.
    spleen_is_hotter
        Whether the spleen takes up half as much again as the liver, as the spleen rule of Carlsen et al. (0.67 x mean
        instead of 1.5 x mean) takes for granted.
    """

    liver: NormalUptake
    spleen: NormalUptake
    spleen_is_hotter: bool


_SSTR = OrganUptake(NormalUptake(5.5, 0.4), NormalUptake(20.0, 0.5), spleen_is_hotter=True)

NORMAL_UPTAKE: dict[TracerName, OrganUptake] = {
    TracerName.GA68_DOTATATE: _SSTR,
    TracerName.CU64_DOTATATE: _SSTR,
    TracerName.GA68_DOTATOC: _SSTR,
    TracerName.GA68_PSMA11: OrganUptake(NormalUptake(5.4, 0.4), NormalUptake(8.1, 0.45), spleen_is_hotter=True),
    TracerName.F18_PSMA1007: OrganUptake(NormalUptake(11.7, 0.4), NormalUptake(11.2, 0.4), spleen_is_hotter=False),
    TracerName.F18_DCFPYL: OrganUptake(NormalUptake(5.0, 0.35), NormalUptake(4.0, 0.45), spleen_is_hotter=False),
    TracerName.F18_FDG: OrganUptake(NormalUptake(2.2, 0.3), NormalUptake(1.9, 0.25), spleen_is_hotter=False),
    TracerName.UNKNOWN: OrganUptake(NormalUptake(4.0, 0.6), NormalUptake(6.0, 0.7), spleen_is_hotter=False),
}
"""Uptake by tracer. Liver and spleen SUVmean (spreads widened for scanners, protocols and sink effects):

FDG, liver 2.17 (SD 0.44): Boktor et al., J Nucl Med 2013. DOTATATE, SUVmax of liver 9.1 and spleen 24.7 in 120
patients: Kuyumcu et al., Ann Nucl Med 2013. PSMA-11, liver 5.4 (1.7) and spleen 8.1 (3.5), PSMA-1007, 11.7 (3.9) and
11.2 (3.5): EJNMMI Res 2024;14, doi 10.1186/s13550-024-01097-3. DCFPyL, liver 5.0 (0.7) and spleen 4.0 (1.5): Li et
al., J Nucl Med 2017 (PMC5450367). An unknown tracer may be any of these.
"""
