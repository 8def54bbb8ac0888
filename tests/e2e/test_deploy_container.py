"""The image of the deployed application, as a hosting platform runs it: any user, nothing writable, no network."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from annotation_server import write_network
from map_image import CONFINED, IMAGE, MODELS_IN_IMAGE, need_image, podman, readable_by_all, run_arguments, run_image
from packaging.utils import canonicalize_name
from pydicom import dcmread

import petlesion
from petlesion.cli import run as command_line
from petlesion.errors import ExitCode

SIZE_LIMIT = 3e9
DICOM_RESULTS = {"seg.dcm", "sr.dcm", "rtstruct.dcm"}
RESULTS = DICOM_RESULTS | {"report.pdf", "report.json", "lesions.csv", "metadata.json", "result.json"}


@pytest.fixture(scope="module", autouse=True)
def _image() -> None:
    need_image()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    folder.chmod(0o777)  # the container's user is nobody on this host
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of models with a small `unet`."""
    folder = tmp_path_factory.mktemp("models")
    write_network(folder / "unet")
    return readable_by_all(folder)


def test_real_study_gives_the_results_of_the_command_line(shared_data: Path, out: Path, tmp_path: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_010"
    result = run_image(study, out, PETLESION_METHOD="fixed")
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


def test_simulated_whole_body_study_without_options(tmp_path: Path, out: Path) -> None:
    patients = tmp_path / "patients"
    simulated = ["simulate", "-o", str(patients), "--tracer", "ga68-dotatate", "--seed", "3", "--dicom"]
    assert command_line(simulated) == ExitCode.DONE
    (study,) = patients.glob("*/dicom")
    result = run_image(study, out)
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    assert {path.name for path in out.iterdir()} == RESULTS
    assert json.loads((out / "metadata.json").read_text())["n_lesions"] > 0
    assert dcmread(out / "sr.dcm").StudyInstanceUID == dcmread(next(study.rglob("*.dcm"))).StudyInstanceUID


def _remove_slice(study: Path) -> None:
    slices = [path for path in study.rglob("*.dcm") if dcmread(path, stop_before_pixels=True).Modality == "PT"]
    sorted(slices, key=lambda path: float(dcmread(path).ImagePositionPatient[2]))[len(slices) // 2].unlink()


def _unchanged(study: Path) -> None:
    pass


def test_models_that_the_user_may_not_read_have_their_code(
    shared_data: Path, tmp_path: Path, out: Path, network: Path
) -> None:
    models = Path(shutil.copytree(network, tmp_path / "models"))
    (models / "unet").chmod(0o700)  # of root, who is not the user of the container
    result = run_image(shared_data / "sts_dicom" / "STS_010", out, "-v", f"{models}:{MODELS_IN_IMAGE}:ro")
    assert result.returncode == ExitCode.MODEL, result.stdout + result.stderr
    assert "models cannot be read" in json.loads((out / "metadata.json").read_text())["exception_message"]


@pytest.mark.parametrize(
    ("code", "prepare", "options"),
    [
        (ExitCode.USAGE, _unchanged, {"METHOD": "magic"}),
        (ExitCode.GEOMETRY, _remove_slice, {}),
        (ExitCode.MODEL, _unchanged, {"MODEL_SHA256": "0" * 64}),
    ],
)
def test_exit_codes_reach_the_caller(
    shared_data: Path,
    tmp_path: Path,
    out: Path,
    network: Path,
    code: ExitCode,
    prepare: Callable[[Path], object],
    options: dict[str, str],
) -> None:
    study = Path(shutil.copytree(shared_data / "sts_dicom" / "STS_010", tmp_path / "study"))
    prepare(study)
    variables = {f"PETLESION_{name}": value for name, value in ({"METHOD": "fixed"} | options).items()}
    if code == ExitCode.MODEL:
        del variables["PETLESION_METHOD"]
    result = run_image(study, out, "-v", f"{network}:{MODELS_IN_IMAGE}:ro", **variables)
    assert result.returncode == code, result.stdout + result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["exit_code"] == code
    assert result.stderr == ""
    assert not list(out.glob("**/*.dcm"))


def test_stop_ends_within_five_seconds_and_leaves_nothing(shared_data: Path, out: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_010"
    started = podman("run", "--detach", *run_arguments(study, out), IMAGE)
    assert started.returncode == 0, started.stderr
    name = started.stdout.strip()
    try:
        deadline = time.monotonic() + 120
        while "graph starts" not in podman("logs", name).stdout:
            assert time.monotonic() < deadline, podman("logs", name).stdout
            time.sleep(0.2)
        asked = time.monotonic()
        podman("kill", "--signal", "TERM", name)
        waited = podman("wait", name)
        assert time.monotonic() - asked < 5
        assert waited.stdout.strip() == "143"
        assert list(out.iterdir()) == []
    finally:
        podman("rm", "--force", name)


def test_image_describes_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    bill = json.loads((target / "docs" / "sbom.cdx.json").read_text())
    listed = {(part["name"], part["version"]) for part in bill["components"] if part["type"] == "library"}
    listed.add(("petlesion", petlesion.__version__))
    script = (
        "from importlib.metadata import distributions as d; print(*(f'{i.name} {i.version}' for i in d()), sep=chr(10))"
    )
    printed = podman("run", "--rm", *CONFINED, "--entrypoint", "python3", IMAGE, "-c", script).stdout.splitlines()
    installed = {(canonicalize_name(name), version) for name, version in map(str.split, printed)}
    # pip and setuptools are those of the venv module where the base brings its own.
    assert {name for name, _ in installed} == {name for name, _ in listed} | {"pip"}
    assert {each for each in installed if each[0] not in ("pip", "setuptools")} <= listed
    licences = {path.name for path in (target / "docs" / "licenses").iterdir()}
    assert licences == {f"{name}-{version}" for name, version in listed}
    assert "python3" in (target / "docs" / "debian-packages.txt").read_text()
    with capsys.disabled():
        print(f"\n{IMAGE}: {details['Size'] / 1e9:.2f} GB")
