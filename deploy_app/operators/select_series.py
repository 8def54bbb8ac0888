"""Select: make sure that a study has a PET that SUV can be measured in, and say which."""

from __future__ import annotations

from messages import Job, SelectedSeries
from operators.step import Port, Step
from petlesion.dicom.scan import DicomIndex
from petlesion.dicom.selection import choose_pet


class SelectSeries(Step):
    """Index of a study → its PET; the CT that fits is chosen when the geometry of the PET has been read."""

    receives = (Port("study", DicomIndex),)
    emits = Port("series", SelectedSeries)

    def process(self, _: Job, index: DicomIndex) -> SelectedSeries:
        """Choose the attenuation-corrected, static, original PET."""
        pet, _why, _arbitrary = choose_pet(index.series, index.folder)
        return SelectedSeries(index, pet.uid)
