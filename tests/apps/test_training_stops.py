from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import hashlib, sys
from pathlib import Path
from lib.retraining.stops import on_stop

def note():
    Path(sys.argv[1]).write_text("stopped")
    raise OSError("the disk is full")

on_stop(note)
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"a step of the training", b"that takes minutes", 10**9)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_process_that_is_told_to_end_says_so_at_once(number: signal.Signals, tmp_path: Path) -> None:
    app = Path(__file__).parents[2] / "apps" / "petlesion"
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path / "note")]
    with subprocess.Popen(command, cwd=app, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (tmp_path / "note").read_text() == "stopped"
