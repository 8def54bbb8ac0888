"""What became of a damaged study: its exit code, and everything that must never be.

Each study is segmented by the command line in a process of its own, forked from one that has the libraries loaded: a
decoder that crashes on a damaged file ends that process and no other. Or by the deployed application.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydicom import dcmread

from petlesion.errors import ExitCode
from petlesion.output import RESULT_NAMES
from petlesion.report import Report

CODES: Final = frozenset(ExitCode)
_ALWAYS: Final = {"sr.dcm", "report.pdf", "report.json", "lesions.csv"}
_FOR_PLATFORMS: Final = {"metadata.json", "result.json"}
_APPLICATION: Final = Path(__file__).resolve().parents[2] / "deploy_app"
_RELATIVE: Final = 1e-3
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["petlesion.cli", "petlesion.pipeline", "petlesion.dicom.reader", "highdicom"])


@dataclass(frozen=True)
class Examined:
    """How the command ended.

    Attributes
    ----------
    code
        Exit code; negative where a signal ended the process, None where its time was over.
    seconds
        How long it took.
    said
        What it printed.
    problems
        What must never be; none when all is well.
    """

    code: int | None
    seconds: float
    said: str
    problems: tuple[str, ...]


def examine(study: Path, out: Path, expected: Report | None, limit_s: float, *, excusable: bool = False) -> Examined:
    """Segment a study and look at what became of it.

    Parameters
    ----------
    study
        Damaged study.
    out
        Folder of the results, which must not exist.
    expected
        Report of the study before it was damaged; None where its images are others now.
    limit_s
        Time after which the process is ended.
    excusable
        Whether a new remark on SUV excuses other numbers.
    """
    log = out.with_name(f"{out.name}.log")
    process = _PROCESSES.Process(target=_segment, args=(str(study), str(out), str(log)))
    started = time.monotonic()
    process.start()
    process.join(limit_s)
    seconds, code = time.monotonic() - started, process.exitcode
    if code is None:
        process.kill()
        process.join()
    said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return Examined(code, seconds, said.strip(), tuple(_problems(code, said, out, expected, excusable)))


def examine_application(
    study: Path, out: Path, expected: Report | None, limit_s: float, *, excusable: bool = False
) -> Examined:
    """Let the deployed application process a study and look at what became of it; parameters as of `examine`."""
    command = [sys.executable, str(_APPLICATION), "-i", str(study), "-o", str(out), "-m", str(out / "none")]
    environment = {**os.environ, "PETLESION_METHOD": "fixed"}
    started = time.monotonic()
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return Examined(None, time.monotonic() - started, "", tuple(_problems(None, "", out, expected, excusable)))
    seconds, said = time.monotonic() - started, done.stdout + done.stderr
    problems = [f"{done.stderr!r} on stderr"] if done.stderr else []
    problems += _problems_of_application(done.returncode, said, out, expected, excusable)
    return Examined(done.returncode, seconds, said.strip(), tuple(problems))


def _problems_of_application(code: int, said: str, out: Path, expected: Report | None, excusable: bool) -> list[str]:
    if code not in CODES:
        return [f"exit code {code} is not documented"]
    problems = [f"{word} in what it printed" for word in ("Traceback", "unexpected") if word in said]
    if not (out / "metadata.json").is_file():
        return [*problems, "no metadata.json"]
    # In sub-folders, where the damage made several studies of one.
    codes = {path.parent: json.loads(path.read_text())["exit_code"] for path in out.rglob("metadata.json")}
    if codes[out] != code:
        problems.append(f"exit code {code}, but {codes[out]} in metadata.json")
    for folder, its_code in codes.items():
        left = {path.name for path in folder.iterdir() if path.is_file()} - _FOR_PLATFORMS
        if its_code != ExitCode.DONE and left:
            problems.append(f"failed, but left {', '.join(sorted(left))}")
        elif its_code == ExitCode.DONE and (left or len(codes) == 1):
            problems += _wrong_results(folder, expected if len(codes) == 1 else None, excusable, _FOR_PLATFORMS)
    return problems


def _segment(study: str, out: str, log: str) -> None:
    from petlesion.cli import run

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = run(["segment", study, "-o", out, "--method", "fixed"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _problems(code: int | None, said: str, out: Path, expected: Report | None, excusable: bool) -> list[str]:
    if code is None:
        return ["not finished in time"]
    if code not in CODES:
        return [f"exit code {code} is not documented"]
    problems = [f"{word} in what it printed" for word in ("Traceback", "unexpected") if word in said]
    if code != ExitCode.DONE:
        if out.exists():
            problems.append(f"failed, but left {', '.join(path.name for path in out.iterdir()) or 'a folder'}")
        if len(said.strip().splitlines()) != 1:
            problems.append("not one line about the error")
        return problems
    return problems + _wrong_results(out, expected, excusable)


def _wrong_results(out: Path, expected: Report | None, excusable: bool, further: Set[str] = frozenset()) -> list[str]:
    names = {path.name for path in out.iterdir()} - further
    if not names >= _ALWAYS or not names <= set(RESULT_NAMES):
        return [f"results are {', '.join(sorted(names))}"]
    for name in names:
        if name.endswith(".dcm"):
            dcmread(out / name)
    report = Report.from_json((out / "report.json").read_text(encoding="utf-8"))
    if expected is None or _numbers_agree(report, expected):
        return []
    if excusable and set(report.suv.warnings) - set(expected.suv.warnings):
        return []
    return [f"other numbers than before, and no excuse: {_numbers(report)} instead of {_numbers(expected)}"]


def _numbers(report: Report) -> tuple[float, ...]:
    totals = report.totals
    return (float(totals.n_lesions), totals.ttv_ml, totals.tlu, totals.suv_max or 0.0)


def _numbers_agree(report: Report, expected: Report) -> bool:
    pairs = zip(_numbers(report), _numbers(expected), strict=True)
    return all(abs(value - wanted) <= _RELATIVE * max(1.0, abs(wanted)) for value, wanted in pairs)
