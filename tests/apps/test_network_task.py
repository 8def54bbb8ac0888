"""The network as a model of the annotation server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
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
from petlesion.study import PetCt


def test_two_who_ask_at_once_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_network(tmp_path / "models" / "unet")
    study = read_dicom(scan(write_small_study(tmp_path / "dicom", "anna").folder))
    task, runs, found = all_tasks(tmp_path / "models")["unet"], [], list[Lesions]()
    segment, together = tasks.segment_by_network, threading.Barrier(2)

    def counted(*arguments: Any, **options: Any) -> Any:
        runs.append(threading.current_thread())
        return segment(*arguments, **options)

    def ask() -> None:
        together.wait(timeout=60)
        found.append(task.find(Job(study, study.pet.grid, {}, tmp_path), Parameters("unet", {})))

    monkeypatch.setattr(tasks, "segment_by_network", counted)
    threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert len(runs) == 1, "the whole body takes all cores, or the GPU's memory"
    assert found[0] is found[1]


def test_click_on_a_study_that_was_segmented_does_not_wait_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_network(tmp_path / "models" / "unet")
    anna, ben = (read_dicom(scan(write_small_study(tmp_path / "dicom", name).folder)) for name in ("anna", "ben"))
    task, segment = all_tasks(tmp_path / "models")["unet"], tasks.segment_by_network
    begun, may_end = threading.Event(), threading.Event()

    def slow(*arguments: Any, **options: Any) -> Any:
        begun.set()
        assert may_end.wait(timeout=60)
        return segment(*arguments, **options)

    def ask(study: PetCt) -> Lesions:
        return task.find(Job(study, study.pet.grid, {}, tmp_path), Parameters("unet", {}))

    first = ask(anna)
    monkeypatch.setattr(tasks, "segment_by_network", slow)
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(ask, ben)
        assert begun.wait(timeout=60)
        try:
            assert pool.submit(ask, anna).result(timeout=10) is first
        finally:
            may_end.set()
        assert other.result().count == first.count


def test_clients_are_told_which_options_were_found_to_do_harm(tmp_path: Path) -> None:
    description = all_tasks(tmp_path)["unet"].description
    assert "loses lesions with 64Cu-DOTATATE" in description
    assert "worse where it was measured" in description
