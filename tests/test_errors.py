"""Errors travel between the processes of the simulation."""

from __future__ import annotations

import pickle

from petlesion.errors import ExitCode, OutputError


def test_errors_survive_pickling() -> None:
    error = OutputError("no space left", where="/data", remedy="free some")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is OutputError
    assert str(again) == str(error)
    assert again.exit_code is ExitCode.OUTPUT
