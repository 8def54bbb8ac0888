"""`petlesion serve` as a process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from annotation_server import REPOSITORY, free_port

READY_S = 450
"""Longest time until the command is ready."""


def heed_interrupts() -> None:
    """Shells start background jobs, as these tests may be part of, with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextlib.contextmanager
def serving(
    data: Path, *options: str, python: Path | str = sys.executable, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[psutil.Popen, dict[str, str]]]:
    """The command as a process, and what it printed by name once it is ready; by default that of the repository."""
    pytest.importorskip("monailabel", reason="the annotation server is not installed here")
    command = [str(python), "-m", "petlesion", "serve", "--data", str(data), "--port", str(free_port()), *options]
    process = psutil.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment or os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=data.parent,
        preexec_fn=heed_interrupts,
    )
    printed: list[str] = []
    too_late = threading.Timer(READY_S, process.kill)  # which ends the loop over its lines
    too_late.start()
    try:
        for line in process.stdout:
            printed.append(line.rstrip())
            if line.startswith("Stop with"):
                break
        too_late.cancel()
        assert any(line.startswith("Stop with") for line in printed), "\n".join(printed)
        rows = [line.split("  ", 1) for line in printed if "  " in line]
        yield process, {name: value.strip() for name, value in rows}
    finally:
        process.stdout.close()
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
        process.wait(30)
