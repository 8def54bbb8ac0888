"""Measuring: numbers of each lesion and of the whole body."""

from __future__ import annotations

from messages import Job
from operators.step import Port, Step
from petlesion.lesions import Lesions
from petlesion.measure.biomarkers import measure
from petlesion.report import Report
from petlesion.study import PetCt


class MeasureLesions(Step):
    """`PetCt` and `Lesions` → `Report`."""

    receives = (Port("images", PetCt), Port("lesions", Lesions))
    emits = Port("report", Report)

    def process(self, _: Job, study: PetCt, lesions: Lesions) -> Report:
        """Measure one study."""
        return measure(study, lesions)
