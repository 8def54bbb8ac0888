"""When the server starts a training by itself: one at a time, and after one that failed not before a pause."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from lib.datastore.backoff import Backoff

START_S = 60.0
"""Time after which a training that was submitted and does not run could not be started; MONAI Label does not say so."""
_KEY = "training"


class TrainingStarts:
    """Starts trainings that are due.

    Parameters
    ----------
    due
        Request for the training that is due; None where none is.
    start
        Starts it and returns MONAI Label's record of it, whose `status` changes as it goes on; None where it did not.
    clock
        Seconds since some moment.
    """

    def __init__(
        self,
        due: Callable[[], Mapping[str, Any] | None],
        start: Callable[[Mapping[str, Any]], Mapping[str, Any] | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._due, self._start = due, start
        self._clock = clock
        self._later = Backoff(clock)
        self._started = 0.0
        self._task: Mapping[str, Any] | None = None
        self._lock = threading.Lock()

    def consider(self) -> None:
        """Start a training if one is due, none of ours is running, and the last has not failed a short time ago."""
        with self._lock:
            status = None if self._task is None else self._task["status"]
            late = self._clock() - self._started > START_S
            if status == "RUNNING" or (status == "SUBMITTED" and not late):
                return
            if status in ("ERROR", "SUBMITTED"):
                self._later.failed(_KEY)
            elif status is not None:
                self._later.succeeded(_KEY)
            self._task = None
            if self._later.waits(_KEY):
                return
            request, self._started = self._due(), self._clock()
            self._task = None if request is None else self._start(request)
