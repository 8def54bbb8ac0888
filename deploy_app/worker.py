"""The process that runs the graph; `python deploy_app` starts it and looks after it (`supervisor.py`).

It also runs alone: `python deploy_app/worker.py -i IN -o OUT -m MODELS`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from logs import Log, take_stdout
from paths import Paths, parse_paths
from petlesion.errors import OutputError, SegmentationError, UsageError, reason
from preflight import load_cuda_runtime
from results import Outcome, error_outcome, place_machine_results, run_outcome, write_failure
from settings import Settings, load_settings


def main() -> int:
    """Process all studies of the input; return the exit code."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))  # which the supervisor waits for
    try:
        settings, paths = load_settings(), parse_paths(sys.argv[1:])
    except UsageError as error:
        Log(sys.stdout).error("run failed", error, error.exit_code)
        return error.exit_code
    log = Log(take_stdout(debug=settings.debug))
    try:
        outcome = run_graph(paths, settings, log)
    except Exception as error:  # noqa: BLE001 - the last line of defence: every error becomes a code
        outcome = error_outcome(error)
        log.error("run failed", error, outcome.exit_code)
        write_failure(outcome, paths.output, log)
    return outcome.exit_code


def run_graph(paths: Paths, settings: Settings, log: Log) -> Outcome:
    """Run the graph over all studies.

    Raises
    ------
    ModelError
        If the model is missing or altered.
    SegmentationError
        If the graph cannot run on this machine, or ends early.
    OutputError
        If the list of several studies cannot be written.
    """
    import logging
    import warnings

    # Libraries quote headers in their remarks; what matters of them is in the report.
    if not settings.debug:
        warnings.simplefilter("ignore")
        logging.disable()
    started = time.monotonic()
    options = settings.segment_options(paths.models)
    load_cuda_runtime()
    from app import LesionApp

    outcomes: list[Outcome] = []
    app = LesionApp(paths, settings, options, log, outcomes)
    log("graph starts", method=str(options.method), seconds_to_import=round(time.monotonic() - started, 3))
    app.run()
    if not outcomes:
        raise SegmentationError("the graph ended without a result", remedy="run again with PETLESION_DEBUG=true")
    outcome = run_outcome(outcomes)
    if len(outcomes) > 1:
        _write_list(outcome, paths.output)
    return outcome


def _write_list(outcome: Outcome, folder: Path) -> None:
    try:
        place_machine_results(outcome, folder)
    except OSError as error:
        raise OutputError(
            f"the list of studies cannot be written ({reason(error)})",
            where=folder,
            remedy="give a folder with -o that is writable and has space; the studies' own results are complete",
        ) from error


if __name__ == "__main__":
    # All is written and closed, and holoscan would take another second to end its threads.
    os._exit(main())
