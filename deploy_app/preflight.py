"""What must be right about the machine before the graph starts."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from petlesion.errors import SegmentationError, UsageError

CUDA_RUNTIME: Final = "libcudart.so.13"
"""Library that holoscan 4.2 is linked with. It is needed without a GPU, too; the driver is not."""
_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
_CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def load_cuda_runtime(library: str = CUDA_RUNTIME) -> None:
    """Load the CUDA runtime before holoscan asks for it: from the system, or from the wheel `nvidia-cuda-runtime`.

    Raises
    ------
    SegmentationError
        If it is nowhere; the message says how to get it.
    """
    for candidate in (library, *_in_wheels(library)):
        try:
            ctypes.CDLL(candidate, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    raise SegmentationError(
        f"{library}, which holoscan needs even without a GPU, is not installed",
        remedy="install the wheel nvidia-cuda-runtime of CUDA 13",
    )


def _in_wheels(library: str) -> list[str]:
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec and spec.submodule_search_locations else ()
    return [str(path) for folder in folders for path in Path(folder).glob(f"cu*/lib/{library}")]


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """Temporary folder for caches, removed at the end.

    Raises
    ------
    UsageError
        If no temporary folder is writable.
    """
    try:
        return tempfile.TemporaryDirectory(prefix="petlesion-")
    except OSError as error:
        raise UsageError(
            "no temporary folder is writable", remedy="mount a tmpfs at /tmp, or set TMPDIR to a writable folder"
        ) from error


def process_environment(environment: Mapping[str, str], threads: int, scratch: Path) -> dict[str, str]:
    """Environment of the process that runs the graph.

    Parameters
    ----------
    environment
        Of this process; what it sets stays.
    threads
        Cap of CPU threads; 0 for as many as this process may use.
    scratch
        Writable folder that takes the place of a HOME that is not: cupy and matplotlib create caches on import.
    """
    count = str(threads or usable_cpus())
    prepared = {**dict.fromkeys(_THREAD_VARIABLES, count), "HOLOSCAN_LOG_LEVEL": "OFF", **environment}
    home = environment.get("HOME", "")
    if not (home and os.access(home, os.W_OK)):
        caches = {"CUPY_CACHE_DIR": str(scratch), "MPLCONFIGDIR": str(scratch)}
        prepared = {**caches, **prepared, "HOME": str(scratch)}
    return prepared


def usable_cpus(quota: Path = _CGROUP_QUOTA) -> int:
    """CPUs that this process may use: those of its affinity, or fewer by the quota of its container (cgroup v2)."""
    cpus = len(os.sched_getaffinity(0))
    try:
        microseconds, period = quota.read_text().split()
    except (OSError, ValueError):
        return cpus
    return cpus if microseconds == "max" else max(1, min(cpus, math.ceil(int(microseconds) / int(period))))
