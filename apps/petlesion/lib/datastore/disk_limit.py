"""What has to go so that files which can be made or fetched again stay below a limit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

KEPT_S = 3600.0
"""Nothing that was used later than this before is removed: somebody may still be reading it."""
T = TypeVar("T")


def beyond(found: Iterable[tuple[T, float, int]], limit_bytes: int, used_before: float) -> list[T]:
    """Those that go, used least recently: what is used later fills the limit.

    Parameters
    ----------
    found
        Each with its last use, seconds, and its bytes.
    limit_bytes
        Of all together.
    used_before
        Seconds; whatever was used later stays.
    """
    total, going = 0, []
    for each, used, size in sorted(found, key=lambda one: one[1], reverse=True):
        total += size
        if total > limit_bytes and used < used_before:
            going.append(each)
    return going
