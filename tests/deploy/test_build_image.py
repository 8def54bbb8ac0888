"""The wheels of the image: pip itself, on indexes that are folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TORCH = "torch-2.13.0+cpu-py3-none-any.whl"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the script, that needs torch alone."""
    project = tmp_path / "project"
    (project / "deploy_app").mkdir(parents=True)
    (project / "petlesion").mkdir()
    shutil.copy(ROOT / "deploy_app" / "build-image", project / "deploy_app")
    (project / "deploy_app" / "requirements.txt").write_text("torch==2.13.0+cpu\n    # via monai\n")
    (project / "petlesion" / "__init__.py").write_text('__version__ = "0.1.0"\n')
    (project / "pyproject.toml").write_text(
        '[project]\nname = "petlesion"\nversion = "0.1.0"\n[tool.setuptools]\npackages = ["petlesion"]\n'
    )
    return project


def write_torch(folder: Path) -> None:
    folder.mkdir(parents=True)
    with zipfile.ZipFile(folder / TORCH, "w") as wheel:
        wheel.writestr(
            "torch-2.13.0+cpu.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n"
        )
        wheel.writestr("torch-2.13.0+cpu.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")


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
