"""How long steps say how far they are."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with how many items are done, and how many there are; starts again at 0 with each step."""


def silent(_done: int, _total: int) -> None:
    """Progress that nobody looks at."""
