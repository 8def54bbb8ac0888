"""What failed is tried again, after longer and longer pauses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from petlesion.errors import PetlesionError

FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 600.0

logger = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class _Failure:
    pause_s: float
    until: float
    reason: str


class Backoff:
    """Attempts by what they are for; each one that fails in a row doubles the pause before the next.

    Parameters
    ----------
    clock
        Seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[str, _Failure] = {}

    def waits(self, key: str) -> bool:
        """Whether it failed and is not to be tried again yet."""
        failure = self._failures.get(key)
        return failure is not None and self._clock() < failure.until

    def reason(self, key: str) -> str:
        """Why it failed last; empty where it did not."""
        failure = self._failures.get(key)
        return "" if failure is None else failure.reason

    def attempt(self, key: str, what: str, act: Callable[[], T]) -> T | None:
        """Try something whose turn it is.

        Parameters
        ----------
        key
            What it is for.
        what
            The same for the log, as the beginning of a sentence.
        act
            Does it.

        Returns
        -------
        What `act` returns; None where it has to wait, or where it raised an error, which is logged: not even an
        unexpected one holds up anything else.
        """
        if self.waits(key):
            return None
        try:
            result = act()
        except Exception as error:
            expected = isinstance(error, PetlesionError)
            pause_s = self.failed(key, error.what if isinstance(error, PetlesionError) else type(error).__name__)
            logger.warning("%s, and is tried again in %.0f s: %s", what, pause_s, error, exc_info=not expected)
            return None
        self.succeeded(key)
        return result

    def failed(self, key: str, reason: str = "") -> float:
        """Note a failure; returns the pause, seconds."""
        before = self._failures.get(key)
        pause_s = FIRST_PAUSE_S if before is None else min(2 * before.pause_s, LONGEST_PAUSE_S)
        self._failures[key] = _Failure(pause_s, self._clock() + pause_s, reason)
        return pause_s

    def succeeded(self, key: str) -> None:
        """Forget what failed before."""
        self._failures.pop(key, None)
