"""Damage at random, the same for the same seed: what archives, routers and anonymisers do to studies, and worse.

Unlike `damaged_studies`, where each damage has the one error that must follow, nothing is known beforehand about what
comes of these but that it must be a documented exit code or a right result.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydicom import DataElement, Dataset, config, dcmread
from pydicom.uid import generate_uid


class MutationKind(StrEnum):
    """What happens to files."""

    REMOVED = "tags removed"
    RETYPED = "tags retyped"
    SWAPPED = "tags swapped"
    FLIPPED = "bytes flipped"
    CUT = "files cut"
    DUPLICATED = "files duplicated"
    MIXED = "series mixed"

    @property
    def edits_headers(self) -> bool:
        """Whether SUV may be others, with a remark on them; of the other kinds what is read at all is as before."""
        return self in (MutationKind.REMOVED, MutationKind.RETYPED, MutationKind.SWAPPED, MutationKind.FLIPPED)


@dataclass(frozen=True)
class Mutation:
    """What was done to a study.

    Attributes
    ----------
    kind
        Which kind of damage.
    detail
        What exactly, for the person who looks into it.
    another_image
        Whether pixels are others now, which nobody can tell from the files: another result is right then.
    """

    kind: MutationKind
    detail: str
    another_image: bool = False


_IMPORTANT: Final = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "Rows", "Columns"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation"),
    *("RescaleSlope", "RescaleIntercept", "Units", "CorrectedImage", "DecayCorrection", "SeriesType", "ImageType"),
    *("PatientWeight", "PatientSize", "PatientSex", "AcquisitionTime", "SeriesTime", "SeriesDate", "AcquisitionDate"),
    *(
        "RadiopharmaceuticalInformationSequence",
        "NumberOfSlices",
        "PixelData",
        "SpecificCharacterSet",
        "FrameReferenceTime",
    ),
)
_IN_SEQUENCE: Final = (
    *("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime", "Radiopharmaceutical"),
    *("RadiopharmaceuticalStartDateTime", "RadionuclideCodeSequence"),
)
_VALUES: Final[tuple[tuple[str, Any], ...]] = (
    *(("LO", text) for text in ("", "abc", "-1", "0", "1e99", "nan", "9" * 40, "1\\2\\3\\4\\5", "\x00", "10000000")),
    *(("UN", content) for content in (b"", b"\xff\xfe\x00\x01", b"\x00" * 64)),
    *(("US", number) for number in (0, 1, 65535)),
    ("FD", float("inf")),
    ("SQ", []),
)
"""Kinds and values that take the place of others."""


def mutate(study: Path, seed: int, kind: MutationKind | None = None) -> Mutation:
    """Damage a study in place.

    Parameters
    ----------
    study
        Folder of files in two folders or more, one of them named PT or PET.
    seed
        The same one does the same to the same study.
    kind
        Which damage; None lets the seed decide.
    """
    draw = random.Random(seed)
    kind = kind or draw.choice(list(MutationKind))
    with _anything_goes():
        return _MUTATIONS[kind](study, draw)


def _removed(study: Path, draw: random.Random) -> Mutation:
    names = draw.sample(_IMPORTANT + _IN_SEQUENCE, draw.choice((1, 1, 2, 4)))

    def remove(header: Dataset) -> None:
        for name in names:
            holder = _holder(header, name)
            if name in holder:
                del holder[name]

    return Mutation(MutationKind.REMOVED, f"{', '.join(names)} of {_edit(study, draw, remove)}")


def _retyped(study: Path, draw: random.Random) -> Mutation:
    name, (vr, value) = draw.choice(_IMPORTANT + _IN_SEQUENCE), draw.choice(_VALUES)

    def retype(header: Dataset) -> None:
        holder = _holder(header, name)
        if name in holder:
            tag = holder[name].tag
            del holder[tag]
            holder[tag] = DataElement(tag, vr, value, already_converted=True)

    return Mutation(MutationKind.RETYPED, f"{name} is {vr} {str(value)[:20]!r} in {_edit(study, draw, retype)}")


def _swapped(study: Path, draw: random.Random) -> Mutation:
    first, second = draw.sample([name for name in _IMPORTANT if name != "PixelData"], 2)

    def swap(header: Dataset) -> None:
        if first in header and second in header:
            values = header[second].value, header[first].value
            for name, value in zip((first, second), values, strict=True):
                tag = header[name].tag
                del header[tag]
                header[tag] = DataElement(tag, "LO", str(value))

    return Mutation(MutationKind.SWAPPED, f"{first} and {second} of {_edit(study, draw, swap)}")


def _flipped(study: Path, draw: random.Random) -> Mutation:
    files = _some_files(study, draw)
    in_pixels = False
    for file in files:
        content = bytearray(file.read_bytes())
        start = bytes(content).rfind(b"\xe0\x7f\x10\x00")
        header_only = draw.random() < 0.7
        for _ in range(draw.choice((1, 4, 32))):
            at = draw.randrange(start if header_only and start > 0 else len(content))
            content[at] ^= 1 << draw.randrange(8)
            in_pixels |= at >= start + 12
        file.write_bytes(bytes(content))
    return Mutation(MutationKind.FLIPPED, f"{len(files)} files, {files[0].name} first", another_image=in_pixels)


def _cut(study: Path, draw: random.Random) -> Mutation:
    files = _some_files(study, draw)
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: draw.choice((0, 64, 200, 700, draw.randrange(len(content)), len(content) - 1))])
    return Mutation(MutationKind.CUT, f"{len(files)} files, {files[0].name} first")


def _duplicated(study: Path, draw: random.Random) -> Mutation:
    new_uid = draw.random() < 0.5
    files = _some_files(study, draw)
    for file in files:
        header = dcmread(file)
        if new_uid:
            header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = _uid(draw)
        header.save_as(file.with_name(f"copy of {file.name}"))
    return Mutation(MutationKind.DUPLICATED, f"{len(files)} files, {'another' if new_uid else 'the same'} UID")


def _mixed(study: Path, draw: random.Random) -> Mutation:
    """Give images of one series the identity of the other, or those of the PET that of a second scan."""
    pet, other = (draw.choice(_files(study, pet=pet)) for pet in (True, False))
    whose, into = (dcmread(file, stop_before_pixels=True) for file in draw.sample([pet, other], 2))
    names = draw.choice((("SeriesInstanceUID",), ("SeriesInstanceUID", "Modality"), ("StudyInstanceUID",)))
    fresh = _uid(draw)

    def move(header: Dataset) -> None:
        for name in names:
            setattr(header, name, fresh if name == "StudyInstanceUID" else into.get(name))

    files = [
        file
        for file in _files(study, pet=None)
        if dcmread(file, stop_before_pixels=True).SeriesInstanceUID == whose.SeriesInstanceUID
    ]
    files = draw.sample(files, draw.choice((1, len(files) // 2, len(files))))
    for file in files:
        _rewrite(file, move)
    return Mutation(MutationKind.MIXED, f"{', '.join(names)} of {len(files)} {whose.Modality} files")


_MUTATIONS: Final[dict[MutationKind, Callable[[Path, random.Random], Mutation]]] = {
    MutationKind.REMOVED: _removed,
    MutationKind.RETYPED: _retyped,
    MutationKind.SWAPPED: _swapped,
    MutationKind.FLIPPED: _flipped,
    MutationKind.CUT: _cut,
    MutationKind.DUPLICATED: _duplicated,
    MutationKind.MIXED: _mixed,
}


def copy_writable(source: Path, target: Path) -> Path:
    """Copy of a study that can be damaged."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


def _edit(study: Path, draw: random.Random, change: Callable[[Dataset], None]) -> str:
    """Change some files; say which."""
    files = _some_files(study, draw)
    for file in files:
        _rewrite(file, change)
    return f"{len(files)} files in {files[0].parent.relative_to(study)}"


def _rewrite(file: Path, change: Callable[[Dataset], None]) -> None:
    """Change a header, if what comes of it can be written at all."""
    header = dcmread(file)
    change(header)
    spare = file.with_name(f".{file.name}")
    try:
        header.save_as(spare)
    except Exception:  # noqa: BLE001 - pydicom has no common error; the study then stays whole, and has to pass
        spare.unlink(missing_ok=True)
    else:
        spare.replace(file)


def _holder(header: Dataset, name: str) -> Dataset:
    items = header.get("RadiopharmaceuticalInformationSequence") if name in _IN_SEQUENCE else None
    return items[0] if items else header


def _some_files(study: Path, draw: random.Random) -> list[Path]:
    """One, several or all images of the PET, or of the other series; the PET more often."""
    files = _files(study, pet=draw.random() < 0.8)
    return draw.sample(files, draw.choice((1, 3, len(files))))


def _files(study: Path, *, pet: bool | None) -> list[Path]:
    return sorted(
        path
        for path in study.rglob("*")
        if path.is_file() and (pet is None or bool({"PT", "PET"} & set(path.relative_to(study).parts)) is pet)
    )


def _uid(draw: random.Random) -> str:
    return str(generate_uid(entropy_srcs=[str(draw.random())]))


@contextlib.contextmanager
def _anything_goes() -> Iterator[None]:
    """Let pydicom write what no standard allows."""
    before = config.settings.reading_validation_mode, config.settings.writing_validation_mode
    config.settings.reading_validation_mode = config.settings.writing_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode, config.settings.writing_validation_mode = before
