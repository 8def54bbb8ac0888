"""The wheel in an environment of its own, away from the repository: what `pip install` gives is the whole product."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import requests
from annotation_server import REPOSITORY, write_small_study
from serve_command import serving

from petlesion.errors import ExitCode
from petlesion.networks.installed import verified_model

pytest.importorskip("setuptools", reason="needs setuptools to build the wheel")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves its work beside the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    caches = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("petlesion", "apps"):
        shutil.copytree(REPOSITORY / name, tree / name, ignore=caches)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tree)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*build, "--no-build-isolation", "--wheel-dir", folder, tree], check=True, timeout=120)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Interpreter of an environment with the wheel; everything else comes from the one of these tests."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    interpreter = folder / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, "--disable-pip-version-check", "--no-index", str(wheel)], check=True, timeout=120)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # after the wheel, so that petlesion is the wheel's, though this environment has the repository on its path
    (site_packages / "rest.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return interpreter


@pytest.fixture
def outside(python: Path) -> dict[str, str]:
    """Variables that name neither the repository nor Orthanc: Debian's Orthanc lies in /usr/sbin."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PETLESION", "MONAI"))}
    return kept | {"PATH": f"{python.parent}:{Path(sys.executable).parent}:/usr/bin:/bin"}


def test_package_is_the_one_of_the_wheel(python: Path, outside: dict[str, str], tmp_path: Path) -> None:
    code = "import petlesion; print(petlesion.__file__)"
    said = subprocess.run([python, "-c", code], env=outside, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(said.stdout).is_relative_to(python.parents[1])


def test_wheel_holds_every_file_of_the_app_and_the_model(wheel: Path) -> None:
    packed = {name.partition("/data/share/petlesion/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    app, model = REPOSITORY / "apps" / "petlesion", REPOSITORY / "apps" / "petlesion" / "model"
    sources = {f"app/{path.relative_to(app)}" for path in app.rglob("*.py")}
    shipped = {f"model/{path.relative_to(model)}" for path in model.glob("unet/*")}
    assert sources | shipped == packed - {""}


def test_installed_command_segments_with_the_network_that_ships(
    python: Path, outside: dict[str, str], tmp_path: Path
) -> None:
    study = write_small_study(tmp_path, "anna")
    command = [python, "-m", "petlesion", "segment", study.folder, "-o", tmp_path / "results", "--tracer", "f18-fdg"]
    said = subprocess.run(command, env=outside, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == ExitCode.DONE, said.stderr
    report = json.loads((tmp_path / "results" / "report.json").read_text())
    assert report["method"]["name"] == "unet"
    _, sha256 = verified_model(REPOSITORY / "apps" / "petlesion" / "model", "unet")
    assert report["method"]["weights_sha256"] == sha256


def test_installed_server_without_orthanc_offers_simulated_patients_of_a_folder(
    python: Path, outside: dict[str, str], tmp_path: Path
) -> None:
    assert shutil.which("Orthanc", path=outside["PATH"]) is None
    data = tmp_path / "data"
    with serving(data, "--patients", "1", python=python, environment=outside) as (_, said):
        assert Path(said["images"]) == data / "images"
        information = requests.get(f"{said['server']}/info/", timeout=30).json()
        assert information["datastore"]["total"] == 1
        assert "unet" in information["models"]
        query = {
            "image": next(iter(requests.get(f"{said['server']}/datastore/?output=all", timeout=60).json()["objects"]))
        }
        answer = requests.post(f"{said['server']}/infer/fixed", params=query | {"output": "json"}, timeout=120)
        assert answer.json()["lesions"]
