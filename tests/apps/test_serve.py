"""`petlesion serve`: starts what it needs, says where it is, and leaves nothing running."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
from annotation_server import free_port, write_small_study
from http_server import listening
from serve_command import serving

from petlesion.errors import OutputError, UsageError
from petlesion.server.orthanc import is_installed
from petlesion.server.processes import running
from petlesion.server.serve import SOURCE_FILE, _keep_to, _located, _make_writable, _viewable

START_S = 180


def wait_until_gone(children: list[psutil.Process]) -> list[psutil.Process]:
    _, alive = psutil.wait_procs(children, timeout=30)
    return alive


def test_orthanc_of_its_own_ends_even_when_the_command_is_killed(tmp_path: Path) -> None:
    if not is_installed():
        pytest.skip("Orthanc with DICOMweb is not installed: make system-tools")
    with serving(tmp_path, "--patients", "0") as (process, said):
        assert said["images"].endswith("/dicom-web")
        assert requests.get(f"{said['images']}/studies", timeout=30).json() == []
        assert requests.get(f"{said['server']}/info/", timeout=30).json()["datastore"]["total"] == 0
        children = process.children(recursive=True)
        assert len(children) >= 2
        process.kill()
        assert wait_until_gone(children) == []


def test_command_ends_with_its_orthanc(tmp_path: Path) -> None:
    if not is_installed():
        pytest.skip("Orthanc with DICOMweb is not installed: make system-tools")
    with serving(tmp_path, "--patients", "0") as (process, _):
        (orthanc,) = (child for child in process.children() if child.name() == "Orthanc")
        orthanc.kill()
        assert process.wait(60) == 2


def test_folder_is_served_until_the_command_is_ended(tmp_path: Path) -> None:
    study = write_small_study(tmp_path / "images", "anna")
    with serving(tmp_path / "data", "--studies", str(study.folder), "--tracer", "ga68-psma11") as (process, said):
        assert said["labels"] == str(tmp_path / "data" / "labels")
        query = {"image": study.pet, "output": "json"}
        assert requests.post(f"{said['server']}/infer/fixed", params=query, timeout=60).json()["lesions"]
        page = requests.get(f"{said['server']}/ohif/monai-label", timeout=30)
        assert page.cookies["MONAILABEL_SERVER_URL"].startswith("http%3A%2F%2F127.0.0.1")
        children = process.children(recursive=True)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert time.monotonic() - began < 30
        assert wait_until_gone(children) == []


def refusal(data: Path, *options: str) -> str:
    """Last line of what the command says as it ends with a usage error."""
    command = [sys.executable, "-m", "petlesion", "serve", "--data", str(data), "--port", str(free_port()), *options]
    said = subprocess.run(command, capture_output=True, text=True, timeout=START_S, check=False)
    assert said.returncode == 2
    return said.stderr.splitlines()[-1]


def test_errors_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for studies in ("file", "missing"):
        assert f"{studies} is no folder" in refusal(tmp_path, "--studies", str(tmp_path / studies))
    assert not (tmp_path / "missing").exists()
    (tmp_path / "retrain.yaml").write_text("run: {setps: 5}")
    assert "run.setps" in refusal(tmp_path, "--retrain-config", str(tmp_path / "retrain.yaml"))
    (tmp_path / "retrain.yaml").write_text("export: models")
    said = refusal(tmp_path, "--retrain-config", str(tmp_path / "retrain.yaml"), "--models", str(tmp_path / "models"))
    assert "the folder of the versions" in said


def test_data_folder_in_which_nothing_can_be_written_is_an_error_of_the_results(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for data in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc")):
        with pytest.raises(OutputError, match=r"nothing can be written \(.*give another --data"):
            _make_writable(data)
    _make_writable(tmp_path / "new" / "data")
    assert list((tmp_path / "new" / "data").iterdir()) == []


def test_labels_of_other_images_are_not_taken_for_those_of_these(tmp_path: Path) -> None:
    (tmp_path / SOURCE_FILE).write_text("http://archive/dicom-web\n")
    for name in ("labels/p01", "images"):
        (tmp_path / name).mkdir(parents=True)
    said = refusal(tmp_path, "--studies", str(tmp_path / "images"))
    assert f"images of http://archive/dicom-web, not of {tmp_path / 'images'}; give another --data" in said


@pytest.mark.parametrize("kept", ["labels", "cache"])
def test_data_folder_keeps_to_its_first_images(tmp_path: Path, kept: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to("images")
    _keep_to(tmp_path, _located("http://mistyped"))  # of which nothing was kept
    for studies in ("images", "link", "images/"):
        _keep_to(tmp_path, _located(str(tmp_path / studies)))
        (tmp_path / kept / "p01").mkdir(parents=True, exist_ok=True)
    with pytest.raises(UsageError, match="give another --data"):
        _keep_to(tmp_path, _located("http://archive/dicom-web/"))
    (tmp_path / SOURCE_FILE).write_text("http://archive/dicom-web")
    _keep_to(tmp_path, _located("http://archive/dicom-web/"))


def test_another_server_is_not_taken_for_this_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"port {port} of 127.0.0.1 is in use; end what listens there" in refusal(tmp_path, "--port", port)
    assert "no server can listen on 192.0.2.1" in refusal(tmp_path, "--host", "192.0.2.1")


def test_server_is_waited_for_as_long_as_it_runs(tmp_path: Path) -> None:
    port = free_port()
    files = f"http.server.test(http.server.SimpleHTTPRequestHandler, port={port}, bind='127.0.0.1')"
    late = f"import http.server, time; time.sleep(2); {files}"
    with running("the server", [sys.executable, "-c", late], tmp_path / "log", cwd=tmp_path) as child:
        with pytest.raises(UsageError, match=r"does not answer after 0\.1 s"):
            child.wait_until_it_answers(f"http://127.0.0.1:{port}/", 0.1)
        child.wait_until_it_answers(f"http://127.0.0.1:{port}/")
        with pytest.raises(UsageError, match="the server answers 404"):
            child.wait_until_it_answers(f"http://127.0.0.1:{port}/info/")
        child.process.kill()
        child.process.wait()
        with pytest.raises(UsageError, match="has ended with status -9"):
            child.wait_until_it_answers(f"http://127.0.0.1:{port}/")


def test_what_a_child_has_started_ends_in_order(tmp_path: Path) -> None:
    note = f"trap 'sleep 1; echo ended > {tmp_path}/other; exit' TERM"
    other = f"{note}; echo > {tmp_path}/ready; while :; do sleep 0.1; done"
    with running("the server", ["sh", "-c", f"({other}) & sleep 600"], tmp_path / "log") as child:
        while not (tmp_path / "ready").is_file():
            child.check()
            time.sleep(0.05)
        began = time.monotonic()
    assert (tmp_path / "other").read_text() == "ended\n"
    assert time.monotonic() - began < 20


def test_each_study_of_a_patient_is_listed() -> None:
    fastapi = pytest.importorskip("fastapi", reason="the annotation server is not installed here")
    app = fastapi.FastAPI()
    infos = [
        {"patient_id": "anna", "study_uid": "1.1", "study_date": "20240105"},
        {"patient_id": "anna", "study_uid": "1.2", "study_date": "20240406"},
        {"patient_id": "ben", "study_uid": "1.3", "study_date": ""},
    ]
    app.get("/datastore/")(lambda: {"objects": {str(n): {"image": {"info": info}} for n, info in enumerate(infos)}})
    with listening(app) as port:
        listed = _viewable(f"http://127.0.0.1:{port}", "http://archive/dicom-web")
    assert listed == {"1.1": "anna 20240105", "1.2": "anna 20240406", "1.3": "ben"}


def test_studies_that_are_not_listed_end_nothing() -> None:
    assert _viewable(f"http://127.0.0.1:{free_port()}", "http://archive/dicom-web") == {}
