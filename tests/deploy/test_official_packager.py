"""`monai-deploy package deploy_app`: what it hands to Docker, held against a golden file, and the application in it.

The packager itself runs; only Docker, which it starts at the end, is left out. After a wanted change:

    UPDATE_GOLDEN=1 python -m pytest tests/deploy/test_official_packager.py
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import petlesion

REPOSITORY = Path(__file__).resolve().parents[2]
DEPLOY_APP = REPOSITORY / "deploy_app"
GOLDEN = Path(__file__).with_name("official_package.json")
LIBRARIES = "/opt/holoscan/lib"
HOLOSCAN = "4.2.0"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that Docker would build the image from."""
    command = pytest.importorskip("holoscan_cli.__main__", reason="holoscan-cli is not installed")
    from holoscan_cli.packager import container_builder

    folder = tmp_path_factory.mktemp("package")
    kept = folder / "context"
    # Without what else may lie there: all of it would be packaged.
    other = shutil.ignore_patterns("__pycache__", ".*", "models")
    application = Path(shutil.copytree(REPOSITORY / "deploy_app", folder / "deploy_app", ignore=other))
    shutil.copytree(REPOSITORY / "petlesion", folder / "lib" / "petlesion", ignore=other)
    (folder / "models" / "unet").mkdir(parents=True)
    (folder / "models" / "unet" / "config.yaml").write_text("{}")
    # Otherwise the packager downloads this list.
    source = {
        "wheel-version": HOLOSCAN,
        "debian-version": HOLOSCAN,
        "base-images": {"dgpu": "base"},
        "build-images": {"dgpu": {}, "igpu": {}, "cpu": {}},
    }
    (folder / "artifacts.json").write_text(json.dumps({HOLOSCAN: {"holoscan": source}}))

    def keep(**options: Any) -> None:
        shutil.copytree(options["context_path"], kept)

    arguments = ["monai-deploy", "package", str(application), "--config", str(application / "app.yaml")]
    arguments += ["--tag", f"petlesion:{petlesion.__version__}", "--platform", "x86_64", "--uid", "1000"]
    arguments += ["--models", str(folder / "models"), "--add", str(folder / "lib"), "--gid", "1000"]
    arguments += ["--source", str(folder / "artifacts.json"), "--build-cache", str(folder / "cache")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(container_builder, "create_and_get_builder", lambda name: name)
        patched.setattr(container_builder, "build_docker_image", keep)
        patched.setattr(sys, "argv", arguments)
        command.main()
    return kept


def rendered(context: Path) -> dict[str, Any]:
    """What of the context depends on this application: manifests, files, and the Dockerfile's instructions about it."""
    dockerfile = (context / "Dockerfile").read_text(encoding="utf-8")
    folders = (path for path in context.rglob("*") if path.is_file() and "lib" not in path.relative_to(context).parts)
    instructions = ("FROM", "LABEL", "COPY", "USER", "ENTRYPOINT", "ENV HOLOSCAN", "RUN pip")
    return {
        "app.json": json.loads((context / "map" / "app.json").read_text()),
        "pkg.json": json.loads((context / "map" / "pkg.json").read_text()),
        "files": sorted(str(path.relative_to(context)) for path in folders),
        # Where in the image the SDK puts the list of packages for a moment is its own affair.
        "dockerfile": [
            re.sub(r" /\S+/requirements\.txt$", " requirements.txt", line)
            for line in dockerfile.splitlines()
            if line.startswith(instructions)
        ],
    }


def test_context_is_that_of_the_golden_file(context: Path) -> None:
    found = rendered(context)
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    assert found == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_requirements_and_configuration_are_those_of_the_repository(context: Path) -> None:
    assert (context / "app.config").read_bytes() == (DEPLOY_APP / "app.yaml").read_bytes()
    locked = (DEPLOY_APP / "requirements.txt").read_text(encoding="utf-8")
    assert (context / "pip" / "requirements.txt").read_text(encoding="utf-8") == locked


def test_application_passes_its_selftest_with_the_paths_of_the_context(context: Path, tmp_path: Path) -> None:
    # The packager puts every sub-folder of the package on PYTHONPATH, so that its modules could hide other packages.
    dockerfile = (context / "Dockerfile").read_text(encoding="utf-8")
    found = re.search(r"^ENV PYTHONPATH=\$PYTHONPATH:(.*)$", dockerfile, re.MULTILINE)
    assert found is not None
    environment = {**os.environ, "PYTHONPATH": found[1].replace(LIBRARIES, str(context / "lib"))}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    where = run("-c", "import petlesion; print(petlesion.__file__)")
    assert Path(where.stdout.strip()) == context / "lib" / "petlesion" / "__init__.py", where.stderr
    tested = run(str(context / "app"), "--selftest")
    assert tested.returncode == 0, tested.stdout + tested.stderr
