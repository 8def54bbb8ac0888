"""What the image is made of: wheels by pip itself, from indexes that are folders, and models; the build is left out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from petlesion.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
TORCH = "torch-2.13.0+cpu-py3-none-any.whl"
CUDA_TORCH = "torch-2.15.0-py3-none-any.whl"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the script, that needs torch alone."""
    project = tmp_path / "project"
    (project / "deploy_app").mkdir(parents=True)
    (project / "petlesion").mkdir()
    shutil.copy(ROOT / "deploy_app" / "build-image", project / "deploy_app")
    (project / "deploy_app" / "requirements.txt").write_text("torch==2.13.0+cpu\n    # via monai\n")
    (project / "deploy_app" / "requirements-gpu.txt").write_text("torch==2.15.0\n")
    (project / "petlesion" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (project / "pyproject.toml").write_text(
        '[project]\nname = "petlesion"\nversion = "0.1.0"\n[tool.setuptools]\npackages = ["petlesion"]\n'
    )
    return project


def write_torch(folder: Path, name: str = TORCH) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    version = name.split("-")[1]
    with zipfile.ZipFile(folder / name, "w") as wheel:
        metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
        wheel.writestr(f"torch-{version}.dist-info/METADATA", metadata)
        wheel.writestr(f"torch-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")


def gather(project: Path, torch_index: str, **settings: str) -> list[str]:
    """Run `build-image wheels`, pip knowing an empty index and `settings` alone; names of the wheels."""
    nothing = project.parent / "nothing"
    nothing.mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PYTHON": sys.executable, "PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": nothing.as_uri()}
    subprocess.run(
        ["bash", project / "deploy_app" / "build-image", "wheels"],
        env=environment | settings | {"TORCH_INDEX": torch_index},
        check=True,
        timeout=120,
    )
    return sorted(path.name for path in (project / "build" / "map" / "wheels").iterdir())


def test_torch_for_cpus_comes_from_its_own_index(project: Path, tmp_path: Path) -> None:
    write_torch(tmp_path / "pytorch" / "torch")
    (tmp_path / "pytorch" / "torch" / "index.html").write_text(f'<a href="{TORCH}">{TORCH}</a>')
    assert gather(project, (tmp_path / "pytorch").as_uri()) == ["petlesion-0.1.0-py3-none-any.whl", TORCH]


def test_that_index_is_not_needed_where_pip_finds_torch(project: Path, tmp_path: Path) -> None:
    write_torch(tmp_path / "wheels")
    found = gather(project, "http://127.0.0.1:9/unreachable", PIP_FIND_LINKS=str(tmp_path / "wheels"))
    assert found == ["petlesion-0.1.0-py3-none-any.whl", TORCH]


def test_torch_with_cuda_comes_from_where_all_others_do(project: Path, tmp_path: Path) -> None:
    for name in (TORCH, CUDA_TORCH):
        write_torch(tmp_path / "wheels", name)
    found = gather(project, "http://127.0.0.1:9/unreachable", PIP_FIND_LINKS=str(tmp_path / "wheels"), GPU="1")
    assert found == ["petlesion-0.1.0-py3-none-any.whl", CUDA_TORCH]


def versions(path: str) -> dict[str, str]:
    """Version by name, of a lock."""
    lines = (ROOT / path).read_text().splitlines()
    return {line.split("==")[0]: line.split("==")[1] for line in lines if re.match(r"[a-z].*==", line)}


def test_lock_with_cuda_is_a_part_of_the_tested_one_and_complete() -> None:
    cpu, gpu = versions("deploy_app/requirements.txt"), versions("deploy_app/requirements-gpu.txt")
    assert gpu.items() <= versions("requirements.txt").items()
    assert {name: version for name, version in gpu.items() if name in cpu and name != "torch"} | {
        "torch": cpu["torch"]
    } == cpu
    asked = [requirement for name in gpu for requirement in needed(name)]
    while asked:
        requirement = asked.pop()
        assert canonicalize_name(requirement.name) in gpu, requirement
        asked += needed(requirement.name, *requirement.extras) if requirement.extras else []


def needed(name: str, *extras: str) -> list[Requirement]:
    """What an installed distribution needs; with extras, what these add."""
    requirements = [Requirement(each) for each in metadata.requires(name) or ()]
    return [
        each
        for each in requirements
        if any(each.marker is None or each.marker.evaluate({"extra": extra}) for extra in extras or ("",))
    ]


def build(project: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `build-image image` with an engine that does nothing."""
    for name in ("LICENSE", "README.md", "CHANGELOG.md", "docs/how-to/deploy.md", "scripts/bill_of_materials.py"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project / name)
    for name in ("apps/petlesion/model", "deploy_app/operators"):
        shutil.copytree(ROOT / name, project / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "deploy_app" / "app.yaml", project / "deploy_app")
    shutil.copy(ROOT / "deploy_app" / "app.py", project / "deploy_app")
    wheels = project / "build" / "map" / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheels / "petlesion-0.1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("petlesion-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: petlesion\nVersion: 0.1.0\n")
    return subprocess.run(
        ["bash", project / "deploy_app" / "build-image", "image"],
        env=os.environ | {"PYTHON": sys.executable, "ENGINE": "true", "PYTHONPATH": str(ROOT)} | settings,
        cwd=project.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_only_models_whose_hash_is_right_go_into_the_image(project: Path, tmp_path: Path) -> None:
    """By default those of the repository; each becomes part of the bill of materials."""
    done = build(project)
    assert done.returncode == 0, done.stderr
    built = project / "build" / "map"
    assert (built / "models" / "unet" / "model.sha256").is_file()
    assert "model-unet" in (built / "docs" / "sbom.cdx.json").read_text()

    altered = Path(shutil.copytree(built / "models", tmp_path / "altered"))
    (altered / "unet" / "card.json").write_text("{}")
    done = build(project, MODELS="altered")
    assert done.returncode == ExitCode.MODEL, done.stderr
    assert "SHA-256" in done.stderr


def test_missing_engine_is_said(project: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "sed", "dirname", "cat"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    done = build(project, ENGINE="", PATH=str(tmp_path / "bin"))
    assert done.returncode == 1
    assert "found no buildah, podman or docker" in done.stderr
