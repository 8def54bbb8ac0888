"""The example for Orthanc, with Orthanc and a container that fails: no study is lost, and none holds up another."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import requests
from annotation_server import Orthanc, running_orthanc, stopped, write_small_study
from pydicom import dcmread
from synthetic_dicom import axial_grid, ct_header, pattern, write_series

from petlesion.errors import ExitCode
from petlesion.identifiers import derived_uid
from petlesion.volume import Volume

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "orthanc" / "run_on_stable_study.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_on_stable_study", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "run_on_stable_study", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc"), StableAge=1) as running:
        yield running


@pytest.fixture
def orthanc(server: Orthanc, tmp_path: Path) -> Iterator[Orthanc]:
    """Two stable studies, FIRST and SECOND, of this test alone; FIRST has a series without Modality."""
    first, second = (f"{name}-{tmp_path.name}" for name in ("FIRST", "SECOND"))
    for name in (first, second):
        write_small_study(tmp_path / "studies", name)
    header = ct_header()
    header.PatientID = header.PatientName = first
    header.StudyInstanceUID = derived_uid("study", first)
    images = Volume(pattern(axial_grid()), axial_grid())
    for path in write_series(tmp_path / "studies" / first, images, header, name=f"nameless-{first}"):
        instance = dcmread(path)
        del instance.Modality
        instance.save_as(path)
    server.store(tmp_path / "studies")
    deadline = time.monotonic() + 60
    while not all(study["IsStable"] for study in studies(server)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    yield server
    for study in studies(server):
        requests.delete(f"{server.url}/studies/{study['ID']}", timeout=30).raise_for_status()


def studies(orthanc: Orthanc) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = requests.get(f"{orthanc.url}/studies?expand", timeout=30).json()
    return found


def watch(orthanc: Orthanc, first: str, second: str = "exit 0") -> tuple[int, list[int], list[str]]:
    """Deal with what there is; for each study the container is a line of shell in the folder of results.

    Returns the exit code of the script, those of the studies that were dealt with, and the errors.
    """
    choose = f"cd {{results}} && if ls {{study}} | grep -q FIRST; then {first}; else {second}; fi"
    command = [sys.executable, SCRIPT, "--orthanc", orthanc.url, "--once", "--run", f"sh -c '{choose}'"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    codes = [json.loads(line)["exit_code"] for line in done.stdout.splitlines()]
    return done.returncode, codes, [json.loads(line)["error"] for line in done.stderr.splitlines()]


def test_results_that_orthanc_refuses_hold_up_no_other_study(orthanc: Orthanc) -> None:
    code, codes, errors = watch(orthanc, "echo junk > seg.dcm")
    assert (code, codes) == (1, [0])
    assert len(errors) == 1
    assert "HTTP Error 400" in errors[0]
    assert watch(orthanc, "exit 0") == (0, [0], [])


def test_only_what_is_said_of_the_study_is_final(orthanc: Orthanc) -> None:
    refused = f"exit {int(ExitCode.GEOMETRY)}"
    assert watch(orthanc, "exit 125", refused) == (1, [ExitCode.GEOMETRY], ["the container ended with code 125"])
    for code in (137, ExitCode.MODEL, ExitCode.SEGMENTATION):
        assert watch(orthanc, f"exit {int(code)}") == (1, [], [f"the container ended with code {int(code)}"])
    assert watch(orthanc, "exit 0") == (0, [0], [])
    assert watch(orthanc, "exit 1", "exit 1") == (0, [], [])


def test_ended_as_a_service_it_leaves_no_image_and_no_container(orthanc: Orthanc, tmp_path: Path) -> None:
    images = tmp_path / "tmp"
    images.mkdir()
    container = "sh -c 'touch {results}/begun && exec sleep 600'"
    process = psutil.Popen(
        [sys.executable, SCRIPT, "--orthanc", orthanc.url, "--run", container],
        env=os.environ | {"TMPDIR": str(images)},
    )
    with stopped(process):
        deadline = time.monotonic() + 60
        while not list(images.glob("*/results/begun")):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert list(images.glob("*/study/**/*.dcm"))
        children = process.children()
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
        assert list(images.iterdir()) == []
        assert not any(child.is_running() for child in children)


def test_a_study_that_fails_is_tried_again_a_few_times(
    orthanc: Orthanc, script: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    study, waiting = studies(orthanc)[0]["ID"], dict[str, Any]()
    pauses = []
    script.attempt(script.Orthanc(orthanc.url), study, "sh -c 'exit 125'", waiting)
    while study in waiting:
        pauses.append(waiting[study].due - time.monotonic())
        script.attempt(script.Orthanc(orthanc.url), study, "no-such-engine", waiting)
    assert pauses == pytest.approx([60, 120, 240, 480], abs=10)
    last = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (last["tries"], last["again_in_s"]) == (5, None)


def test_podman_without_root_keeps_the_user() -> None:
    if subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no user namespaces here")
    shown = [
        subprocess.run([*prefix, sys.executable, SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout
        for prefix in (["unshare", "--user"], ["unshare", "--user", "--map-root-user"])
    ]
    assert ["--userns=keep-id" in each for each in shown] == [True, False]


def test_other_codes_are_tried_again(script: ModuleType) -> None:
    of_the_deployment = {ExitCode.USAGE, ExitCode.MODEL, ExitCode.SEGMENTATION, ExitCode.OUTPUT}
    assert set(ExitCode) - of_the_deployment == script.ABOUT_THE_STUDY
