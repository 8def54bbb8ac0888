"""Bill of materials (CycloneDX 1.6) and licence texts of the image, read from the wheels it is made of.

Written on cyclonedx-python-lib rather than called as `cyclonedx-py`: that lists an environment or a requirements file,
without the hashes of the wheels that are installed and without the models.

    python scripts/bill_of_materials.py WHEELS MODELS OUT

writes `OUT/sbom.cdx.json` and `OUT/licenses/<name>-<version>/`.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import uuid
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import Path, PurePosixPath
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = "petlesion"
"""Distribution that the image is made for; the others are there because of it."""
_LICENCE_FILE: Final = re.compile(r"\.dist-info/(licenses/.+|(LICEN[CS]E|COPYING|NOTICE)[^/]*)$", re.IGNORECASE)
_NAME_LENGTH: Final = 60
"""Longer entries of the field License are whole texts, not names."""


@dataclass(frozen=True)
class Wheel:
    """What a wheel says of itself.

    Attributes
    ----------
    path
        The file.
    metadata
        Its `METADATA` (core metadata of Python packages).
    licences
        Name of a licence file → its content.
    """

    path: Path
    metadata: Message
    licences: dict[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read a wheel without installing it."""
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            found = next(name for name in names if re.fullmatch(r"[^/]+\.dist-info/METADATA", name))
            licences = {
                name.split(".dist-info/", 1)[1].removeprefix("licenses/"): archive.read(name)
                for name in names
                if _LICENCE_FILE.search(name) and not name.endswith("/")
            }
            return cls(path, BytesParser().parsebytes(archive.read(found)), licences)

    @property
    def name(self) -> str:
        """Normalised name of the distribution."""
        return canonicalize_name(str(self.metadata["Name"]))

    @property
    def version(self) -> str:
        """Version of the distribution."""
        return str(self.metadata["Version"])

    def licence(self) -> License:
        """Licence as declared: the SPDX expression, else the short name, else the classifier."""
        factory = LicenseFactory()
        declared = str(self.metadata.get("License-Expression") or self.metadata.get("License") or "").strip()
        named = "\n" not in declared and 0 < len(declared) <= _NAME_LENGTH
        if named or "License-Expression" in self.metadata:
            return factory.make_from_string(declared)
        classes = [str(each) for each in self.metadata.get_all("Classifier", []) if str(each).startswith("License ::")]
        return factory.make_with_name(" or ".join(each.rsplit(" :: ", 1)[-1] for each in classes) or "not declared")

    def requires(self) -> set[str]:
        """Names of the distributions that it needs, without its extras."""
        environment = {**default_environment(), "extra": ""}
        requirements = [Requirement(str(each)) for each in self.metadata.get_all("Requires-Dist", [])]
        return {
            canonicalize_name(each.name)
            for each in requirements
            if not each.marker or each.marker.evaluate(environment)
        }

    def component(self) -> Component:
        """The entry of the bill of materials."""
        return Component(
            name=self.name,
            version=self.version,
            type=ComponentType.APPLICATION if self.name == ROOT else ComponentType.LIBRARY,
            bom_ref=f"{self.name}=={self.version}",
            description=str(self.metadata.get("Summary") or "") or None,
            licenses=[self.licence()],
            purl=PackageURL("pypi", name=self.name, version=self.version),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(self.path.read_bytes()).hexdigest())],
        )


def bill_of_materials(wheels: list[Wheel], models: Path) -> Bom:
    """List what the image is made of.

    Parameters
    ----------
    wheels
        All that are installed.
    models
        Folder with a folder a model, as `petlesion export` writes it; may be missing.
    """
    components = {wheel.name: wheel.component() for wheel in wheels}
    root = components[ROOT]
    weights = [_model_component(record) for record in sorted(models.glob("*/model.sha256"))]
    bom = Bom(components=[*(each for each in components.values() if each is not root), *weights])
    bom.metadata.component = root
    for wheel in wheels:
        needed = [components[name] for name in sorted(wheel.requires() & components.keys())]
        if wheel.name == ROOT:
            needed += [each for each in components.values() if each is not root and each not in needed] + weights
        bom.register_dependency(components[wheel.name], needed)
    # The same wheels and models have the same number.
    content = "".join(str(each.hashes) + str(each.properties) for each in [*components.values(), *weights])
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, content)
    return bom


def write_licences(wheels: list[Wheel], folder: Path) -> None:
    """Write the licence texts; for a wheel that has none, the metadata that name its licence."""
    for wheel in wheels:
        texts = wheel.licences or {"METADATA": wheel.metadata.as_bytes()}
        for name, content in texts.items():
            parts = [part for part in PurePosixPath(name).parts if part not in ("..", "/")]
            target = folder.joinpath(f"{wheel.name}-{wheel.version}", *parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def _model_component(record: Path) -> Component:
    sha256 = record.read_text(encoding="ascii").strip()
    card = json.loads((record.parent / "card.json").read_text(encoding="utf-8"))
    return Component(
        name=record.parent.name,
        version=sha256[:12],
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model-{record.parent.name}",
        description=str(card.get("description") or "network that finds lesions; see its card.json"),
        hashes=[
            HashType(
                alg=HashAlgorithm.SHA_256,
                content=hashlib.sha256((record.parent / "model.pt").read_bytes()).hexdigest(),
            )
        ],
        properties=[Property(name="petlesion:model_sha256", value=sha256)],
    )


def main(wheel_folder: Path, models: Path, out: Path) -> None:
    """Write the bill and the licences."""
    wheels = [Wheel.read(path) for path in sorted(wheel_folder.glob("*.whl"))]
    out.mkdir(parents=True, exist_ok=True)
    document = JsonV1Dot6(bill_of_materials(wheels, models)).output_as_string(indent=2)
    (out / "sbom.cdx.json").write_text(document + "\n", encoding="utf-8")
    write_licences(wheels, out / "licenses")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
