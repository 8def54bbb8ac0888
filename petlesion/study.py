"""A PET/CT study as segmenters see it: SUV, CT on the PET grid, tracer, patient, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from petlesion.report import SuvRecord
from petlesion.tracers import Tracer
from petlesion.volume import Grid, Volume

if TYPE_CHECKING:
    from pydicom import Dataset


NO_CT_HU = -1024.0
"""CT outside its field of view, and where there is none: air. A body of air tells a network that no CT was given."""
COMPLETE_CT = 0.95
"""A CT that covers less than this part of the PET's length draws a warning."""


@dataclass(frozen=True)
class Patient:
    """Who was scanned, as far as the header says."""

    patient_id: str = ""
    name: str = ""
    """DICOM PatientName with all its components and groups, such as ``Yamada^Tarou=山田^太郎``."""
    birth_date: date | None = None
    sex: str = ""
    """DICOM PatientSex: M, F, O or empty."""
    weight_kg: float | None = None
    height_m: float | None = None


@dataclass(frozen=True, eq=False)
class DicomSource:
    """Headers that derived objects (SEG, SR, RTSTRUCT) refer to.

    Attributes
    ----------
    pet_headers
        Data sets without PixelData of the PET slices, ordered by increasing position along the slice normal. When
        `one_header_per_slice` they correspond to the slices of `PetCt.pet`, index by index.
    ct_series_instance_uid
        The CT that was read, if any.
    one_header_per_slice
        False when the PET was resampled along z because its slices were unequally spaced.
    """

    pet_headers: tuple[Dataset, ...]
    ct_series_instance_uid: str | None = None
    one_header_per_slice: bool = True


@dataclass(frozen=True, eq=False)
class PetCt:
    """What every segmenter gets, and all it gets.

    Attributes
    ----------
    pet
        SUVbw (g/mL), float32, (z, y, x).
    ct
        CT in HU, float32, on the grid of `pet`; -1024 outside the CT's field of view. None where there is no CT.
    tracer
        From the radiopharmaceutical or from the user.
    patient
        Identity and body measures.
    suv
        How SUV was computed, with every assumption as a warning.
    source
        DICOM headers; None for NIfTI input.
    study_instance_uid, pet_series_instance_uid
        From the header; for NIfTI input derived from the content, so that equal input gives equal UIDs.
    selection
        Why this PET and CT were chosen, a sentence each.
    warnings
        What the reader tolerated in geometry and files (SUV warnings are in `suv`).
    """

    pet: Volume
    ct: Volume | None
    tracer: Tracer
    patient: Patient
    suv: SuvRecord
    study_instance_uid: str
    pet_series_instance_uid: str
    source: DicomSource | None = None
    selection: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pet.array.dtype != np.float32:
            raise ValueError(f"PET must be float32 SUVbw, not {self.pet.array.dtype}")
        if self.ct is not None and not self.ct.grid.is_close(self.pet.grid):
            raise ValueError("CT must be on the grid of the PET")


def short_ct(pet: Grid, ct: Grid) -> tuple[str, ...]:
    """A warning where a CT ends before the PET does: beyond it, a method sees the PET alone."""
    covered = pet.length_within(ct)
    if covered >= COMPLETE_CT:
        return ()
    return (f"The CT covers {100 * covered:.0f} % of the PET's length; beyond it there is the PET alone.",)
