"""Load: index the input folder, and send its studies one after another."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from holoscan.conditions import BooleanCondition
from holoscan.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from logs import Log
from messages import Failure, Job, Message, study_jobs
from petlesion.dicom.scan import DicomIndex, scan


class LoadStudies(Operator):  # type: ignore[misc] # holoscan has no type information
    """Source of the graph; emits on `study` the index of one study a tick (`DicomIndex`).

    Parameters
    ----------
    fragment
        The application.
    folder
        Input: DICOM files, nested and mixed.
    out
        Folder of the results.
    log, name
        As for `Step`.
    """

    def __init__(self, fragment: Fragment, *args: Any, folder: Path, out: Path, log: Log, name: str) -> None:
        self._folder = folder
        self._out = out
        self._log = log
        self._step = name
        self._pending: list[Message[DicomIndex]] | None = None
        self._more = BooleanCondition(fragment, name="more studies", enable_tick=True)
        super().__init__(fragment, self._more, *args, name=name)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the port."""
        spec.output("study")

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:  # noqa: ARG002
        """Emit the next study; called by holoscan until none is left."""
        if self._pending is None:
            self._pending = self._load()
        op_output.emit(self._pending.pop(0), "study")
        if not self._pending:
            self._more.disable_tick()

    def _load(self) -> list[Message[DicomIndex]]:
        started = time.monotonic()
        try:
            index = scan(self._folder)
        except Exception as error:  # noqa: BLE001 - the last line of defence: every error becomes a code
            failure = Failure(error, self._step)
            self._log.error("operator failed", error, failure.exit_code, operator=self._step)
            return [Message(Job(1, 1, None, self._out), failure)]
        jobs = study_jobs(index.study_uids, self._out)
        self._log(
            "operator done",
            operator=self._step,
            studies=len(index.study_uids),
            images=sum(len(series.instances) for series in index.series),
            other_files=len(index.skipped),
            seconds=round(time.monotonic() - started, 3),
        )
        return [Message(job, _only(index, job.study_uid)) for job in jobs]


def _only(index: DicomIndex, study_uid: str | None) -> DicomIndex:
    """The index without the series of other studies; all of it where there is no study with a PET."""
    if study_uid is None:
        return index
    return replace(index, series=tuple(series for series in index.series if series.study_uid == study_uid))
