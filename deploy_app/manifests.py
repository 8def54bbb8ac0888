"""Manifests of the MONAI Application Package, and the commands `show` and `extract` of its container.

Follows the MAP specification (Project-MONAI/monai-deploy, guidelines/monai-application-package.md). Where the official
packager writes something else (`output.formats`, `HOLOSCAN_DOCS_PATH`), both are there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import yaml

import petlesion
from paths import MODELS
from petlesion.errors import OutputError, UsageError, reason
from settings import DEFAULT_CONFIG, OWN_CONFIG, Settings, config_file

APPLICATION: Final = "/opt/holoscan/app"
DOCS: Final = "/opt/holoscan/docs"
MANIFESTS: Final = Path("/etc/holoscan")
EXPORT: Final = Path("/var/run/holoscan/export")
"""Where `extract` copies to: this folder, or those of its sub-folders that exist."""
NAMES: Final = {"app": "app.json", "pkg": "pkg.json"}
API_VERSION: Final = "1.0.0"

_ENVIRONMENT: Final = {
    "HOLOSCAN_APPLICATION": APPLICATION,
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output",
    "HOLOSCAN_WORKDIR": "/var/holoscan",
    "HOLOSCAN_MODEL_PATH": MODELS,
    "HOLOSCAN_CONFIG_PATH": DEFAULT_CONFIG,
    "HOLOSCAN_APP_MANIFEST_PATH": str(MANIFESTS / NAMES["app"]),
    "HOLOSCAN_PKG_MANIFEST_PATH": str(MANIFESTS / NAMES["pkg"]),
    "HOLOSCAN_DOCS": DOCS,
    "HOLOSCAN_DOCS_PATH": DOCS,
    "HOLOSCAN_LOGS": "/var/holoscan/logs",
    "HOLOSCAN_LOGS_PATH": "/var/holoscan/logs",
}


def application_manifest() -> dict[str, Any]:
    """Content of `app.json`."""
    application = _config()["application"]
    formats = {direction: [{"format": name} for name in application[f"{direction}-formats"]] for direction in _WAYS}
    return {
        "apiVersion": API_VERSION,
        "type": "application",
        "command": f"python3 {APPLICATION}",
        "environment": dict(_ENVIRONMENT),
        "input": {
            "path": _ENVIRONMENT["HOLOSCAN_INPUT_PATH"],
            "formats": [{**each, "data": "DICOM", "modalities": ["PT", "CT"]} for each in formats["input"]],
        },
        "output": {
            "path": _ENVIRONMENT["HOLOSCAN_OUTPUT_PATH"],
            "format": {**formats["output"][0], "data": _RESULTS},
            "formats": formats["output"],
        },
        "readiness": {
            "type": "command",
            "command": ["python3", APPLICATION, "--selftest"],
            "initialDelaySeconds": 1,
            "periodSeconds": 3600,
            "timeoutSeconds": 120,
            "failureThreshold": 1,
        },
        "liveness": None,
        "sdk": "holoscan",
        "sdkVersion": metadata.version("holoscan-cu13"),
        "timeout": int(Settings.model_fields["timeout"].default),
        "version": petlesion.__version__,
        "workingDirectory": _ENVIRONMENT["HOLOSCAN_WORKDIR"],
    }


def package_manifest(models: Path = Path(MODELS)) -> dict[str, Any]:
    """Content of `pkg.json`.

    Parameters
    ----------
    models
        Folder with a sub-folder for each model that is part of the image.
    """
    names = sorted(entry.name for entry in os.scandir(models) if entry.is_dir()) if models.is_dir() else []
    return {
        "apiVersion": API_VERSION,
        "applicationRoot": APPLICATION,
        "modelRoot": MODELS,
        "models": [{"name": name, "path": name} for name in names],
        "resources": _config()["resources"],
        "version": petlesion.__version__,
        "platformConfig": "cpu",
    }


def write_manifests(folder: Path = MANIFESTS) -> None:
    """Write both manifests, when the image is built."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in (("app", application_manifest()), ("pkg", package_manifest())):
        (folder / NAMES[name]).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def show(which: str | None = None) -> str:
    """The manifests as text: those of the image, or of this code where it is not in an image.

    Parameters
    ----------
    which
        `app` or `pkg`; None for both, in one JSON document.
    """
    documents = {
        "app": _installed("app") or application_manifest(),
        "pkg": _installed("pkg") or package_manifest(),
    }
    shown = documents[which] if which else {NAMES[name]: document for name, document in documents.items()}
    return json.dumps(shown, indent=2) + "\n"


def extract(target: Path = EXPORT) -> list[str]:
    """Copy application, configuration, models and documentation to a mounted folder.

    Parameters
    ----------
    target
        All is copied there; or, if it has sub-folders `app`, `config`, `models`, `docs`, only what these name.

    Returns
    -------
    list of str
        What was copied.

    Raises
    ------
    UsageError
        If nothing is mounted at `target`.
    OutputError
        If it cannot be written.
    """
    if not target.is_dir():
        raise UsageError(
            f"nothing is mounted at {target}", remedy=f"mount a writable folder there (-v FOLDER:{target})"
        )
    parts = ("app", "config", "models", "docs")
    wanted = [name for name in parts if (target / name).is_dir()] or list(parts)
    try:
        for name in wanted:
            _copy_part(name, target / name)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be written ({reason(error)})", remedy="mount a folder that this user may write"
        ) from error
    return wanted


def _copy_part(name: str, target: Path) -> None:
    target.mkdir(exist_ok=True)
    if name == "config":
        (target / "app.yaml").write_bytes(config_file().read_bytes())
        write_manifests(target)
        return
    source = {"app": OWN_CONFIG.parent, "models": Path(MODELS), "docs": Path(DOCS)}[name]
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


def _installed(which: str) -> Any:
    path = MANIFESTS / NAMES[which]
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _config() -> Any:
    return yaml.safe_load(OWN_CONFIG.read_text(encoding="utf-8"))


_WAYS: Final = ("input", "output")
_RESULTS: Final = ["DICOM SEG", "DICOM SR (TID 1500)", "DICOM RTSTRUCT", "PDF", "JSON", "CSV"]

if __name__ == "__main__":
    write_manifests(*(Path(argument) for argument in sys.argv[1:2]))
