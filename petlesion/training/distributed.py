"""Several processes, one a GPU, as `torchrun` starts them; alone, everything here does nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=1)
"""Of the others while the leading process fills the cache; that takes more than PyTorch's default of 10 minutes."""


@dataclass(frozen=True)
class Group:
    """The processes of a run.

    Attributes
    ----------
    rank
        Number of this process.
    size
        How many there are.
    local_rank
        Number of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def gather(self, values: list[T]) -> list[T]:
        """Lists of all processes, one after the other."""
        if self.size == 1:
            return values
        from torch import distributed

        parts: list[list[T]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(parts, values)
        return [value for part in parts for value in part]

    def agree(self, value: T) -> T:
        """The value of the leading process, in all."""
        if self.size == 1:
            return value
        from torch import distributed

        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def process_group(*, gpu: bool) -> Iterator[Group]:
    """Join the processes that `torchrun` started, if it did."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Group()
        return
    import torch
    from torch import distributed

    group = Group(int(os.environ["RANK"]), size, int(os.environ.get("LOCAL_RANK", "0")))
    if gpu:
        torch.cuda.set_device(group.local_rank)
    distributed.init_process_group("nccl" if gpu else "gloo", timeout=LONGEST_WAIT)
    try:
        yield group
    finally:
        distributed.destroy_process_group()
