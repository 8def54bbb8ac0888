from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion import cli_options
from petlesion.errors import ModelError
from petlesion.networks import installed
from petlesion.networks.installed import MODELS_VARIABLE, installed_model, models_folder, verified_model
from petlesion.networks.model_config import ArchitectureConfig, ModelConfig
from petlesion.networks.model_folder import write_model
from petlesion.networks.registry import Registry
from petlesion.networks.unet import build_unet
from petlesion.segment import methods
from petlesion.segment.methods import default_method
from petlesion.segment.options import MethodName

CONFIG = ModelConfig(architecture=ArchitectureConfig(filters=(2, 4, 8)), patch=(16, 16, 16))


def write(folder: Path, note: str) -> None:
    write_model(folder, build_unet(CONFIG).state_dict(), CONFIG, {"note": note})


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    assert models_folder() == tmp_path
    assert installed_model("unet") is None
    assert default_method() is MethodName.PERCIST


def test_the_first_place_that_exists_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(MODELS_VARIABLE, raising=False)
    monkeypatch.setattr(installed, "_PLACES", (tmp_path / "repository", tmp_path / "package"))
    assert models_folder() == tmp_path / "repository"  # to name in errors
    (tmp_path / "package").mkdir()
    assert models_folder() == tmp_path / "package"


def test_the_version_in_service_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    write(tmp_path / "unet", "as it came")
    assert installed_model("unet") == tmp_path / "unet"
    assert default_method() is MethodName.UNET
    write(tmp_path / "retrained", "of this site")
    registry = Registry.of(tmp_path, "unet")
    registry.publish(registry.add(tmp_path / "retrained", {"accepted": True, "verdict": "better"}).number)
    assert installed_model("unet") == tmp_path / "unet" / "v0001"


def test_without_its_libraries_the_network_is_no_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    write(tmp_path / "unet", "as it came")
    monkeypatch.setattr(methods, "find_spec", lambda name: None)
    assert default_method() is MethodName.PERCIST


def test_a_damaged_record_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    write(tmp_path / "unet", "as it came")
    (tmp_path / "unet" / "current.json").write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        installed_model("unet")


def test_an_exported_model_is_verified(tmp_path: Path) -> None:
    write(tmp_path / "site" / "unet", "as it came")
    exported = Registry.of(tmp_path / "site", "unet").export(tmp_path / "out")
    folder, sha256 = verified_model(tmp_path / "out", "unet")
    assert (folder, sha256) == (tmp_path / "out" / "unet", exported.sha256)
    assert verified_model(tmp_path / "out", "unet", sha256.upper()) == (folder, sha256)
    with pytest.raises(ModelError, match="not 0000"):
        verified_model(tmp_path / "out", "unet", "0" * 64)
    card = folder / "card.json"
    card.chmod(0o644)
    card.write_text(card.read_text().replace("as it came", "as it left"))
    with pytest.raises(ModelError, match="restore its files"):
        verified_model(tmp_path / "out", "unet")


def test_an_exported_model_begins_a_folder_of_versions(tmp_path: Path) -> None:
    write(tmp_path / "product" / "unet", "as it came")
    Registry.of(tmp_path / "product", "unet").export(tmp_path / "site")
    write(tmp_path / "retrained", "of this site")
    registry = Registry.of(tmp_path / "site", "unet")
    registry.publish(registry.add(tmp_path / "retrained", {"accepted": True, "verdict": "better"}).number)
    assert registry.current().number == 1
    assert registry.rollback().version == 0


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="folder of models does not exist"):
        verified_model(tmp_path / "mistyped", "unet")


def test_a_missing_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model is in service"):
        verified_model(tmp_path, "unet")


def test_the_record_of_an_identity_may_be_anything(tmp_path: Path) -> None:
    write(tmp_path / "unet", "as it came")
    (tmp_path / "unet" / "model.sha256").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="as recorded"):
        verified_model(tmp_path, "unet")
    (tmp_path / "unet" / "model.sha256").write_text("x" * 10_000)
    with pytest.raises(ModelError, match="not xxxx"):
        verified_model(tmp_path, "unet")


def test_the_command_line_says_that_packages_of_the_network_are_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(methods, "_NETWORK_PACKAGES", ("a_package_that_nobody_has",))
    assert cli_options.default_method() is MethodName.PERCIST
    assert capsys.readouterr().err == ""
    write(tmp_path / "unet", "as it came")
    assert cli_options.default_method() is MethodName.PERCIST
    assert 'pip install "petlesion[network]"' in capsys.readouterr().err
