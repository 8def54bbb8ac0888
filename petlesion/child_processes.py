"""What processes that this one starts have in common: threads for linear algebra, and an end."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_PR_SET_PDEATHSIG: Final = 1
"""Of prctl(2): the signal that a process gets when its parent ends."""


@contextlib.contextmanager
def threads_of_children(count: int) -> Iterator[None]:
    """Environment in which new processes use `count` threads each; libraries read it once, when they are loaded."""
    before = {name: os.environ.get(name) for name in VARIABLES}
    os.environ.update(dict.fromkeys(VARIABLES, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def worker_pool(processes: int, prepare: Callable[[], None] | None = None) -> ProcessPoolExecutor:
    """Make a pool of processes that start afresh, so that threads of this one cannot deadlock them, and end with it.

    A parent that is killed tells nobody: its pool would wait for work for ever, with all its memory.

    Parameters
    ----------
    processes
        At most.
    prepare
        Called once in each, before its first work.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(processes, context, initializer=_begin, initargs=(prepare,))


def ending_with(parent: int, number: signal.Signals) -> Callable[[], None]:
    """What a new program calls before it starts (`preexec_fn`), to get a signal when its parent ends (Linux)."""
    library = ctypes.CDLL(None)

    def ask() -> None:
        library.prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # which has ended meanwhile
            os._exit(1)

    return ask


def _begin(prepare: Callable[[], None] | None) -> None:
    threading.Thread(target=_end_after_parent, daemon=True).start()
    if prepare is not None:
        prepare()


def _end_after_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
