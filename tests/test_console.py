from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from petlesion import console

LONG_JOB = """
from petlesion.console import display
with display() as progress:
    progress.step("count")
    for n in range(3):
        progress.count(n + 1, 3, 600.0)
print("result")
"""


def test_a_log_gets_a_line_at_intervals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with console.display() as progress:
        progress.step("train")
        for step in range(1, 101):
            now += 1.0
            progress.count(step, 100)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [
        "train: 30 of 100 70 s left",
        "train: 60 of 100 40 s left",
        "train: 90 of 100 10 s left",
    ]
    assert captured.out == ""


def test_a_terminal_gets_a_bar_with_the_time_left() -> None:
    leader, follower = pty.openpty()
    process = subprocess.run(
        [sys.executable, "-c", LONG_JOB],
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        check=True,
    )
    os.close(follower)
    seen = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert process.stdout == b"result\n"
    assert "count" in seen
    assert "3/3" in seen


def test_rows_of_tables_are_folded_for_a_terminal_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    remark = "a remark that is much longer than forty characters are"
    console.print_table([("folder", remark)], ["a note"])
    console.print_rows(("version", "remark"), [("v0001", remark)])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [f"folder  {remark}", "- a note", "version  remark", f"v0001    {remark}"]
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.print_rows(("version", "remark"), [("v0001", remark)])
    assert len(capsys.readouterr().out.splitlines()) > 2
