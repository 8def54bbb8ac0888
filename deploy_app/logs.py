"""Logs as JSON lines that hold no patient identifier.

Nothing from a header, a file name or a library gets in: an event has a fixed name, and its fields are numbers and names
from this code. What went wrong with a study is said in full in its `metadata.json`, which is as confidential as the
images; the log says which kind of error it was. Written by hand, because formatters for the `logging` package pass on
the messages of all libraries, and pydicom quotes values of headers in its warnings.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

from petlesion.errors import ExitCode, ModelError, OutputError, PetlesionError, SegmentationError, UsageError

Field = str | int | float | bool | None
"""What a field of a line may be."""

_SUMMARY: Final[dict[ExitCode, str]] = {
    ExitCode.NO_DICOM: "no DICOM file in the input",
    ExitCode.NO_PET: "no usable PET series",
    ExitCode.NO_CT: "the method needs a CT, and none matches the PET",
    ExitCode.NO_SUV: "SUV cannot be computed from the header",
    ExitCode.GEOMETRY: "the PET is no complete static volume",
    ExitCode.SEGMENTATION: "segmentation failed",
}


class EndedEarlyError(SegmentationError):
    """The process that runs the graph was killed, or took too long: known from outside, without a look at headers."""


_ABOUT_THE_RUN = (UsageError, ModelError, OutputError, EndedEarlyError)
"""Errors whose message holds options and folders of the run, and nothing of a header."""


class Log:
    """Writes one JSON object a line, whole lines at a time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: str, level: str = "info", **fields: Field) -> None:
        """Write a line.

        Parameters
        ----------
        event
            What happened, always in the same words.
        level
            `info` or `error`.
        **fields
            More about it. Never text from the input.
        """
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"time": time, "level": level, "event": event, **fields})
        with self._lock:
            self._stream.write(line + "\n")
            self._stream.flush()

    def error(self, event: str, error: Exception, code: ExitCode, **fields: Field) -> None:
        """Write what kind of error it was, and for one that nobody foresaw, where in the code."""
        self(
            event,
            "error",
            exit_code=int(code),
            error=type(error).__name__,
            message=safe_summary(error, code),
            **fields,
            **({} if isinstance(error, PetlesionError) else {"raised_at": _raised_at(error)}),
        )


def safe_summary(error: Exception, code: ExitCode) -> str:
    """What may be said of an error in logs and notifications: nothing that could come from a header or a file name."""
    if isinstance(error, _ABOUT_THE_RUN):
        return f"{error.what}; {error.remedy}"
    return _SUMMARY[code]


def take_stdout(*, debug: bool) -> TextIO:
    """Keep stdout for JSON lines, whatever libraries print, from C++ too.

    Parameters
    ----------
    debug
        Whether to pass on on stderr what libraries print; otherwise it is dropped.

    Returns
    -------
    TextIO
        What was stdout before.
    """
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.stdout.flush()
    if debug:
        os.dup2(2, 1)
    else:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)
    return stream


def _raised_at(error: Exception) -> str:
    """File and line, innermost last; no values."""
    places = []
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        places.append(f"{Path(code.co_filename).name}:{traceback.tb_lineno}")
        traceback = traceback.tb_next
    return " > ".join(places[-4:])
