"""SIGKILL of training and server while labels come in: no label is lost, the model stays whole, training goes on."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")
pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotated_folder import write_studies
from annotation_server import Server, running_server
from lib.datastore.labels import LabelStore
from training_cases import train_beginner

from petlesion.networks.registry import Registry

LABELS = 6
WAIT_S = 240


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come within {WAIT_S} s")


def submit(server: Server, truth: Path, number: int) -> None:
    with (truth / f"image-{number}" / "lesions.nii.gz").open("rb") as stream:
        answer = requests.put(
            f"{server.url}/datastore/label",
            params={"image": f"image-{number}"},
            data={"params": json.dumps({"client_id": "ada"})},
            files={"label": ("label.nii.gz", stream)},
            timeout=60,
        )
    assert answer.status_code == 200, answer.text


def progress(server: Server) -> dict[str, Any]:
    return dict(requests.get(f"{server.url}/info/", timeout=60).json()["train_stats"]["unet"])


def trainings(server: Server) -> list[psutil.Process]:
    return [one for one in server.process.children(recursive=True) if "train" in one.cmdline()]


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.send_signal(signal.SIGKILL)
    psutil.wait_procs(processes, timeout=30)


def test_training_and_server_are_killed(tmp_path: Path) -> None:
    write_studies(tmp_path / "studies", LABELS)
    models, labels = tmp_path / "models", LabelStore(tmp_path / "server" / "labels")
    shutil.copytree(train_beginner(tmp_path / "base"), models / "unet")
    options = {"held_out": 0.5, "min_patients": 2, "run": {"steps": 200, "validate_every": 20, "device": "cpu"}}
    (tmp_path / "retrain.yaml").write_text(json.dumps(options))
    conf = {"models": str(models), "retrain_config": str(tmp_path / "retrain.yaml"), "retrain_after": str(LABELS)}
    truth, studies = tmp_path / "truth", str(tmp_path / "studies")
    (tmp_path / "server").mkdir()

    with running_server(tmp_path / "server", studies, **conf) as server:
        for number in range(LABELS):
            submit(server, truth, number)
        wait_until(lambda: progress(server).get("done", 0) > 20, "training")
        kill(trainings(server))
        wait_until(lambda: requests.get(f"{server.url}/train/", timeout=60).json()["status"] == "ERROR", "its end")
        before = progress(server)["done"]
        requests.post(f"{server.url}/train/unet", json={}, timeout=60).raise_for_status()  # goes on, not anew
        wait_until(lambda: progress(server).get("done", 0) > before, "training again")
        submit(server, truth, 0)
        kill([server.process, *server.process.children(recursive=True)])
    Registry(models / "unet").current().verify()
    assert [len(labels.versions(f"image-{number}")) for number in range(LABELS)] == [2, 1, 1, 1, 1, 1]

    with running_server(tmp_path / "server", studies, **conf) as server:  # goes on by itself
        ended = wait_until(
            lambda: (found := progress(server))["stage"] in ("published", "refused") and found, "its end"
        )
        assert ended["version"] == 1
        assert ended["waiting_labels"] == 1
    versions = Registry(models / "unet").versions()
    assert [version.number for version in versions] == [0, 1]
    for version in versions:
        version.verify()
    assert [path.name for path in (tmp_path / "server" / "labels-work" / "retraining").glob("round-*")] == [
        "round-0001"
    ]
