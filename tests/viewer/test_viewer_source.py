"""The tests of the viewer's own source, which need Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

VIEWER = Path(__file__).parents[2] / "viewer"


def test_viewer_source() -> None:
    npx = shutil.which("npx")
    if npx is None or not (VIEWER / "node_modules" / ".bin" / "vitest").exists():
        pytest.skip("Node or the viewer's development packages are not there: make viewer")
    for command in (["tsc"], ["vitest", "run"]):
        done = subprocess.run([npx, *command], cwd=VIEWER, capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
