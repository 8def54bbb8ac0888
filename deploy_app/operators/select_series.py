"""Select: end studies here that have no PET in which SUV can be measured."""

from __future__ import annotations

from messages import Job
from operators.step import Port, Step
from petlesion.dicom.scan import DicomIndex
from petlesion.dicom.selection import choose_pet


class SelectSeries(Step):
    """Index of a study → the same, if it has a PET to measure.

    Reading chooses by the same rule, and then the CT, once the geometry of the PET is known.
    """

    receives = (Port("study", DicomIndex),)
    emits = Port("series", DicomIndex)

    def process(self, _: Job, index: DicomIndex) -> DicomIndex:
        """Look for the attenuation-corrected, static, original PET."""
        choose_pet(index.series, index.folder)
        return index
