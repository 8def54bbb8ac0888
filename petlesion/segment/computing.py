"""Where a network is computed: device, threads, and what to try when memory does not suffice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from petlesion.errors import UsageError
from petlesion.networks.model_config import ModelConfig, check_patch
from petlesion.segment.windows import WindowPlan

if TYPE_CHECKING:
    import torch

_GPU_BATCH = 8
"""Windows that a GPU computes at once at first."""
_MEMORY_WORDS = ("out of memory", "allocate memory", "not enough memory", "bad_alloc")


@contextmanager
def capped_threads(wanted: int | None) -> Iterator[None]:
    """Cap PyTorch's threads at the cores this process may use (containers, taskset), for the time of a run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(min(wanted or before, len(os.sched_getaffinity(0))))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def attempts(
    config: ModelConfig, device: torch.device, overlap: float, *, mirror: bool
) -> Iterator[tuple[torch.device, WindowPlan]]:
    """Devices and windows to try, each with less memory than the one before."""
    import torch

    sizes = list(_smaller_windows(config))
    batches = {"cuda": (_GPU_BATCH, 1), "cpu": (1,)}
    devices = [device] if device.type == "cpu" else [device, torch.device("cpu")]
    for place in devices:
        for size in sizes:
            for batch in batches[place.type]:
                yield place, WindowPlan(size, overlap, batch, mirror)


def _smaller_windows(config: ModelConfig) -> Iterator[tuple[int, int, int]]:
    """The model's window, then halves of it along the longest axis, as long as the network can take them."""
    z, y, x = config.patch
    for _ in range(7):
        yield z, y, x
        sides = [z, y, x]
        longest = sides.index(max(sides))
        step = config.architecture.reduction[longest]
        sides[longest] = max(step, sides[longest] // 2 // step * step)
        z, y, x = sides
        try:
            check_patch(sides, config.architecture)
        except ValueError:
            return


def is_memory_error(error: Exception) -> bool:
    """Whether an error says that memory was too small; PyTorch has no type of its own for it on the CPU."""
    import torch

    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(word in str(error).lower() for word in _MEMORY_WORDS)


def choose_device(name: str) -> torch.device:
    """Device by name: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1".

    Raises
    ------
    UsageError
        If this machine has no such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"there is no device {name!r}", remedy="give auto, cpu, cuda or cuda:1") from error
    count = torch.cuda.device_count() if device.type == "cuda" else int(device.type == "cpu")
    if (device.index or 0) >= count:
        raise UsageError(f"there is no device {name!r} on this machine", remedy="give auto or cpu")
    return device
