"""How many threads for linear algebra new processes use; libraries read that once, when they are loaded."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@contextlib.contextmanager
def threads_of_children(count: int) -> Iterator[None]:
    """Environment in which new processes use `count` threads each."""
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
