"""The image of the deployed application, run as a hosting platform runs it: any user, nothing writable, no network."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest

import petlesion

IMAGE = os.environ.get("PETLESION_TEST_IMAGE", f"localhost/petlesion-map:{petlesion.__version__}")
REPOSITORY = Path(petlesion.__file__).resolve().parents[1]
CODE = ("petlesion", "deploy_app", "apps/petlesion/model")
MODELS_IN_IMAGE = "/opt/holoscan/models"
PODMAN = ["podman", *(["--runtime", "runc"] if shutil.which("runc") else []), "--cgroup-manager", "cgroupfs"]
CONFINED = [
    *("--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--user", "4711:4711", "--no-healthcheck", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
]


def podman(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of podman."""
    return subprocess.run([*PODMAN, *arguments], capture_output=True, text=True, check=False, timeout=300)


@cache
def changed_since_image() -> str:
    """A file of the code that is newer than the image; empty where there is none."""
    label = podman("image", "inspect", "--format", '{{index .Labels "org.opencontainers.image.created"}}', IMAGE)
    built = datetime.fromisoformat(label.stdout.strip()).timestamp()
    files = [path for name in CODE for path in (REPOSITORY / name).rglob("*") if path.is_file()]
    files = [path for path in files if path.suffix in (".py", ".yaml", ".txt", ".pt", ".json")]
    newest = max(files, key=lambda path: path.stat().st_mtime)
    return str(newest.relative_to(REPOSITORY)) if newest.stat().st_mtime > built else ""


def need_image() -> None:
    """Skip the test where the image is not there, or older than the code."""
    if shutil.which("podman") is None:
        pytest.skip("podman is not installed: make system-tools")
    if podman("image", "exists", IMAGE).returncode != 0:
        pytest.skip(f"the image {IMAGE} is not built: make map")
    if "PETLESION_TEST_IMAGE" not in os.environ and (changed := changed_since_image()):
        pytest.skip(f"the image {IMAGE} is older than {changed}: make map")


def readable_by_all(folder: Path) -> Path:
    """Let the user of a container, who is nobody on this host, read a folder."""
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return folder


def run_arguments(study: Path, out: Path, *more: str, **variables: str) -> list[str]:
    """Options of `podman run` for a study, an output folder, further options, and environment variables."""
    options = [f"--env={name}={value}" for name, value in variables.items()]
    mounts = ["-v", f"{study}:/var/holoscan/input:ro", "-v", f"{out}:/var/holoscan/output"]
    return [*CONFINED, *options, *mounts, *more]


def run_image(study: Path, out: Path, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Process a study in a container."""
    need_image()
    return podman("run", "--rm", *run_arguments(study, out, *more, **variables), IMAGE)
