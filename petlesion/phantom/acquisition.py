"""How a patient is scanned: dose, uptake time, minutes a bed, and the counts that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.errors import UsageError
from petlesion.phantom.scanner import Scanner
from petlesion.tracers import TRACERS, TracerName

NEMA_BRANCHING = 0.967
"""Positron branching of 18F, with which NEMA sensitivities are measured (Bé et al., Table of Radionuclides)."""


@dataclass(frozen=True)
class Nuclide:
    """Physics of a positron emitter.

    Attributes
    ----------
    branching
        Positrons a decay.
    range_fwhm_mm
        Gaussian blur that positron range adds in quadrature to the resolution measured with 18F. From the mean ranges
        in water of 0.6 (18F), 0.6 (64Cu) and 2.9 mm (68Ga) and NEMA measurements with these nuclides (Conti and
        Eriksson, EJNMMI Physics 2016; Soderlund et al., EJNMMI Physics 2015).
    """

    branching: float
    range_fwhm_mm: float


@dataclass(frozen=True)
class Protocol:
    """Usual dose and times of a tracer.

    Attributes
    ----------
    nuclide
        The radionuclide.
    mbq_per_kg, mbq_fixed
        Injected activity: by weight, or the same for all when `mbq_per_kg` is 0.
    mbq_limits
        Lowest and highest activity injected.
    uptake_min
        Usual time from injection to scan, min.
    bed_s
        Usual time a bed, s.
    """

    nuclide: Nuclide
    mbq_per_kg: float
    mbq_fixed: float
    mbq_limits: tuple[float, float]
    uptake_min: float
    bed_s: float


# Branching: Bé et al., Table of Radionuclides. Doses and times: FDG, EANM 2.0 guideline (Boellaard et al., EJNMMI 2015)
# and common practice near 4.5 MBq/kg; 68Ga-DOTATATE 100-200 MBq (Hope et al., JNM 2023); 64Cu-DOTATATE 200 MBq at 1 h
# (S2, Carlsen et al. 2022); 68Ga-PSMA-11 1.8-2.2 MBq/kg (Fendler et al., EJNMMI 2023).
_F18, _GA68, _CU64 = Nuclide(0.967, 0.0), Nuclide(0.889, 2.8), Nuclide(0.176, 0.5)
PROTOCOLS: dict[TracerName, Protocol] = {
    TracerName.F18_FDG: Protocol(_F18, 4.5, 0.0, (180.0, 450.0), 60.0, 150.0),
    TracerName.GA68_DOTATATE: Protocol(_GA68, 2.4, 0.0, (100.0, 200.0), 60.0, 210.0),
    TracerName.CU64_DOTATATE: Protocol(_CU64, 0.0, 200.0, (180.0, 220.0), 60.0, 240.0),
    TracerName.GA68_PSMA11: Protocol(_GA68, 2.0, 0.0, (100.0, 250.0), 60.0, 210.0),
}
"""Protocols of the simulated tracers."""


@dataclass(frozen=True)
class Acquisition:
    """One scan.

    Attributes
    ----------
    tracer
        What was injected.
    injected_mbq
        Activity at injection, MBq.
    weight_kg
        Patient weight.
    uptake_s
        Time from injection to the start of the first bed.
    bed_s
        Time a bed.
    """

    tracer: TracerName
    injected_mbq: float
    weight_kg: float
    uptake_s: float
    bed_s: float

    @property
    def nuclide(self) -> Nuclide:
        """Physics of the radionuclide."""
        return PROTOCOLS[self.tracer].nuclide

    @property
    def half_life_s(self) -> float:
        """Half-life of the radionuclide, s."""
        half_life = TRACERS[self.tracer].half_life_s
        if half_life is None:
            raise ValueError(f"tracer {self.tracer} has no half-life")
        return half_life

    @property
    def kbq_ml_per_suv(self) -> float:
        """Activity concentration at injection of tissue of SUV 1 and density 1 g/mL, kBq/mL."""
        return self.injected_mbq / self.weight_kg

    def bed_of_slice(self, scanner: Scanner, n_slices: int) -> NDArray[np.intp]:
        """Bed that each slice is taken from, counted from the feet, where the scan begins: (n_slices,)."""
        z_mm = (np.arange(n_slices) + 0.5) * scanner.spacing_mm[0]
        return np.asarray(z_mm // scanner.bed_step_mm, dtype=np.intp)

    def bed_start_s(self, bed: NDArray[np.intp]) -> NDArray[np.float64]:
        """Time from injection to the start of beds, s; the table needs no time to move."""
        return np.asarray(self.uptake_s + bed * self.bed_s, dtype=np.float64)

    def trues_per_suv_ml(self, scanner: Scanner, n_slices: int) -> NDArray[np.float32]:
        """Expected true coincidences, without attenuation, of 1 mL of tissue of SUV 1 in each slice: (n_slices,).

        Product of the activity at scan time, positrons a decay, efficiency, effective time (overlapping beds see a
        slice more than once) and the gain by time of flight.
        """
        start = self.bed_start_s(self.bed_of_slice(scanner, n_slices))
        decay = np.log(2.0) / self.half_life_s
        mean_decay = np.exp(-decay * start) * -np.expm1(-decay * self.bed_s) / (decay * self.bed_s)
        rate = self.kbq_ml_per_suv * mean_decay * scanner.efficiency_cps_kbq * self.nuclide.branching / NEMA_BRANCHING
        overlap = scanner.axial_fov_mm / scanner.bed_step_mm
        return np.asarray(rate * self.bed_s * overlap * scanner.tof_gain, dtype=np.float32)

    def activity_mbq(self) -> float:
        """Positron activity in the patient at the start of the scan, MBq."""
        decayed = self.injected_mbq * np.exp2(-self.uptake_s / self.half_life_s)
        return float(decayed * self.nuclide.branching / NEMA_BRANCHING)


def draw_acquisition(tracer: TracerName, scanner: Scanner, weight_kg: float, rng: np.random.Generator) -> Acquisition:
    """Draw dose and times around the usual ones of a tracer.

    Parameters
    ----------
    tracer
        A simulated tracer.
    scanner
        Some take longer than others.
    weight_kg
        Patient weight, kg.
    rng
        Source of chance.

    Raises
    ------
    UsageError
        If there is no protocol for the tracer.
    """
    protocol = PROTOCOLS.get(tracer)
    if protocol is None:
        known = ", ".join(PROTOCOLS)
        raise UsageError(f"tracer {tracer} cannot be simulated", remedy=f"choose one of {known}")
    nominal = protocol.mbq_per_kg * weight_kg or protocol.mbq_fixed
    injected = np.clip(nominal * rng.normal(1.0, 0.08), *protocol.mbq_limits)
    uptake = protocol.uptake_min * 60.0 + np.clip(rng.normal(180.0, 400.0), -600.0, 1800.0)
    return Acquisition(
        tracer, round(float(injected), 1), weight_kg, float(round(uptake)), protocol.bed_s * scanner.bed_time
    )
