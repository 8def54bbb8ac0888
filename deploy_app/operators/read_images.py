"""SUV and alignment: decode PET and CT, PET to SUVbw, CT onto the grid of the PET."""

from __future__ import annotations

from typing import Any

from holoscan.core import Fragment

from messages import Job
from operators.step import Port, Step
from petlesion.dicom.reader import SeriesChoice, read_dicom
from petlesion.dicom.scan import DicomIndex
from petlesion.study import PetCt
from petlesion.tracers import TracerName


class ReadImages(Step):
    """Series → `PetCt`.

    Parameters
    ----------
    tracer
        Replaces what headers say.
    **step
        As for `Step`.
    """

    receives = (Port("series", DicomIndex),)
    emits = Port("images", PetCt)

    def __init__(self, fragment: Fragment, *args: Any, tracer: TracerName | None, **step: Any) -> None:
        self._tracer = tracer
        super().__init__(fragment, *args, **step)

    def process(self, job: Job, index: DicomIndex) -> PetCt:
        """Read one study."""
        return read_dicom(index, tracer=self._tracer, choice=SeriesChoice(study_uid=job.study_uid))
