"""What the core may import, and what must wait until it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import petlesion

PACKAGE = Path(petlesion.__file__).parent
FRONT_DOORS = {"monailabel", "holoscan", "lib", "deploy_app", "operators"}
"""Frameworks of the annotation server and the container, and the packages of the two apps."""
HEAVY = {"torch", "monai", "monailabel", "holoscan", "SimpleITK", "highdicom"}
"""Packages that take seconds to import."""
_HELP = """
import sys
from petlesion.cli import run

assert run(["segment", "--help"]) == 0
print("loaded", *(name for name in sys.modules if "." not in name))
"""


def imported(source: Path) -> Iterator[str]:
    """Modules that a file imports anywhere, also within functions."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_core_imports_no_front_door() -> None:
    found = {(str(path.relative_to(PACKAGE)), name) for path in PACKAGE.rglob("*.py") for name in imported(path)}
    assert ("cli.py", "petlesion.segment.options") in found
    assert ("segment/methods.py", "petlesion.segment.network") in found, "imports within functions count"
    assert {(path, name) for path, name in found if name.split(".")[0] in FRONT_DOORS} == set()


def test_help_waits_for_no_heavy_package() -> None:
    said = subprocess.run([sys.executable, "-c", _HELP], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    loaded = set(said.stdout.splitlines()[-1].split())
    assert "petlesion" in loaded
    assert loaded & HEAVY == set()
