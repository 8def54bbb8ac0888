"""The network as a model of the annotation server."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")
pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotation_server import write_network, write_small_study
from lib.configs.options import Parameters
from lib.infers import tasks
from lib.infers.tasks import Job, all_tasks

from petlesion.dicom.reader import read_dicom
from petlesion.dicom.scan import scan
from petlesion.lesions import Lesions


def test_two_who_ask_at_once_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_network(tmp_path / "models" / "unet")
    study = read_dicom(scan(write_small_study(tmp_path / "dicom", "anna").folder))
    task, runs, found = all_tasks(tmp_path / "models")["unet"], [], list[Lesions]()
    segment, together = tasks.segment_by_network, threading.Barrier(2)

    def counted(*arguments: Any, **options: Any) -> Any:
        runs.append(threading.current_thread())
        return segment(*arguments, **options)

    def ask() -> None:
        together.wait()
        found.append(task.find(Job(study, study.pet.grid, {}), Parameters("unet", {})))

    monkeypatch.setattr(tasks, "segment_by_network", counted)
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1, "the whole body takes all cores, or the GPU's memory"
    assert found[0] is found[1]
