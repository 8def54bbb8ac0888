"""A training that is told to end, as when its server is restarted, says so before it does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

TOLD_TO_END = (signal.SIGTERM, signal.SIGINT)
"""A lack of memory kills in another way, and ends the same training again."""


def on_stop(note: Callable[[], None]) -> None:
    """Call `note` before a signal ends this process; only the main thread may.

    A thread does, and nothing is unwound: the main thread hears of signals between two steps of a training, which may
    take longer than the server waits.
    """
    received, sent = os.pipe()
    os.set_blocking(sent, False)

    def wait() -> None:
        number = 0
        while number not in TOLD_TO_END:  # others have handlers, too
            number = os.read(received, 1)[0]
        try:
            note()
        finally:
            os._exit(128 + number)

    for number in TOLD_TO_END:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(sent, warn_on_full_buffer=False)
    threading.Thread(target=wait, name="stop", daemon=True).start()
