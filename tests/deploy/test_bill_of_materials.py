"""Bill of materials and licences of the image, from wheels."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is not installed")
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bill_of_materials.py"


def write_wheel(folder: Path, name: str, *fields: str, licence: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        lines = ["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *fields]
        archive.writestr(f"{name}-1.0.dist-info/METADATA", "\n".join(lines) + "\n")
        if licence:
            archive.writestr(f"{name}-1.0.dist-info/licenses/{licence}", "may be used")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Bill and licences of four small wheels and a model."""
    wheels, model = tmp_path / "wheels", tmp_path / "models" / "unet"
    write_wheel(wheels, "petlesion", "License-Expression: Apache-2.0", "Requires-Dist: Some_Part>=1", licence="LICENSE")
    write_wheel(
        wheels, "some_part", "License: MIT", 'Requires-Dist: unused; extra == "more"', licence="../../../escape"
    )
    write_wheel(wheels, "old", "Classifier: License :: OSI Approved :: BSD License")
    write_wheel(wheels, "silent")
    model.mkdir(parents=True)
    (model / "model.pt").write_bytes(b"weights")
    (model / "card.json").write_text("{}")
    (model / "model.sha256").write_text("ab" * 32 + "\n")
    subprocess.run([sys.executable, SCRIPT, wheels, model.parent, tmp_path / "out"], check=True, timeout=60)
    return tmp_path / "out"


def bill(out: Path) -> dict[str, Any]:
    text = (out / "sbom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return dict(json.loads(text))


def test_bill_satisfies_its_schema_and_lists_hashes_licences_and_models(out: Path, tmp_path: Path) -> None:
    document = bill(out)
    assert document["metadata"]["component"]["name"] == "petlesion"
    parts = {part["name"]: part for part in document["components"]}
    assert set(parts) == {"some-part", "old", "silent", "unet"}
    wheel = tmp_path / "wheels" / "old-1.0-py3-none-any.whl"
    assert parts["old"]["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    assert parts["some-part"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert parts["old"]["licenses"] == [{"license": {"name": "BSD License"}}]
    assert parts["silent"]["licenses"] == [{"license": {"name": "not declared"}}]
    assert parts["unet"]["type"] == "machine-learning-model"
    assert parts["unet"]["version"] == "ab" * 6
    assert parts["unet"]["properties"] == [{"name": "petlesion:model_sha256", "value": "ab" * 32}]
    assert parts["unet"]["hashes"][0]["content"] == hashlib.sha256(b"weights").hexdigest()


def test_every_part_hangs_on_the_application(out: Path) -> None:
    edges = {each["ref"]: set(each.get("dependsOn", ())) for each in bill(out)["dependencies"]}
    assert edges["petlesion==1.0"] == {"some-part==1.0", "old==1.0", "silent==1.0", "model-unet"}
    assert edges["some-part==1.0"] == set()


def test_licences_are_gathered_and_stay_in_their_folder(out: Path) -> None:
    folder = out / "licenses"
    assert (folder / "petlesion-1.0" / "LICENSE").read_text() == "may be used"
    assert (folder / "some-part-1.0" / "escape").read_text() == "may be used"
    assert "BSD License" in (folder / "old-1.0" / "METADATA").read_text()
    assert {path.name for path in folder.iterdir()} == {"petlesion-1.0", "some-part-1.0", "old-1.0", "silent-1.0"}
