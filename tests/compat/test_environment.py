"""The installed environment is the locked one, and lacks nothing but what is dropped on purpose."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SITE_PACKAGES = list({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})

pytestmark = pytest.mark.skipif(
    not any(metadata.distributions(name="monailabel")), reason="not the locked environment: run `make test`"
)


def pins() -> dict[str, str]:
    """Name and version of each package in the lock."""
    return dict(line.split("==") for line in lines(ROOT / "requirements.txt"))


def lines(path: Path) -> list[str]:
    """Lines of a requirements file without comments."""
    stripped = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in stripped if line]


def unmet() -> Iterator[tuple[str, str | None]]:
    """Yield each requirement an installed package has and the installed version that does not meet it.

    `pip check` would tell the same, but stops at the malformed wheel tag of itk 5.4.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    # not all of sys.path: importing setuptools appends the packages that it carries inside itself
    installed = {canonicalize_name(found.name): found for found in metadata.distributions(path=SITE_PACKAGES)}
    wanted, seen = [(name, "") for name in installed], set()
    while wanted:
        name, extra = wanted.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, installed[name].requires or []):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            other = canonicalize_name(requirement.name)
            version = installed[other].version if other in installed else None
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                yield other, version
            else:
                wanted += [(other, asked) for asked in requirement.extras]


def test_lock_names_versions_and_nothing_else() -> None:
    """No index, host, path or option: the lock installs from wherever pip is configured to look."""
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+]+", line) for line in lines(ROOT / "requirements.txt"))


def test_every_locked_package_is_installed_in_its_version() -> None:
    assert {name: metadata.version(name) for name in pins()} == pins()


def test_nothing_is_missing_but_what_overrides_drop() -> None:
    dropped = {line.split(" ;")[0] for line in lines(ROOT / "overrides.txt")}

    assert set(unmet()) == {(name, None) for name in dropped - {"pydicom-seg"}}


def test_direct_requirements_of_the_package_are_in_the_lock() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    names = {canonicalize_name(Requirement(line).name) for line in metadata.requires("petlesion") or []}

    assert names - {"petlesion"} <= set(pins())


@pytest.mark.parametrize(
    "name",
    [
        "JPEGBaseline8Bit",
        "JPEGExtended12Bit",
        "JPEGLossless",
        "JPEGLosslessSV1",
        "JPEGLSLossless",
        "JPEGLSNearLossless",
        "JPEG2000Lossless",
        "JPEG2000",
        "HTJ2KLossless",
        "HTJ2K",
        "RLELossless",
    ],
)
def test_compressed_pixel_data_can_be_decoded(name: str) -> None:
    from pydicom import uid
    from pydicom.pixels import get_decoder

    assert get_decoder(getattr(uid, name)).is_available


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_monailabel_writes_images_with_the_part_of_itk_that_is_installed(tmp_path: Path, extension: str) -> None:
    import SimpleITK as sitk
    from monailabel.transform.writer import write_itk

    label = np.zeros((3, 4, 5), np.uint8)
    label[1, 2, 3] = 7
    path = tmp_path / f"label{extension}"

    write_itk(label, str(path), affine=np.diag([-2.0, -3.0, 4.0, 1.0]), dtype=None, compress=True)

    image = sitk.ReadImage(path)
    assert image.GetPixel(1, 2, 3) == 7
    assert image.GetSpacing() == (2, 3, 4)
