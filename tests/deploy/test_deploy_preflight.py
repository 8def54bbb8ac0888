"""What the deployed application makes sure of before it starts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from preflight import load_cuda_runtime, process_environment, scratch_folder, usable_cpus
from supervisor import _check_input

from petlesion.errors import SegmentationError, UsageError


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("9900000 100000", None), ("", None)],
)
def test_threads_follow_the_quota_of_the_container(tmp_path: Path, quota: str, expected: int | None) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    assert usable_cpus(tmp_path / "cpu.max") == (expected or len(os.sched_getaffinity(0)))


def test_host_without_cgroups_uses_its_affinity(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path / "none") == len(os.sched_getaffinity(0))


def test_home_that_cannot_be_written_is_replaced(tmp_path: Path) -> None:
    for home in ("/proc/nowhere", ""):
        assert process_environment({"HOME": home}, 3, tmp_path)["HOME"] == str(tmp_path)
    environment = process_environment({"HOME": str(tmp_path), "CUPY_CACHE_DIR": "/cache"}, 3, Path("/scratch"))
    assert environment["HOME"] == str(tmp_path)
    assert environment["CUPY_CACHE_DIR"] == "/cache"
    assert environment["OMP_NUM_THREADS"] == "3"


def test_missing_cuda_runtime_says_which_wheel() -> None:
    with pytest.raises(SegmentationError, match="nvidia-cuda-runtime"):
        load_cuda_runtime("libcudart.so.999")


def test_no_temporary_folder_says_what_to_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(UsageError, match="tmpfs"):
        scratch_folder()


def test_input_that_cannot_be_looked_at_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"input cannot be looked at \(File name too long\)"):
        _check_input(tmp_path / ("x" * 300))
