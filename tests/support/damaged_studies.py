"""What goes wrong with real studies: each damage edits a copy, and says which error must follow.

Use as a parametrisation: copy a study with `copy_study`, apply one of `DAMAGES`, and expect its `code` and `words`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from petlesion.errors import ExitCode

STUDY = "sts_dicom/STS_002"
"""The study to damage, below the shared data: 48 slices of PET and of CT, and RTSTRUCTs."""


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong with a study.

    Attributes
    ----------
    name
        Short name, for test ids.
    apply
        Edits a copy of the study in place.
    code
        Exit code of the error that must follow.
    words
        What its message must say.
    """

    name: str
    apply: Callable[[Path], None]
    code: ExitCode
    words: str


def copy_study(shared_data: Path, target: Path) -> Path:
    """Writable copy of the study in `target`, which must not exist."""
    shutil.copytree(shared_data / STUDY, target, copy_function=shutil.copyfile)
    for folder in (target, *target.rglob("*")):
        folder.chmod(0o755 if folder.is_dir() else 0o644)
    return target


def pet_files(study: Path) -> list[Path]:
    """PET files in slice order."""
    return sorted((study / "PET" / "image").iterdir())


def edit(files: list[Path], change: Callable[[Dataset], None]) -> None:
    """Rewrite headers."""
    for file in files:
        header = dcmread(file)
        change(header)
        header.save_as(file)


def add_copies(study: Path, change: Callable[[Dataset], None]) -> None:
    """Add a changed copy of each PET slice, as another image of the same series."""
    for file in pet_files(study):
        header = dcmread(file)
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        change(header)
        header.save_as(file.with_name(f"copy_{file.name}"))


def _empty(study: Path) -> None:
    shutil.rmtree(study)
    study.mkdir()


def _text_only(study: Path) -> None:
    _empty(study)
    (study / "readme.txt").write_text("no images here\n" * 100)
    (study / "image.dcm.json").write_text('{"00080016": {}}')


def _cut_pixels(study: Path) -> None:
    file = pet_files(study)[20]
    file.write_bytes(file.read_bytes()[:-500])


def _cut_ct_pixels(study: Path) -> None:
    file = sorted((study / "CT" / "image").iterdir())[7]
    file.write_bytes(file.read_bytes()[:-500])


def _cut_header(study: Path) -> None:
    file = pet_files(study)[20]
    file.write_bytes(file.read_bytes()[:400])


def _cut_end_header(study: Path) -> None:
    file = pet_files(study)[-1]
    file.write_bytes(file.read_bytes()[:400])


def _empty_file(study: Path) -> None:
    pet_files(study)[20].write_bytes(b"")


def _missing_slice(study: Path) -> None:
    pet_files(study)[20].unlink()


def _missing_end(study: Path) -> None:
    pet_files(study)[-1].unlink()


def _other_orientation(study: Path) -> None:
    edit(pet_files(study)[5:6], lambda header: setattr(header, "ImageOrientationPatient", [1, 0, 0, 0, 0, -1]))


def _other_size(study: Path) -> None:
    def crop(header: Dataset) -> None:
        header.PixelData = header.PixelData[: -2 * header.Columns]
        header.Rows -= 1

    edit(pet_files(study)[5:6], crop)


def _mixed_series(study: Path) -> None:
    add_copies(study, lambda header: setattr(header, "SeriesDescription", "PET NAC"))


def _dynamic(study: Path) -> None:
    def later(header: Dataset) -> None:
        header.FrameReferenceTime = "300000"
        header.AcquisitionTime = "150259"

    edit(pet_files(study), lambda header: setattr(header, "SeriesType", ["DYNAMIC", "IMAGE"]))
    add_copies(study, later)


def _gated(study: Path) -> None:
    add_copies(study, lambda header: setattr(header, "TriggerTime", "500"))


def _not_attenuation_corrected(study: Path) -> None:
    edit(pet_files(study), lambda header: setattr(header, "CorrectedImage", ["DECY", "DTIM", "RAN"]))


def _not_decay_corrected(study: Path) -> None:
    edit(pet_files(study), lambda header: setattr(header, "CorrectedImage", ["ATTN", "DTIM", "RAN"]))


def _ct_only(study: Path) -> None:
    shutil.rmtree(study / "PET")


def _enhanced(study: Path) -> None:
    def enhance(header: Dataset) -> None:
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.130"

    edit(pet_files(study), enhance)


def _unknown_units(study: Path) -> None:
    edit(pet_files(study), lambda header: setattr(header, "Units", "PROPCPS"))


def _no_weight(study: Path) -> None:
    def anonymise(header: Dataset) -> None:
        header.Units = "BQML"
        header.DecayCorrection = "START"
        header.PatientWeight = None

    edit(pet_files(study), anonymise)


def _two_studies(study: Path) -> None:
    uids = [generate_uid(), generate_uid()]

    def other(header: Dataset) -> None:
        header.StudyInstanceUID, header.SeriesInstanceUID = uids

    add_copies(study, other)


DAMAGES = (
    Damage("empty folder", _empty, ExitCode.NO_DICOM, "no DICOM file"),
    Damage("text files only", _text_only, ExitCode.NO_DICOM, "no DICOM file"),
    Damage("pixel data cut off", _cut_pixels, ExitCode.GEOMETRY, "000020.dcm"),
    Damage("pixel data of the CT cut off", _cut_ct_pixels, ExitCode.GEOMETRY, "000007.dcm"),
    Damage("header cut off", _cut_header, ExitCode.GEOMETRY, "000020.dcm"),
    Damage("header of last slice cut off", _cut_end_header, ExitCode.GEOMETRY, "000047.dcm"),
    Damage("file of no bytes", _empty_file, ExitCode.GEOMETRY, "000020.dcm"),
    Damage("missing slice", _missing_slice, ExitCode.GEOMETRY, "1 slice is missing between"),
    Damage("missing end", _missing_end, ExitCode.GEOMETRY, "1 slice is missing of 48"),
    Damage("slice of another orientation", _other_orientation, ExitCode.GEOMETRY, "ImageOrientationPatient differs"),
    Damage("slice of another size", _other_size, ExitCode.GEOMETRY, "image sizes differ"),
    Damage("two series in one", _mixed_series, ExitCode.GEOMETRY, "SeriesDescription differs"),
    Damage("dynamic", _dynamic, ExitCode.GEOMETRY, "FrameReferenceTime differs"),
    Damage("gated", _gated, ExitCode.GEOMETRY, "TriggerTime differs"),
    Damage("not attenuation-corrected", _not_attenuation_corrected, ExitCode.NO_PET, "not attenuation-corrected"),
    Damage("not decay-corrected", _not_decay_corrected, ExitCode.NO_PET, "not decay-corrected"),
    Damage("CT only", _ct_only, ExitCode.NO_PET, "no series of modality PT"),
    Damage("enhanced PET", _enhanced, ExitCode.GEOMETRY, "enhanced multi-frame"),
    Damage("units without SUV", _unknown_units, ExitCode.NO_SUV, "PROPCPS"),
    Damage("no weight", _no_weight, ExitCode.NO_SUV, "PatientWeight"),
    Damage("two studies", _two_studies, ExitCode.USAGE, "2 studies with a PET"),
)
"""All of them."""
