"""Training on every GPU of this machine: a process each, and their progress and errors in this one."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from petlesion.errors import PetlesionError, SegmentationError
from petlesion.progress import Progress, silent
from petlesion.training.config import RunConfig, load_config
from petlesion.training.loop import MODEL_FOLDER, Status, Watch, train

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

_JOIN_SECONDS: Final = 0.1
_LOOPBACK: Final = "127.0.0.1"


def train_on_this_machine(
    config_path: Path, *, watch: Watch = lambda _: None, progress: Progress = silent, jobs: int = 1
) -> Path:
    """Train as `loop.train` does, in as many processes as the configuration asks for or there are GPUs.

    Parameters, result and errors are those of `loop.train`. Processes that `torchrun` started are left alone.

    Raises
    ------
    SegmentationError
        If a process dies of something else than an error of its own, such as a lack of memory.
    """
    count = _process_count(load_config(config_path).run)
    if count == 1 or "WORLD_SIZE" in os.environ:
        return train(config_path, watch=watch, progress=progress, jobs=jobs)
    from torch import multiprocessing
    from torch.multiprocessing.spawn import ProcessException, start_processes

    messages = multiprocessing.get_context("spawn").SimpleQueue()
    group = start_processes(  # type: ignore[no-untyped-call,unused-ignore]
        _work, (str(config_path), count, _free_port(), jobs, messages), nprocs=count, join=False, start_method="spawn"
    )
    try:
        ended = False
        while not ended:
            ended = group.join(timeout=_JOIN_SECONDS)
            while not messages.empty():
                _pass_on(messages.get(), watch, progress)
    except ProcessException as error:
        while not messages.empty():  # the reason, if it could still be told
            _pass_on(messages.get(), watch, progress)
        raise SegmentationError(
            "a process of the training died", remedy="see the log; the same command goes on from the last checkpoint"
        ) from error
    finally:
        for process in group.processes:
            process.kill()
    return load_config(config_path).out / MODEL_FOLDER


def _process_count(run: RunConfig) -> int:
    """One a GPU, unless the configuration says otherwise or names a device."""
    if run.processes is not None:
        return run.processes
    if run.device not in ("auto", "cuda"):
        return 1
    import torch

    return max(1, torch.cuda.device_count())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _work(rank: int, config: str, count: int, port: int, jobs: int, messages: SimpleQueue[Any]) -> None:
    """Train as one process of several; the first tells of its progress, any of its error."""
    os.environ |= {
        "MASTER_ADDR": _LOOPBACK,
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(count),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }
    import torch

    torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // count))
    try:
        train(
            Path(config),
            watch=messages.put if rank == 0 else lambda _: None,
            progress=(lambda done, total: messages.put((done, total))) if rank == 0 else silent,
            jobs=jobs,
        )
    except PetlesionError as error:
        messages.put(error)
        raise


def _pass_on(message: Any, watch: Watch, progress: Progress) -> None:
    match message:
        case Status():
            watch(message)
        case PetlesionError():
            raise message
        case (int(done), int(total)):
            progress(done, total)
