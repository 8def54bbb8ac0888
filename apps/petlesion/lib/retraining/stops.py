"""A training that is told to end, as when its server is restarted, says so before it does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType

TOLD_TO_END = (signal.SIGTERM, signal.SIGINT)
"""A lack of memory kills in another way, and ends the same training again."""


def on_stop(note: Callable[[], None]) -> None:
    """Call `note` before a signal ends this process as it would without.

    Nothing is unwound: what a training does may take longer than the server waits for it.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        try:
            note()
        finally:
            os.kill(os.getpid(), number)

    for number in TOLD_TO_END:
        signal.signal(number, end)
