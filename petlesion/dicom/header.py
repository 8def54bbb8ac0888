"""Header of one DICOM file, where its pixel data lies, and whether the file is whole."""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pydicom import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from petlesion.dicom.elements import (
    ITEM,
    PREAMBLE_BYTES,
    SEQUENCE_END,
    UNDEFINED_LENGTH,
    raw_numbers,
    raw_text,
    raw_unsigned,
    read_header,
)

IMAGE_MODALITIES = ("PT", "CT")
"""Modalities whose headers are kept; other objects are only counted."""

_DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
_PIXEL_DATA = (0x7FE0, 0x0010)
_FLOAT_PIXEL_DATA = ((0x7FE0, 0x0008), (0x7FE0, 0x0009))
PARSE_ERRORS = (
    InvalidDicomError,
    BytesLengthException,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
)
"""What pydicom raises on files that begin like DICOM and are not."""


@dataclass(frozen=True, slots=True)
class PixelElement:
    """Where the value of the pixel data lies in its file.

    Attributes
    ----------
    offset
        Byte of the file at which the value begins.
    length
        Bytes of the value; `UNDEFINED_LENGTH` where it is compressed.
    """

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One DICOM image: its header, and what sorting, choosing and decoding need of it.

    Attributes
    ----------
    path
        The file.
    header
        Data set without pixel data.
    study_uid, series_uid, sop_uid, sop_class_uid, modality
        Which image of what it is.
    position
        ImagePositionPatient: LPS point (x, y, z) in mm of the first pixel's centre.
    orientation
        ImageOrientationPatient: LPS unit vectors along a row (3 values) and along a column (3 values).
    pixel_spacing
        PixelSpacing: distance of rows, distance of columns, mm.
    rows, columns
        Size of the image; 0 where the header does not say.
    pixels
        Where integer pixel data lies; None where pydicom has to find it (deflated files, floating point).
    damage
        Why the file is not whole, or empty.
    """

    path: Path
    header: Dataset
    study_uid: str
    series_uid: str
    sop_uid: str
    sop_class_uid: str
    modality: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    rows: int
    columns: int
    pixels: PixelElement | None
    damage: str = ""

    @property
    def has_geometry(self) -> bool:
        """Whether the header says where in the patient each pixel lies."""
        return (
            len(self.position) == 3
            and len(self.orientation) == 6
            and len(self.pixel_spacing) == 2
            and min(*self.pixel_spacing, self.rows, self.columns) > 0
        )


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is no image of a PET or CT.

    Attributes
    ----------
    path
        The file.
    reason
        Why it was skipped.
    damaged
        Whether it may be an image that was cut off or garbled.
    modality
        Modality of a readable DICOM object; empty for other files.
    """

    path: Path
    reason: str
    damaged: bool = False
    modality: str = ""


def read_instance(path: Path) -> Instance | Skipped:
    """Read the header of a file.

    Parameters
    ----------
    path
        Any file.

    Returns
    -------
    Instance or Skipped
        The image, whole or damaged; or why the file is none.
    """
    if path.name.upper() == "DICOMDIR":
        return Skipped(path, "DICOMDIR")
    try:
        with path.open("rb") as file:
            return _read(path, file)
    except OSError as error:
        # pydicom raises OSError, too, of sequences that it cannot follow; without an error number.
        return Skipped(path, f"cannot be read ({error.strerror or 'garbled DICOM'})", damaged=True)


def _read(path: Path, file: IO[bytes]) -> Instance | Skipped:
    head = file.read(PREAMBLE_BYTES + 4)
    part10 = head[PREAMBLE_BYTES:] == b"DICM"
    if not part10 and not _begins_like_data_set(head):
        cut = len(head) < PREAMBLE_BYTES + 4 and path.suffix.lower() in _DICOM_SUFFIXES
        return Skipped(path, "not DICOM" if head else "empty file", damaged=cut)
    file.seek(0)
    try:
        header = read_header(file, force=not part10)
        return _instance(path, file, header, part10=part10)
    except PARSE_ERRORS:
        return Skipped(path, "DICOM that cannot be parsed" if part10 else "not DICOM", damaged=part10)


def _begins_like_data_set(head: bytes) -> bool:
    """Whether a file without preamble begins with a DICOM element of group 0002 or 0008, as old exports do."""
    if len(head) < 8:
        return False
    group, element, length = struct.unpack("<HHL", head[:8])
    explicit = head[4:6].isalpha() and head[4:6].isupper()
    return group in (0x0002, 0x0008) and element <= 0x0070 and (explicit or length <= 64)


def _instance(path: Path, file: IO[bytes], header: Dataset, *, part10: bool) -> Instance | Skipped:
    sop_class_uid = raw_text(header, "SOPClassUID")
    modality = raw_text(header, "Modality").upper()
    if raw_text(header.file_meta, "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        return Skipped(path, "DICOMDIR")
    uids = [raw_text(header, f"{level}InstanceUID") for level in ("Study", "Series", "SOP")]
    if not (all(uids) and sop_class_uid and modality):
        return Skipped(path, "DICOM that ends within its header" if part10 else "not DICOM", damaged=part10)
    if modality not in IMAGE_MODALITIES:
        return Skipped(path, f"{modality} object, not PET or CT", modality=modality)
    pixels, damage = _find_pixels(file, header)
    return Instance(
        path=path,
        header=header,
        study_uid=uids[0],
        series_uid=uids[1],
        sop_uid=uids[2],
        sop_class_uid=sop_class_uid,
        modality=modality,
        position=raw_numbers(header, "ImagePositionPatient"),
        orientation=raw_numbers(header, "ImageOrientationPatient"),
        pixel_spacing=raw_numbers(header, "PixelSpacing"),
        rows=raw_unsigned(header, "Rows") or 0,
        columns=raw_unsigned(header, "Columns") or 0,
        pixels=pixels,
        damage=damage,
    )


def _find_pixels(file: IO[bytes], header: Dataset) -> tuple[PixelElement | None, str]:
    """Where the pixel data lies behind the header just read, and what is wrong with it."""
    if raw_text(header.file_meta, "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return None, ""
    element = file.read(12)
    if len(element) < 8:
        return None, "file ends before its pixel data"
    order = "<" if header.original_encoding[1] else ">"
    tag = struct.unpack(f"{order}HH", element[:4])
    if tag in _FLOAT_PIXEL_DATA:
        return None, ""
    if tag != _PIXEL_DATA:
        return None, "file holds no pixel data"
    # A VR tells explicit from implicit, whatever the file says of itself: pixel data has no odd length.
    explicit = element[4:6] in (b"OB", b"OW", b"UN")
    field = element[8:12] if explicit else element[4:8]
    if len(field) < 4:
        return None, "file ends before its pixel data"
    pixels = PixelElement(file.tell() - len(element) + (12 if explicit else 8), struct.unpack(f"{order}L", field)[0])
    file.seek(pixels.offset)
    size = os.fstat(file.fileno()).st_size
    if pixels.length == UNDEFINED_LENGTH:
        return pixels, "" if _fragments_end(file, size) else "compressed pixel data is cut off"
    available = size - pixels.offset
    if pixels.length > available:
        return pixels, f"pixel data is cut off ({available} of {pixels.length} bytes)"
    return pixels, ""


def _fragments_end(file: IO[bytes], size: int) -> bool:
    """Whether the fragments that begin here are followed by a sequence delimiter (DICOM PS3.5 A.4)."""
    while len(item := file.read(8)) == 8:
        group, element, length = struct.unpack("<HHL", item)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return True
        if tag != ITEM or file.tell() + length > size:
            return False
        file.seek(length, os.SEEK_CUR)
    return False
