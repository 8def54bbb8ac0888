"""The examples, run: Orthanc with the container on stable studies, podman on one study, mercure's layout of files."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from annotation_server import Orthanc, running_orthanc
from map_image import CONFINED, IMAGE, PODMAN, need_image, podman, run_arguments
from pydicom import dcmread

from petlesion.errors import ExitCode

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
STUDY = "STS_010"
MERCURE_IN, MERCURE_OUT = "/tmp/data", "/tmp/output"
"""Where mercure mounts the folders inside a module's container: below the tmpfs that a read-only container needs."""
LIMITS = "--ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --no-healthcheck"


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    need_image()


def modalities(orthanc: Orthanc, study: str) -> list[str]:
    series = requests.get(f"{orthanc.url}/studies/{study}/series", timeout=30).json()
    return sorted(each["MainDicomTags"]["Modality"] for each in series)


def wait_until_stable(orthanc: Orthanc) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        (study,) = requests.get(f"{orthanc.url}/studies?expand", timeout=30).json()
        if study["IsStable"]:
            return str(study["ID"])
        time.sleep(0.2)
    return pytest.fail("the study does not become stable")


def test_orthanc_gets_the_results_of_a_stable_study_once(shared_data: Path, tmp_path: Path) -> None:
    run = " ".join([*PODMAN, "run", "--rm", *CONFINED, "-v {study}:/var/holoscan/input:ro"])
    run += f" --user {{uid}}:{{gid}} -v {{results}}:/var/holoscan/output -e PETLESION_METHOD=fixed {IMAGE}"

    def watch(url: str) -> list[dict[str, object]]:
        script = EXAMPLES / "orthanc" / "run_on_stable_study.py"
        command = [sys.executable, script, "--orthanc", url, "--once", "--run", run]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    with running_orthanc(tmp_path / "orthanc", StableAge=1) as orthanc:
        orthanc.store(shared_data / "sts_dicom" / STUDY)
        study = wait_until_stable(orthanc)
        before = modalities(orthanc, study)
        assert watch(orthanc.url) == [{"orthanc_study": study, "exit_code": 0}]
        assert modalities(orthanc, study) == sorted([*before, "SEG", "SR", "RTSTRUCT"])
        wait_until_stable(orthanc)
        assert watch(orthanc.url) == []


def test_podman_script_processes_a_study(shared_data: Path, tmp_path: Path) -> None:
    script = EXAMPLES / "podman" / "process-study"
    study = shared_data / "sts_dicom" / STUDY
    # Neither systemd nor a memory controller may be there where this runs.
    text = script.read_text().replace(" --memory 8g --cpus 2", "")
    (tmp_path / "process-study").write_text(text)
    done = subprocess.run(
        ["bash", tmp_path / "process-study", study, tmp_path / "results", "--env=PETLESION_METHOD=fixed"],
        env={**os.environ, "ENGINE": shlex.join(PODMAN), "RUN_OPTIONS": LIMITS, "IMAGE": IMAGE},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert (tmp_path / "results" / "seg.dcm").is_file()


def test_layout_and_environment_of_mercure(shared_data: Path, tmp_path: Path) -> None:
    (module,) = json.loads((EXAMPLES / "mercure" / "module.json").read_text())["modules"].values()
    study, out = tmp_path / "in", tmp_path / "out"
    study.mkdir()
    out.mkdir()
    out.chmod(0o777)
    for path in (shared_data / "sts_dicom" / STUDY).rglob("*.dcm"):
        header = dcmread(path, stop_before_pixels=True)
        name = f"{header.SeriesInstanceUID}#{header.SOPInstanceUID}"
        (study / f"{name}.dcm").write_bytes(path.read_bytes())
        (study / f"{name}.tags").write_text("{}")
    (study / "task.json").write_text(json.dumps({"id": "1", "process": {"settings": {}}}))
    variables = json.loads(module["environment"]) | {"MERCURE_IN_DIR": MERCURE_IN, "MERCURE_OUT_DIR": MERCURE_OUT}
    folders = {"HOLOSCAN_INPUT_PATH": MERCURE_IN, "HOLOSCAN_OUTPUT_PATH": MERCURE_OUT}
    arguments = [
        word.replace("/var/holoscan/input", MERCURE_IN).replace("/var/holoscan/output", MERCURE_OUT)
        for word in run_arguments(study, out, **variables, **folders)
    ]
    done = podman("run", "--rm", *arguments, IMAGE)
    assert done.returncode == ExitCode.DONE, done.stdout + done.stderr
    assert json.loads((out / "result.json").read_text())["__mercure_notification"]["text"]
    assert (out / "sr.dcm").is_file()
