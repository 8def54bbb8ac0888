"""Many studies: each on its own, into a folder of its own, by several processes or on a Ray cluster.

    <out>/batch.json      options; a second run with others is refused, so that no summary mixes methods
    <out>/<study>/        results, as `petlesion segment` writes them; complete or absent
    <out>/summary.csv     one line a study: exit code, totals, or why there are none
    <out>/summary.json    the same

A run that was stopped goes on with what is missing; studies that failed, and those whose files have changed since, are
done again. Ray is used as it is and not
wrapped: `ray.remote` of the function that a local process runs as well.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Final

from petlesion.batch_tasks import (
    BatchOptions,
    StudyOutcome,
    Task,
    input_sha256,
    outcome_of,
    run_in_processes,
    run_on_ray,
)
from petlesion.durable import write_durably
from petlesion.errors import ExitCode, ModelError, OutputError, PetlesionError, UsageError, reason, why_no_folder
from petlesion.output import REPORT
from petlesion.progress import Progress, silent
from petlesion.segment.options import MethodName

OPTIONS, SUMMARY_CSV, SUMMARY_JSON = "batch.json", "summary.csv", "summary.json"
_WRITE_EVERY_S: Final = 10.0
"""Between two versions of the summary: a long one is not written again after every study."""


@dataclass(frozen=True)
class BatchResult:
    """What became of all studies.

    Attributes
    ----------
    outcomes
        In the order of the names.
    kept
        How many were done by an earlier run.
    """

    outcomes: tuple[StudyOutcome, ...]
    kept: int = 0
    failed: tuple[StudyOutcome, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failed", tuple(each for each in self.outcomes if each.exit_code != ExitCode.DONE))

    @property
    def exit_code(self) -> int:
        """0, or the code of the first study that failed."""
        return self.failed[0].exit_code if self.failed else ExitCode.DONE


def process_batch(studies: Path, out: Path, options: BatchOptions, progress: Progress = silent) -> BatchResult:
    """Process every sub-folder of `studies` as a study.

    Parameters
    ----------
    studies
        Folder with a folder a study, as `read_study` takes it.
    out
        Folder of the results.
    options
        How.
    progress
        Told how many studies are done.

    Raises
    ------
    UsageError
        If there is no study, `out` holds results of other options, or Ray is not installed or cannot be reached.
    ModelError
        If the model is missing or altered.
    OutputError
        If the summary cannot be written.
    """
    options = _with_identified_model(options)
    studies, out = studies.resolve(), out.resolve()  # workers of a cluster run in other folders
    folders = _study_folders(studies, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        _same_options(out / OPTIONS, options)
        earlier = _earlier_inputs(out / SUMMARY_JSON)
        done = {folder.name: _kept(folder, out / folder.name, earlier) for folder in folders}
        outcomes = {name: outcome for name, outcome in done.items() if outcome is not None}
        kept = len(outcomes)
        anew = replace(options, output=replace(options.output, overwrite=True))
        tasks = [Task(folder, out / folder.name, anew) for folder in folders if folder.name not in outcomes]
        written = time.monotonic()
        progress(kept, len(folders))
        try:
            for outcome in _run(tasks, options):
                outcomes[outcome.study] = outcome
                progress(len(outcomes), len(folders))
                if time.monotonic() - written > _WRITE_EVERY_S:
                    _write_summary(out, outcomes)
                    written = time.monotonic()
        finally:
            _write_summary(out, outcomes)
    except OSError as error:
        raise OutputError(
            f"results cannot be written ({reason(error)})", where=out, remedy="give a writable folder with -o"
        ) from error
    return BatchResult(tuple(outcomes[name] for name in sorted(outcomes)), kept)


def frequent_warnings(out: Path, result: BatchResult) -> list[tuple[str, int]]:
    """Warnings in the reports of a batch and how many studies have each, the most frequent first.

    Parameters
    ----------
    out
        Folder of the results.
    result
        Of `process_batch`; studies that failed have no report.
    """
    from petlesion.report import Report

    counts: Counter[str] = Counter()
    for outcome in result.outcomes:
        if outcome.exit_code == ExitCode.DONE:
            report = Report.from_json((out / outcome.study / REPORT).read_text(encoding="utf-8"))
            counts.update({*report.warnings, *report.suv.warnings})
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _run(tasks: Sequence[Task], options: BatchOptions) -> Iterator[StudyOutcome]:
    if not tasks:
        return
    yield from run_on_ray(tasks, options) if options.ray else run_in_processes(tasks, options.jobs)


def _study_folders(studies: Path, out: Path) -> list[Path]:
    if why := why_no_folder(studies):
        raise UsageError(f"{studies} {why}", remedy="give a folder with a folder a study")
    if out.resolve().is_relative_to(studies.resolve()):
        raise UsageError("the results lie among the studies", where=out, remedy="give a folder elsewhere with -o")
    try:
        folders = [path for path in studies.iterdir() if _may_be_study(path) and not path.name.startswith(".")]
    except OSError as error:
        raise UsageError(
            f"{studies} cannot be listed ({reason(error)})", remedy="let the user of this process read it"
        ) from error
    if not folders:
        raise UsageError(
            f"{studies} holds no folder", remedy="give a folder with a folder a study; for one study: petlesion segment"
        )
    return sorted(folders)


def _may_be_study(path: Path) -> bool:
    """Whether a path is a folder, or cannot be looked at: then its line of the summary says so."""
    try:
        return path.is_dir()
    except OSError:
        return True


def _with_identified_model(options: BatchOptions) -> BatchOptions:
    """Fix the model of a network by its hash: all studies get the same, and each process loads it once."""
    segment = options.segment
    if segment.method not in (MethodName.UNET, MethodName.NNUNET) or segment.model_sha256 is not None:
        return options
    from petlesion.networks.installed import installed_model
    from petlesion.networks.model_folder import model_identity
    from petlesion.networks.nnunet_folder import nnunet_identity

    model = segment.models[0] if segment.models else installed_model(segment.method)
    if model is None:
        raise ModelError("no model is installed", remedy="name a model folder with --model")
    sha256 = nnunet_identity(model) if segment.method is MethodName.NNUNET else model_identity(model)
    return replace(options, segment=replace(segment, models=(model.resolve(),), model_sha256=sha256))


def _same_options(path: Path, options: BatchOptions) -> None:
    identity = options.identity()
    if not path.exists():
        write_durably(path, (json.dumps(identity, indent=2) + "\n").encode())
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(
            "options of the earlier run cannot be read", where=path, remedy="give another folder"
        ) from error
    if found != identity:
        raise UsageError(
            "results of other options, or of another version, are there",
            where=path.parent,
            remedy="give another folder",
        )


def _kept(study: Path, results: Path, earlier: Mapping[str, str]) -> StudyOutcome | None:
    """Outcome of an earlier run; None where there are no results, or none of the study's files as they are now."""
    from petlesion.report import Report

    path = results / REPORT
    if not path.is_file():
        return None
    try:
        outcome = outcome_of(study.name, Report.from_json(path.read_text(encoding="utf-8")))
    except (ValueError, PetlesionError) as error:
        message = f"report.json of an earlier run cannot be read ({type(error).__name__}); remove {results}"
        return StudyOutcome(study.name, int(ExitCode.OUTPUT), message)
    files = input_sha256(study)
    return replace(outcome, input_sha256=files) if earlier.get(study.name) == files else None


def _earlier_inputs(path: Path) -> dict[str, str]:
    """Study → identity of its files, as the summary of an earlier run has it."""
    try:
        return {row["study"]: row["input_sha256"] for row in json.loads(path.read_text(encoding="utf-8"))}
    except (OSError, ValueError, KeyError, TypeError):  # none, or one that was damaged: everything is done again
        return {}


def _write_summary(out: Path, outcomes: dict[str, StudyOutcome]) -> None:
    rows = [asdict(outcomes[name]) for name in sorted(outcomes)]
    table = io.StringIO()
    writer = csv.DictWriter(table, [each.name for each in fields(StudyOutcome)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_durably(out / SUMMARY_CSV, table.getvalue().encode())
    write_durably(out / SUMMARY_JSON, (json.dumps(rows, indent=1, allow_nan=False) + "\n").encode())
