"""Where files that are no part of the package are looked for."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import petlesion
from petlesion.data_files import places

REPOSITORY = Path(petlesion.__file__).resolve().parents[1]
SYSTEM_PYTHON = Path("/usr/bin/python3")


def test_the_repository_comes_first() -> None:
    first, _ = places("apps/petlesion/model", "model")
    assert (first / "unet" / "model.pt").is_file()


@pytest.mark.skipif(not SYSTEM_PYTHON.is_file(), reason="the system has no Python of its own")
@pytest.mark.parametrize(
    ("module", "found", "name"),
    [
        ("petlesion.networks.installed", "_PLACES[1]", "model"),
        ("petlesion.data_files", "places('build/ohif', 'ohif')[1]", "ohif"),
    ],
)
def test_data_of_a_wheel_are_where_pip_of_the_system_installs(module: str, found: str, name: str) -> None:
    code = f"import {module} as module, sysconfig; print(module.{found}); print(sysconfig.get_path('data'))"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    said = subprocess.run([SYSTEM_PYTHON, "-c", code], env=environment, capture_output=True, text=True, check=True)
    place, data = said.stdout.splitlines()
    assert Path(place) == Path(data) / "share" / "petlesion" / name
