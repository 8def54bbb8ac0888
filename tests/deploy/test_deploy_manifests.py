"""Manifests against the MAP specification (Project-MONAI/monai-deploy, guidelines/monai-application-package.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import manifests
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from settings import OWN_CONFIG

import petlesion
from petlesion.errors import UsageError

SemanticVersion = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+\.\d+$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/")]
ModelName = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f]{1,128}$")]
Memory = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d)?(Gi|Mi)$")]
Count = Annotated[float, Field(ge=0, multiple_of=0.1)]


class Section(BaseModel):
    model_config = ConfigDict(strict=True, alias_generator=to_camel)


class Input(Section):
    path: str = "input/"
    formats: Annotated[list[dict[str, Any]], Field(min_length=1)]


class Output(Section):
    path: str = "output/"
    format: dict[str, Any]


class CommandProbe(Section):
    type: Literal["command"]
    command: Annotated[list[str], Field(min_length=1)]
    initial_delay_seconds: int = 1
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3


class ApplicationManifest(Section):
    api_version: SemanticVersion
    type: Literal["application", "service"]
    command: Annotated[str, StringConstraints(min_length=1)]
    environment: dict[str, str]
    input: Input
    output: Output
    readiness: CommandProbe | None
    liveness: CommandProbe | None
    sdk: str
    sdk_version: SemanticVersion
    timeout: Annotated[int, Field(ge=0)]
    version: SemanticVersion
    working_directory: AbsolutePath


class Model(Section):
    name: ModelName
    path: str | None = None


class Resources(Section):
    model_config = ConfigDict(strict=False, extra="forbid")
    cpu: Count
    cpu_limit: Count | None = None
    gpu: Count = 0
    gpu_limit: Count | None = None
    memory: Memory
    memory_limit: Memory | None = None
    gpu_memory: Memory | None = None
    shared_memory: Memory


class PackageManifest(Section):
    api_version: SemanticVersion
    application_root: AbsolutePath
    model_root: AbsolutePath
    models: list[Model]
    resources: Resources
    version: SemanticVersion


REQUIRED_ENVIRONMENT = {
    "HOLOSCAN_INPUT_PATH",
    "HOLOSCAN_OUTPUT_PATH",
    "HOLOSCAN_WORKDIR",
    "HOLOSCAN_MODEL_PATH",
    "HOLOSCAN_CONFIG_PATH",
    "HOLOSCAN_APP_MANIFEST_PATH",
    "HOLOSCAN_PKG_MANIFEST_PATH",
    "HOLOSCAN_DOCS",
    "HOLOSCAN_LOGS",
}


def test_application_manifest_satisfies_the_specification() -> None:
    manifest = ApplicationManifest.model_validate(manifests.application_manifest())
    assert set(manifest.environment) >= REQUIRED_ENVIRONMENT
    assert manifest.version == petlesion.__version__


def test_package_manifest_satisfies_the_specification(tmp_path: Path) -> None:
    for name in ("unet-fdg", "unet-dotatate"):
        (tmp_path / name).mkdir()
    manifest = PackageManifest.model_validate(manifests.package_manifest(tmp_path))
    assert [model.name for model in manifest.models] == ["unet-dotatate", "unet-fdg"]


def test_version_of_the_configuration_is_that_of_the_package() -> None:
    assert yaml.safe_load(OWN_CONFIG.read_text())["application"]["version"] == petlesion.__version__


def test_official_packager_reads_the_configuration() -> None:
    reader = pytest.importorskip("holoscan_cli.packager.config_reader", reason="holoscan-cli is not installed")
    configuration = reader.ApplicationConfiguration()
    configuration.read(OWN_CONFIG)
    assert configuration.title() == "petlesion"


def test_manifests_are_shown_and_extracted(tmp_path: Path) -> None:
    shown = json.loads(manifests.show())
    assert shown["app.json"] == manifests.application_manifest()
    assert json.loads(manifests.show("pkg")) == shown["pkg.json"]
    assert manifests.extract(tmp_path) == ["app", "config", "models", "docs"]
    assert (tmp_path / "app" / "operators" / "segment_lesions.py").is_file()
    assert json.loads((tmp_path / "config" / "app.json").read_text()) == shown["app.json"]


def test_only_the_mounted_part_is_extracted(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    assert manifests.extract(tmp_path) == ["config"]
    assert sorted(path.name for path in (tmp_path / "config").iterdir()) == ["app.json", "app.yaml", "pkg.json"]


def test_nothing_mounted_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mount"):
        manifests.extract(tmp_path / "nothing")
