"""The image of the deployed application, as a hosting platform runs it: any user, nothing writable, no network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread

import petlesion
from petlesion.cli import run as command_line
from petlesion.errors import ExitCode

IMAGE = os.environ.get("PETLESION_TEST_IMAGE", f"localhost/petlesion-map:{petlesion.__version__}")
SIZE_LIMIT = 3e9
PODMAN = ["podman", *(["--runtime", "runc"] if shutil.which("runc") else []), "--cgroup-manager", "cgroupfs"]
CONFINED = [
    *("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--user", "4711:4711", "--no-healthcheck", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
]


def podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PODMAN, *arguments], capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed")
    if podman("image", "exists", IMAGE).returncode != 0:
        pytest.skip(f"the image {IMAGE} is not built (deploy_app/build-image)")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)  # the container's user is nobody on this host
    return folder


def arguments(study: Path, out: Path, **variables: str) -> list[str]:
    options = [f"--env={name}={value}" for name, value in variables.items()]
    return [*CONFINED, *options, "-v", f"{study}:/var/holoscan/input:ro", "-v", f"{out}:/var/holoscan/output"]


def run(study: Path, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return podman("run", "--rm", *arguments(study, out, **variables), IMAGE)


def test_real_study_gives_the_results_of_the_command_line(shared_data: Path, out: Path, tmp_path: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_010"
    result = run(study, out, PETLESION_METHOD="fixed")
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    expected = tmp_path / "cli"
    assert command_line(["segment", str(study), "-o", str(expected), "--method", "fixed"]) == ExitCode.DONE
    assert {path.name for path in expected.iterdir()} | {"metadata.json", "result.json"} == {
        p.name for p in out.iterdir()
    }
    for name in ("report.json", "lesions.csv"):
        assert (expected / name).read_bytes() == (out / name).read_bytes(), name
    assert dcmread(expected / "seg.dcm").PixelData == dcmread(out / "seg.dcm").PixelData
    assert {path.stat().st_uid for path in out.iterdir()} == {4711}
    assert [json.loads(line) for line in result.stdout.splitlines()][-1]["exit_code"] == 0


def _empty(study: Path) -> None:
    (study / "readme.txt").write_text("nothing here")


def _no_pet(shared_data: Path) -> Callable[[Path], None]:
    def prepare(study: Path) -> None:
        shutil.copytree(shared_data / "sts_dicom" / "STS_002" / "CT", study / "CT")

    return prepare


@pytest.mark.parametrize("code", [ExitCode.NO_DICOM, ExitCode.NO_PET, ExitCode.USAGE, ExitCode.OUTPUT])
def test_exit_code_reaches_the_caller(shared_data: Path, tmp_path: Path, out: Path, code: ExitCode) -> None:
    study = tmp_path / "study"
    study.mkdir()
    prepare = _no_pet(shared_data) if code == ExitCode.NO_PET else _empty
    prepare(study)
    if code == ExitCode.OUTPUT:
        (out / "sr.dcm").write_text("earlier")
    result = run(study, out, **({"PETLESION_METHOD": "magic"} if code == ExitCode.USAGE else {}))
    assert result.returncode == code, result.stdout + result.stderr
    assert not [path for path in out.glob("**/*.dcm") if path.read_text() != "earlier"]


def test_stop_ends_within_five_seconds_and_leaves_nothing(shared_data: Path, out: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_010"
    started = podman("run", "--detach", *arguments(study, out), IMAGE)
    assert started.returncode == 0, started.stderr
    name = started.stdout.strip()
    try:
        while "graph starts" not in podman("logs", name).stdout:
            time.sleep(0.2)
        asked = time.monotonic()
        podman("kill", "--signal", "TERM", name)
        waited = podman("wait", name)
        assert time.monotonic() - asked < 5
        assert waited.stdout.strip() == "143"
        assert list(out.iterdir()) == []
    finally:
        podman("rm", "--force", name)


def test_image_describes_itself(tmp_path: Path) -> None:
    details = json.loads(podman("image", "inspect", IMAGE).stdout)[0]
    shown = json.loads(podman("run", "--rm", *CONFINED, IMAGE, "show").stdout)
    assert (
        details["Labels"]["org.opencontainers.image.version"] == shown["app.json"]["version"] == petlesion.__version__
    )
    assert details["Labels"]["org.opencontainers.image.title"] == "petlesion"
    assert details["Size"] < SIZE_LIMIT
    assert details["User"] not in ("", "0", "root")
    target = tmp_path / "export"
    target.mkdir()
    target.chmod(0o777)
    extracted = podman("run", "--rm", *CONFINED, "-v", f"{target}:/var/run/holoscan/export", IMAGE, "extract")
    assert extracted.returncode == ExitCode.DONE, extracted.stdout
    assert json.loads((target / "config" / "app.json").read_text()) == shown["app.json"]
    assert (target / "docs" / "LICENSE").is_file()
