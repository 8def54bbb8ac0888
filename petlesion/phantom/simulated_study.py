"""What a DICOM study of a simulated patient is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from petlesion.identifiers import derived_uid
from petlesion.phantom.acquisition import Acquisition
from petlesion.phantom.scanner import Scanner
from petlesion.tracers import TracerName
from petlesion.volume import Volume


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedStudy:
    """One scan of one patient; a phantom without a person passes for an adult of 70 kg.

    Attributes
    ----------
    patient_id
        PatientID; UIDs follow from it, from `timepoint` and from `simulation`.
    timepoint
        0 for the first study of the patient, 1 for the follow-up.
    simulation
        What else the images depend on: the same patient, simulated or scanned otherwise, is another study.
    sex, born, height_m, weight_kg
        Patient module.
    injected_at
        Time of the injection.
    tracer, acquisition, scanner
        What was injected, and how it was scanned.
    pet
        SUVbw.
    ct
        HU, on its own grid.
    """

    patient_id: str
    timepoint: int = 0
    simulation: str = ""
    sex: str = "F"
    born: date = date(1940, 1, 1)
    height_m: float = 1.7
    weight_kg: float = 70.0
    injected_at: datetime = datetime(2000, 1, 1, 9)
    tracer: TracerName
    acquisition: Acquisition
    scanner: Scanner
    pet: Volume
    ct: Volume

    @property
    def age_years(self) -> int:
        """Age at this study; everybody's birthday is 1 January."""
        return self.injected_at.year - self.born.year

    @property
    def scan_start(self) -> datetime:
        """Start of the first bed, to which values are decay-corrected."""
        return self.injected_at + timedelta(seconds=self.acquisition.uptake_s)

    @property
    def bqml_per_suv(self) -> float:
        """Activity concentration (Bq/mL) at the start of the scan for SUVbw 1."""
        dose_bq = self.acquisition.injected_mbq * 1e6
        left = np.exp2(-self.acquisition.uptake_s / self.acquisition.half_life_s)
        return float(dose_bq * left / (self.weight_kg * 1000.0))

    def uid(self, *parts: str) -> str:
        """UID of a part of the study, the same whenever the patient is simulated again in the same way."""
        return derived_uid("simulated", self.patient_id, str(self.timepoint), self.simulation, *parts)
