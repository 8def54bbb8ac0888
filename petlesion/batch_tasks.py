"""One study of many: the task, its outcome, and what runs tasks: processes of this machine, or a Ray cluster."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petlesion import __version__
from petlesion.child_processes import threads_of_children, worker_pool
from petlesion.errors import ExitCode, PetlesionError, UsageError
from petlesion.segment.options import SegmentOptions

if TYPE_CHECKING:
    from petlesion.pipeline import OutputOptions
    from petlesion.report import Report
    from petlesion.tracers import TracerName


@dataclass(frozen=True)
class BatchOptions:
    """How to process studies.

    Attributes
    ----------
    segment
        Method and its parameters; nothing that belongs to one study (point, organs).
    output
        What to write.
    tracer
        Where headers are silent or wrong, of all studies.
    jobs
        Processes on this machine.
    ray
        Address of a Ray cluster ("auto", "ray://host:10001"); "local" starts one of `jobs` processes; None: no Ray.
    """

    segment: SegmentOptions
    output: OutputOptions
    tracer: TracerName | None = None
    jobs: int = 1
    ray: str | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UsageError(f"number of processes is {self.jobs}", remedy="give 1 or more with --jobs")

    def identity(self) -> dict[str, Any]:
        """What decides about results; as JSON."""
        segment = asdict(self.segment)
        if self.segment.model_sha256 is not None:
            del segment["models"]  # wherever it lies, the same model gives the same results
        return json.loads(  # type: ignore[no-any-return]
            json.dumps(
                {
                    "version": __version__,
                    "segment": segment,
                    "output": asdict(self.output),
                    "tracer": self.tracer,
                },
                default=str,
            )
        )


@dataclass(frozen=True)
class Task:
    """A study and where its results go."""

    study: Path
    out: Path
    options: BatchOptions


@dataclass(frozen=True)
class StudyOutcome:
    """A line of the summary.

    Attributes
    ----------
    study
        Name of its folder.
    exit_code
        As `petlesion segment` would end with.
    message
        What went wrong; it may quote headers.
    n_lesions, ttv_ml, tlu, suv_max
        Totals; None of a study that failed, `suv_max` also where there is no lesion.
    review
        What the lesions are: candidates, or filtered.
    warnings
        How many there are in `report.json`.
    seconds
        Time it took; None where the results of an earlier run stand.
    input_sha256
        Of the names, sizes and times of the files that it was made from.
    """

    study: str
    exit_code: int
    message: str = ""
    n_lesions: int | None = None
    ttv_ml: float | None = None
    tlu: float | None = None
    suv_max: float | None = None
    review: str = ""
    warnings: int | None = None
    seconds: float | None = None
    input_sha256: str = ""


def process_study(task: Task) -> StudyOutcome:
    """Process one study; every error becomes part of the outcome."""
    from petlesion.pipeline import segment_to_folder
    from petlesion.reader import read_study

    started, files = time.monotonic(), input_sha256(task.study)
    options = task.options
    try:
        study = read_study(task.study, tracer=options.tracer)
        report = segment_to_folder(study, options.segment, task.out, options.output)
    except PetlesionError as error:
        return StudyOutcome(task.study.name, int(error.exit_code), str(error), seconds=_since(started))
    except Exception as error:  # noqa: BLE001 - one study must not end the others
        message = f"unexpected {type(error).__name__}: {' '.join(str(error).split())}"
        return StudyOutcome(task.study.name, int(ExitCode.SEGMENTATION), message, seconds=_since(started))
    return replace(outcome_of(task.study.name, report), seconds=_since(started), input_sha256=files)


def input_sha256(study: Path) -> str:
    """Identity of a study's files without reading them: their names, sizes and times of change."""
    digest = hashlib.sha256()
    paths: list[Path] = []
    with contextlib.suppress(OSError):  # as below
        paths = sorted(study.rglob("*"))
    for path in paths:
        with contextlib.suppress(OSError):  # gone meanwhile, or not to be looked at: reading will say so
            if not path.is_file():
                continue
            about = path.stat()
            digest.update(
                f"{path.relative_to(study)}\0{about.st_size}\0{about.st_mtime_ns}\0".encode(errors="surrogateescape")
            )
    return digest.hexdigest()


def run_in_processes(tasks: Sequence[Task], jobs: int) -> Iterator[StudyOutcome]:
    """Run tasks in processes that stay, each looked after by a thread: one that crashes takes nothing along.

    A pool of several processes would not do: when one of them is killed, all studies of the pool are lost.
    """
    jobs = min(jobs, len(tasks))
    idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    workers = [_Worker() for _ in range(jobs)]
    for worker in workers:
        idle.put(worker)

    def run(task: Task) -> StudyOutcome:
        worker = idle.get()
        try:
            return worker.run(task)
        finally:
            idle.put(worker)

    with threads_of_children(max(1, len(os.sched_getaffinity(0)) // jobs)):
        threads = ThreadPoolExecutor(jobs)
        try:
            for future in as_completed([threads.submit(run, task) for task in tasks]):
                yield future.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.close()
            threads.shutdown(wait=True)


class _Worker:
    """A process that takes one study after another; a new one takes its place where a study ends it."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def run(self, task: Task) -> StudyOutcome:
        if self._pool is None:
            self._pool = worker_pool(1, _quiet)
        try:
            return self._pool.submit(process_study, task).result()
        except BrokenProcessPool:
            self.close()
            return _lost(task)

    def close(self) -> None:
        """End the process after what it does at present."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def run_on_ray(tasks: Sequence[Task], options: BatchOptions) -> Iterator[StudyOutcome]:
    """Run tasks on a cluster, all nodes of which see the same folders."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "ray is not installed", remedy="pip install ray, or leave out --ray and use --jobs on this machine"
        ) from error
    local = options.ray == "local"
    try:
        ray.init(
            address="local" if local else options.ray,
            num_cpus=options.jobs if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            configure_logging=False,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"no Ray cluster at {options.ray} ({' '.join(str(error).split())[:200]})",
            remedy="start one with ray start --head, and give its address",
        ) from error
    try:
        remote: Callable[[Task], Any] = ray.remote(max_retries=0)(process_study).remote
        waiting = {remote(task): task for task in tasks}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            task = waiting.pop(ready[0])
            try:
                yield ray.get(ready[0])
            except ray.exceptions.RayError:
                yield _lost(task)
    finally:
        ray.shutdown()


def _quiet() -> None:
    from petlesion.console import quiet_libraries

    quiet_libraries()


def _lost(task: Task) -> StudyOutcome:
    message = "the process ended in the middle, usually for want of memory; take fewer --jobs"
    return StudyOutcome(task.study.name, int(ExitCode.SEGMENTATION), message)


def outcome_of(name: str, report: Report) -> StudyOutcome:
    """Outcome of a study that has results."""
    totals = report.totals
    return StudyOutcome(
        name,
        int(ExitCode.DONE),
        n_lesions=totals.n_lesions,
        ttv_ml=totals.ttv_ml,
        tlu=totals.tlu,
        suv_max=totals.suv_max,
        review=str(report.review),
        warnings=len(report.warnings) + len(report.suv.warnings),
    )


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
