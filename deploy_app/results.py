"""`metadata.json` and `result.json`: what became of a study or a run, for programs that route and notify."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from logs import Log, safe_summary
from messages import Failure, Job, exit_code_of
from petlesion.errors import ExitCode, OutputError
from petlesion.output import REPORT, RESULT_NAMES, STAGING_PREFIX
from petlesion.report import Report

METADATA: Final = "metadata.json"
"""Read by the MONAI Deploy Workflow Manager for its conditions."""
RESULT: Final = "result.json"
"""Read and archived by mercure; it writes the content to its own log, so that no identifier may stand in it."""


class EarlierResultsError(OutputError):
    """The output folder holds results, and their list: nothing is written there, not even that this run failed."""


@dataclass(frozen=True)
class Outcome:
    """What became of one study, or of a run.

    Attributes
    ----------
    exit_code
        `DONE`, or the code of the error.
    summary
        One line for people who are notified; no identifier in it.
    values
        The rest of `metadata.json`.
    folder
        Of the results, relative to that of the run.
    """

    exit_code: ExitCode
    summary: str
    values: dict[str, Any]
    folder: str = "."

    @property
    def status(self) -> str:
        """`done` or `failed`."""
        return "done" if self.exit_code == ExitCode.DONE else "failed"


def study_outcome(job: Job, report: Report) -> Outcome:
    """Outcome of a study that was measured."""
    totals = report.totals
    values = {
        "n_lesions": totals.n_lesions,
        "total_tumor_volume_ml": totals.ttv_ml,
        "total_lesion_uptake_g": totals.tlu,
        "suv_max": totals.suv_max,
        "suv_mean": totals.suv_mean,
        "suv_peak": totals.suv_peak,
        "review": str(report.review),
        "tracer": report.study.tracer,
        "ct_used": report.study.ct_series_instance_uid is not None,
        "method": report.method.name,
        "method_version": report.method.version,
        "weights_sha256": report.method.weights_sha256,
        "n_warnings": len(report.warnings) + len(report.suv.warnings),
    }
    summary = f"{totals.n_lesions} lesions ({report.review}), total volume {totals.ttv_ml:.1f} mL"
    return Outcome(ExitCode.DONE, summary, values, job.out.name if job.count > 1 else ".")


def failed_outcome(job: Job, failure: Failure) -> Outcome:
    """Outcome of a study without results."""
    return error_outcome(failure.error, job.out.name if job.count > 1 else ".")


def error_outcome(error: Exception, folder: str = ".") -> Outcome:
    """Outcome of a study or a run that an error ended."""
    code = exit_code_of(error)
    values = {"exception": type(error).__name__, "exception_message": " ".join(str(error).split())}
    return Outcome(code, safe_summary(error, code), values, folder)


def run_outcome(outcomes: Sequence[Outcome]) -> Outcome:
    """Outcome of a run: that of its only study, else a list; its code is that of the first study that failed."""
    if len(outcomes) == 1:
        return outcomes[0]
    failed = [outcome for outcome in outcomes if outcome.exit_code != ExitCode.DONE]
    lesions = sum(outcome.values.get("n_lesions", 0) for outcome in outcomes)
    values: dict[str, Any] = {"n_studies": len(outcomes), "n_failed": len(failed), "n_lesions": lesions}
    if failed:
        values |= {name: failed[0].values[name] for name in ("exception", "exception_message")}
    values["studies"] = [_metadata(outcome) | {"folder": outcome.folder} for outcome in outcomes]
    summary = f"{len(outcomes) - len(failed)} of {len(outcomes)} studies processed"
    return Outcome(failed[0].exit_code if failed else ExitCode.DONE, summary, values)


def write_machine_results(outcome: Outcome, folder: Path) -> None:
    """Write `metadata.json` and `result.json` into an existing folder."""
    result = {
        "status": outcome.status,
        "exit_code": int(outcome.exit_code),
        **{name: value for name, value in outcome.values.items() if name not in ("exception_message", "studies")},
        "__mercure_notification": {
            "text": f"petlesion: {outcome.summary}",
            "requested": outcome.exit_code != ExitCode.DONE or bool(outcome.values.get("n_lesions")),
        },
    }
    _write_json(_metadata(outcome), folder / METADATA)
    _write_json(result, folder / RESULT)


def write_failure(outcome: Outcome, folder: Path, log: Log) -> None:
    """Say in `folder` why there are no results; leave alone results that an earlier run wrote there.

    Where nothing can be written, the log and the exit code still tell.
    """
    try:
        if not holds_results(folder):
            place_machine_results(outcome, folder)
    except OSError as error:
        log("outcome not written", "error", reason=error.strerror or type(error).__name__)


def place_machine_results(outcome: Outcome, folder: Path) -> None:
    """Write `metadata.json` and `result.json`, each of which appears as a whole."""
    folder.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder))
    try:
        write_machine_results(outcome, staging)
        for name in (METADATA, RESULT):
            (staging / name).replace(folder / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def check_output(out: Path) -> None:
    """Make sure, before anything is computed, that a run can write, and starts without results.

    What an earlier run that was killed left unfinished is removed first. What this one leaves so can be removed, too.

    Raises
    ------
    OutputError
        If `out` cannot be read and written.
    EarlierResultsError
        If `out` or a sub-folder holds results.
    """
    try:
        usable = not out.exists() or (out.is_dir() and os.access(out, os.R_OK | os.W_OK | os.X_OK))
    except OSError:  # a folder above it may not be entered, as a rule
        usable = False
    if not usable:
        raise OutputError(
            "output is no folder that can be read and written",
            where=out,
            remedy="give another folder with -o, or let the user of this process write it",
        )
    remove_unfinished(out, but_reported=True)
    if any(holds_results(folder) for folder in _folders(out)):
        raise EarlierResultsError(
            "results of an earlier run are there already", where=out, remedy="give an empty output folder"
        )


def holds_results(folder: Path) -> bool:
    """Whether results were written here."""
    return any((folder / name).exists() for name in RESULT_NAMES)


def remove_unfinished(out: Path, *, but_reported: bool = False) -> None:
    """Remove what a process that was killed had begun to write.

    Results are moved from a staging folder to where they belong, one after the other: where a staging folder is left
    over, those beside it are not complete.

    Parameters
    ----------
    out
        Folder of the run.
    but_reported
        Leave alone what lies beside a report, which is moved last: it may be complete, and of another run, which the
        one that was killed was to replace.
    """
    for folder in _folders(out):
        staging = list(folder.glob(f"{STAGING_PREFIX}*"))
        if not staging or (but_reported and (folder / REPORT).exists()):
            continue
        for name in (*RESULT_NAMES, METADATA, RESULT):
            (folder / name).unlink(missing_ok=True)
        for left_over in staging:
            shutil.rmtree(left_over, ignore_errors=True)
        if folder != out and not any(folder.iterdir()):
            folder.rmdir()


def _folders(out: Path) -> Iterator[Path]:
    """The folder of the run, and those of its studies; not what is another user's, such as `lost+found` of a volume."""
    if not out.is_dir():
        return
    yield out
    for entry in sorted(os.scandir(out), key=lambda entry: entry.name):
        own = entry.is_dir(follow_symlinks=False) and not entry.name.startswith(STAGING_PREFIX)
        if own and os.access(entry.path, os.R_OK | os.X_OK):
            yield Path(entry.path)


def _metadata(outcome: Outcome) -> dict[str, Any]:
    return {"status": outcome.status, "exit_code": int(outcome.exit_code), **outcome.values}


def _write_json(document: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
