"""Which PET and CT win, which lose, and what is said of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from synthetic_dicom import Change, axial_grid, ct_header, pattern, pet_header, write_series

from petlesion.dicom.scan import scan
from petlesion.dicom.selection import choose_ct, choose_pet
from petlesion.dicom.series import Stack, stack_slices
from petlesion.errors import GeometryError, NoPetError, UsageError
from petlesion.identifiers import derived_uid
from petlesion.volume import Grid, Volume

Write = Callable[..., str]


@pytest.fixture
def pet(tmp_path: Path) -> Write:
    """Writes a PET under a name, with changed attributes; returns its SeriesInstanceUID."""

    def write(name: str, *, slices: int = 8, change: Change = lambda _header, _k: None, **attributes: Any) -> str:
        return _write(tmp_path, pet_header(), axial_grid((slices, 3, 3)), name, change, attributes)

    return write


@pytest.fixture
def ct(tmp_path: Path) -> Write:
    """Writes a CT under a name, with changed attributes; returns its SeriesInstanceUID."""

    def write(
        name: str, *, grid: Grid | None = None, change: Change = lambda _header, _k: None, **attributes: Any
    ) -> str:
        return _write(tmp_path, ct_header(), grid or axial_grid((8, 3, 3)), name, change, attributes)

    return write


def _write(folder: Path, header: Dataset, grid: Grid, name: str, change: Change, attributes: dict[str, Any]) -> str:
    for keyword, value in attributes.items():
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    write_series(folder / name, Volume(pattern(grid), grid), header, name=name, change=change)
    return derived_uid("series", name)


def _choose(folder: Path, uid: str | None = None) -> tuple[str, str]:
    """SeriesDescription of the chosen PET, and all reasons."""
    chosen, reasons, _ = choose_pet(scan(folder).series, folder, uid)
    assert all(reason.endswith(".") for reason in reasons)
    return str(chosen.instances[0].header.SeriesDescription), "\n".join(reasons)


def _twice(folder: Path, name: str) -> None:
    """Add a second frame of a series that exists."""

    def later(header: Dataset, _: int) -> None:
        header.SOPInstanceUID = f"{header.SOPInstanceUID}.2"
        header.FrameReferenceTime = "600000"

    grid = axial_grid((8, 3, 3))
    write_series(folder / f"{name}2", Volume(pattern(grid), grid), pet_header(), name=name, change=later)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"CorrectedImage": ["DECY"]}, "not attenuation-corrected"),
        ({"CorrectedImage": ["ATTN"]}, "not decay-corrected"),
        ({"CorrectedImage": []}, "not attenuation-corrected"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "ImageType says MIP"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "PROJECTION IMAGE", "PROJECTION"]}, "ImageType says PROJECTION"),
        ({"SeriesType": ["STATIC", "REPROJECTION"]}, "SeriesType says REPROJECTION"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not PET Image Storage"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.130"}, "enhanced multi-frame"),
    ],
)
def test_unusable_ones_lose_and_alone_are_refused(
    tmp_path: Path, pet: Write, attributes: dict[str, Any], reason: str
) -> None:
    pet("bad", slices=20, **attributes)
    with pytest.raises((NoPetError, GeometryError), match=reason):
        _choose(tmp_path)
    pet("good")
    chosen, reasons = _choose(tmp_path)
    assert chosen == "good"
    assert "the only usable PET" in reasons
    assert f'PET series 1 "bad" ({derived_uid("series", "bad")}) not used: it' in reasons
    assert reason in reasons


@pytest.mark.parametrize(
    "attributes",
    [
        {"CorrectedImage": ["ATTN"], "DecayCorrection": "NONE"},
        {"CorrectedImage": None, "AttenuationCorrectionMethod": "CT-derived mu-map"},
        {"SeriesType": ["STATIC", "IMAGE"]},
        {"SeriesType": None},
        {"ImageType": ["DERIVED", "SECONDARY"]},
    ],
)
def test_usable_alone(tmp_path: Path, pet: Write, attributes: dict[str, Any]) -> None:
    pet("only", **attributes)
    assert _choose(tmp_path)[0] == "only"


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        ({}, {"ImageType": ["DERIVED", "PRIMARY"]}, "it is derived, not original"),
        ({}, {"ImageType": ["ORIGINAL", "SECONDARY"]}, "it is secondary, not primary"),
        ({}, {"slices": 4}, "it covers 12 mm only"),
        ({"slices": 11}, {"slices": 10}, "it covers 30 mm only"),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, {"slices": 4}, "it covers 12 mm only"),
        ({"slices": 4}, {"slices": 9, "SeriesType": ["DYNAMIC", "IMAGE"]}, "it is dynamic or gated"),
        ({"slices": 4}, {"slices": 9, "SeriesType": ["GATED", "IMAGE"]}, "it is dynamic or gated"),
        ({"slices": 4}, {"Units": "PROPCPS", "slices": 9}, "its Units PROPCPS lead to no SUV"),
        ({"SeriesNumber": "3"}, {"SeriesNumber": "4"}, "as good, but listed later"),
    ],
)
def test_of_two_usable_ones(
    tmp_path: Path, pet: Write, better: dict[str, Any], worse: dict[str, Any], reason: str
) -> None:
    pet("a worse", **worse)
    pet("b better", **better)
    chosen, reasons = _choose(tmp_path)
    assert chosen == "b better"
    assert "the best of 2 usable PETs" in reasons
    assert reason in reasons


def test_says_so_where_nothing_tells_two_apart(tmp_path: Path, pet: Write) -> None:
    pet("early", SeriesNumber="3")
    pet("short", slices=4)
    assert choose_pet(scan(tmp_path).series, tmp_path)[2] == ()
    pet("late", SeriesNumber="4")
    (warning,) = choose_pet(scan(tmp_path).series, tmp_path)[2]
    assert 'PET series 3 "early"' in warning
    assert 'as good a choice is PET series 4 "late"' in warning
    assert choose_pet(scan(tmp_path).series, tmp_path, derived_uid("series", "late"))[2] == ()


def test_frames_at_the_same_place_lose_against_a_static_one(tmp_path: Path, pet: Write) -> None:
    pet("frames")
    _twice(tmp_path, "frames")
    pet("static", slices=4)
    chosen, reasons = _choose(tmp_path)
    assert chosen == "static"
    assert "it is dynamic or gated, and a static one exists" in reasons


def test_the_user_decides(tmp_path: Path, pet: Write, ct: Write) -> None:
    pet("long", slices=20)
    short, nac = pet("short"), pet("nac", CorrectedImage=["DECY"])
    chosen, reasons = _choose(tmp_path, short)
    assert chosen == "short"
    assert "as asked for" in reasons
    with pytest.raises(NoPetError, match="not attenuation-corrected"):
        _choose(tmp_path, nac)
    with pytest.raises(UsageError, match="is the SeriesInstanceUID of no PET"):
        _choose(tmp_path, ct("ct"))


def _ct(folder: Path, uid: str | None = None) -> tuple[Stack | None, str]:
    index = scan(folder)
    pet = next(series for series in index.series if series.modality == "PT")
    chosen, reasons = choose_ct(index.series, stack_slices(pet.instances, "PET"), folder, uid)
    return chosen, "\n".join(reasons)


def _missing(slices: list[int]) -> Change:
    """Moves slices away, so that a gap arises."""

    def change(header: Dataset, k: int) -> None:
        if k >= min(slices):
            header.ImagePositionPatient = [*header.ImagePositionPatient[:2], header.ImagePositionPatient[2] + 9]

    return change


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"FrameOfReferenceUID": "1.2.3"}, "its FrameOfReferenceUID is not that of the PET"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "its ImageType is ORIGINAL/PRIMARY/LOCALIZER"),
        ({"grid": axial_grid((1, 3, 3))}, "single slice"),
        ({"change": _missing([4])}, "3 slices are missing between"),
        ({"grid": Grid.from_geometry((8, 3, 3), (3, 4, 5), (0, 0, 500))}, "does not overlap"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, "not CT Image Storage"),
    ],
)
def test_ct_that_does_not_fit(tmp_path: Path, pet: Write, ct: Write, attributes: dict[str, Any], reason: str) -> None:
    pet("pet")
    uid = ct("bad", **attributes)
    chosen, reasons = _ct(tmp_path)
    assert chosen is None
    assert reason in reasons
    assert reasons.endswith("No CT of this study fits the PET.")
    with pytest.raises(UsageError, match=reason):
        _ct(tmp_path, uid)
    ct("good")
    chosen, reasons = _ct(tmp_path)
    assert chosen is not None
    assert chosen.instances[0].header.SeriesDescription == "good"
    assert "covering 100 % of the PET's length: the only fitting CT" in reasons


def _axial(slices: int, spacing: float, start: float = -100.0) -> Grid:
    return Grid.from_geometry((slices, 3, 3), (spacing, 4.0, 5.0), (-12.0, 20.0, start))


@pytest.mark.parametrize(
    ("better", "worse", "reason"),
    [
        ({"grid": _axial(24, 1.0)}, {"grid": _axial(12, 2.0)}, "its slices are 2 mm apart"),
        ({"grid": _axial(12, 2.0)}, {"grid": _axial(12, 1.0)}, "it covers 50 % of the PET's length only"),
        ({"grid": _axial(40, 2.0, -110)}, {"grid": _axial(12, 2.0)}, "it has 12 slices only"),
        ({"grid": _axial(12, 2.0)}, {"grid": _axial(24, 1.0), "ImageType": ["DERIVED", "SECONDARY"]}, "it is derived"),
    ],
)
def test_of_two_cts(
    tmp_path: Path, pet: Write, ct: Write, better: dict[str, Any], worse: dict[str, Any], reason: str
) -> None:
    pet("pet")
    uid = ct("a worse", **worse)
    ct("b better", **better)
    chosen, reasons = _ct(tmp_path)
    assert chosen is not None
    assert chosen.instances[0].header.SeriesDescription == "b better"
    assert reason in reasons
    asked, reasons = _ct(tmp_path, uid)
    assert asked is not None
    assert asked.instances[0].header.SeriesDescription == "a worse"
    assert "as asked for" in reasons


def test_without_ct(tmp_path: Path, pet: Write) -> None:
    pet("pet")
    assert _ct(tmp_path) == (None, "The study has no CT.")
    with pytest.raises(UsageError, match=r"1\.2\.3 is the SeriesInstanceUID of no CT"):
        _ct(tmp_path, "1.2.3")
