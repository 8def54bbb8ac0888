"""Two processes on the CPU stand for two GPUs: the same code, with gloo in place of NCCL."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from training_cases import write_case, write_config

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.errors import UsageError  # noqa: E402
from petlesion.networks.model_folder import load_model  # noqa: E402
from petlesion.training.loop import Status  # noqa: E402
from petlesion.training.processes import train_on_this_machine  # noqa: E402

RUN = {"steps": 6, "validate_every": 3, "batch": 1, "device": "cpu", "processes": 2}


def test_two_processes_train_one_model_and_tell_of_it(tmp_path: Path) -> None:
    for n in range(6):
        write_case(tmp_path / "cases" / f"case-{n}", n)
    seen: list[Status] = []
    prepared: list[tuple[int, int]] = []
    config = write_config(tmp_path, run=RUN)
    folder = train_on_this_machine(config, watch=seen.append, progress=lambda *counts: prepared.append(counts))
    assert [status.step for status in seen] == list(range(1, 7))
    assert [status.step for status in seen if status.validation] == [3, 6]
    last = seen[-1].validation
    assert last is not None
    validation = load_model(folder).card["data"]["validation"]
    assert last.cases == len(validation) > 1  # both processes validated their share
    assert prepared[-1] == (6, 6)
    assert "WORLD_SIZE" not in os.environ


def test_an_error_in_a_process_is_the_error_here(tmp_path: Path) -> None:
    write_case(tmp_path / "cases" / "case-0", 0)
    with pytest.raises(UsageError, match="belong to validation patients"):
        train_on_this_machine(write_config(tmp_path, run=RUN, split={"validation": 1}))
