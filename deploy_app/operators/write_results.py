"""Write: DICOM objects, PDF, tables and results for machines, all together or none."""

from __future__ import annotations

from typing import Any

from holoscan.core import Fragment, OutputContext

from messages import Failure, Job
from operators.step import Port, Step
from petlesion.dicom.seg_type import SegType
from petlesion.lesions import Lesions
from petlesion.output import staged_results
from petlesion.pipeline import OutputOptions, write_results
from petlesion.report import Report
from petlesion.study import PetCt
from results import Outcome, failed_outcome, study_outcome, write_failure, write_machine_results
from settings import FILES, OutputName


class WriteResults(Step):
    """`PetCt`, `Lesions` and `Report` → files, and what became of each study in `outcomes`.

    Parameters
    ----------
    wanted
        Which results are kept.
    seg_type
        Kind of the segmentation object.
    outcomes
        Takes one entry a study, failed ones included.
    **step
        As for `Step`.
    """

    receives = (Port("images", PetCt), Port("lesions", Lesions), Port("report", Report))

    def __init__(
        self,
        fragment: Fragment,
        *args: Any,
        wanted: frozenset[OutputName],
        seg_type: SegType,
        outcomes: list[Outcome],
        **step: Any,
    ) -> None:
        self._wanted = wanted
        self._output = OutputOptions(seg_type, nifti=OutputName.NIFTI in wanted)
        self._outcomes = outcomes
        super().__init__(fragment, *args, **step)

    def process(self, job: Job, study: PetCt, lesions: Lesions, report: Report) -> Outcome:
        """Write the results of one study."""
        outcome = study_outcome(job, report)
        with staged_results(job.out) as staging:
            write_results(study, lesions, report, staging, self._output)
            for name in OutputName:
                if name not in self._wanted:
                    (staging / FILES[name]).unlink(missing_ok=True)
            write_machine_results(outcome, staging)
        return outcome

    def deliver(self, op_output: OutputContext, job: Job, result: Any) -> None:  # noqa: ARG002
        """Note what became of the study; of a failed one only the reason is written."""
        if isinstance(result, Failure):
            result = failed_outcome(job, result)
            write_failure(result, job.out, self.log)
        self._outcomes.append(result)
