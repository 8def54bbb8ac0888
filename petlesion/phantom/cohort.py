"""What a cohort of simulated patients is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from petlesion.phantom.anatomy import Sex


class Cohort(StrEnum):
    """Presets, after the published systems (docs/simulated-patients.md)."""

    DEFAULT = "default"
    """Everything: any region, any burden, one patient in five (PSMA: three in ten) without disease."""
    S1_LIVER = "s1-liver"
    """125 studies of which 57 have 4.0 ± 2.75 (fewer than 10) separate liver lesions; no disease elsewhere counts."""
    S2 = "s2"
    """Neuroendocrine, median 25 lesions (IQR 41); one patient in five is a control."""
    S3 = "s3"
    """PSMA, suspicious regions of median 1.3 mL, staged by miTNM."""
    S5 = "s5"
    """PSMA, patients with and without disease, from single lesions to a superscan."""


@dataclass(frozen=True)
class CohortOptions:
    """How to draw patients.

    Attributes
    ----------
    cohort
        Preset of the disease.
    spacing_mm
        Voxel edge of the fine grid, mm.
    diseased_fraction
        Fraction of patients with disease; None leaves it to the preset.
    confluent
        Whether confluent disease may occur.
    sex, arms_up, contrast
        Fixed for all patients; None draws them.
    """

    cohort: Cohort = Cohort.DEFAULT
    spacing_mm: float = 4.0
    diseased_fraction: float | None = None
    confluent: bool = False
    sex: Sex | None = None
    arms_up: bool | None = None
    contrast: bool | None = None

    def __post_init__(self) -> None:
        if not 1.5 <= self.spacing_mm <= 6.0:
            raise ValueError(f"spacing of the simulated body must lie between 1.5 and 6 mm, not {self.spacing_mm}")
        if self.diseased_fraction is not None and not 0.0 <= self.diseased_fraction <= 1.0:
            raise ValueError(f"fraction of diseased patients must lie between 0 and 1, not {self.diseased_fraction}")
