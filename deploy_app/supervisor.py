"""Runs the graph in a process of its own and looks after it.

The scheduler of holoscan keeps the main thread in C++, where Python handles no signal, and a decoder that crashes on a
damaged file takes its process with it. So this process does nothing but wait: for the end of the other one, for
SIGTERM, or for the time to run out; and it removes what a process that ended in the middle has left unfinished.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Final

import petlesion
from logs import EndedEarlyError, Log
from paths import Paths
from petlesion.child_processes import ending_with
from petlesion.errors import ExitCode, PetlesionError, UsageError, why_no_folder
from preflight import process_environment, scratch_folder
from results import EarlierResultsError, check_output, error_outcome, remove_unfinished, write_failure
from settings import Settings

WORKER: Final = Path(__file__).with_name("worker.py")
_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})
"""Blocked, and waited for: a handler could strike while the process is being started."""


class Stopped(Exception):  # noqa: N818 - no error
    """A signal asks for the end."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number


def supervise(paths: Paths, settings: Settings, log: Log) -> int:
    """Process the input and return the exit code.

    Parameters
    ----------
    paths
        Input and output folder.
    settings
        Checked options.
    log
        Told of the beginning and the end.

    Returns
    -------
    int
        One of `ExitCode`, or 128 plus the number of the signal that ended the run.
    """
    started = time.monotonic()
    log(
        "run starts",
        version=petlesion.__version__,
        method=str(settings.method or "default"),
        python=sys.version.split()[0],
    )
    code = _supervised(paths, settings, log)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    log(
        "run ends",
        "info" if code == ExitCode.DONE else "error",
        exit_code=code,
        seconds=round(time.monotonic() - started, 3),
        peak_memory_mb=round(peak / 1024),
    )
    return code


def _supervised(paths: Paths, settings: Settings, log: Log) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        _check_input(paths.input)
        check_output(paths.output)
        with scratch_folder() as scratch:
            environment = process_environment(os.environ, settings.threads, Path(scratch))
            return _run_worker(paths, settings, environment)
    except Stopped as stop:
        log("stopped by a signal", "error", signal=signal.Signals(stop.signal_number).name)
        return 128 + stop.signal_number
    except PetlesionError as error:
        log.error("run failed", error, error.exit_code)
        if not isinstance(error, EarlierResultsError):
            write_failure(error_outcome(error), paths.output, log)
        return error.exit_code


def _run_worker(paths: Paths, settings: Settings, environment: dict[str, str]) -> int:
    """Start the other process and wait for it; whatever happens, it has ended and left nothing half-written.

    Raises
    ------
    Stopped
        If a signal came.
    EndedEarlyError
        If it took too long, or was killed.
    """
    # A session of its own: the terminal's interrupt goes to this process only, and all of its children can be ended.
    worker = subprocess.Popen(
        [sys.executable, str(WORKER), *paths.arguments()],
        env=environment,
        start_new_session=True,
        preexec_fn=ending_with(os.getpid(), signal.SIGKILL),
    )
    code = None
    try:
        code = _wait(worker, settings.timeout)
    finally:
        if code not in set(ExitCode):
            _end(worker)
            remove_unfinished(paths.output)
    if code not in set(ExitCode):
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        raise EndedEarlyError(
            f"the process {how}",
            remedy="give it more memory if it was SIGKILL; otherwise run the study again with PETLESION_DEBUG=true",
        )
    return code


def _wait(worker: subprocess.Popen[bytes], timeout_s: float) -> int:
    """Exit code of a process, negative where a signal ended it."""
    deadline = time.monotonic() + (timeout_s or math.inf)
    while True:
        left_s = min(max(deadline - time.monotonic(), 0.0), threading.TIMEOUT_MAX)
        received = signal.sigtimedwait(_SIGNALS, left_s)
        code = worker.poll()
        if code is not None:
            return code
        if received is None:
            raise EndedEarlyError(
                f"not finished after {timeout_s:g} s", remedy="raise PETLESION_TIMEOUT, or give more CPU threads"
            )
        if received.si_signo != signal.SIGCHLD:
            raise Stopped(received.si_signo)


def _end(worker: subprocess.Popen[bytes]) -> None:
    """End a process and its children at once; results appear only when complete, so that nothing is lost."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _check_input(folder: Path) -> None:
    if why := why_no_folder(folder):
        raise UsageError(
            f"input {why}", where=folder, remedy="give a folder of DICOM files with -i, or HOLOSCAN_INPUT_PATH"
        )
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UsageError("input cannot be read", where=folder, remedy="let the user of this process read it")
