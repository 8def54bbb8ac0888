"""Frames of a segmentation object: functional groups and pixels, encoded at once.

`highdicom` and `pydicom` make a Python object of every attribute of every frame, which takes three times as long as
dcmqi needs for the whole file. A frame differs from the next only in a few values, so it is packed here (Explicit VR
Little Endian, DICOM PS3.5 section 7) and handed to `pydicom` as an element that it has read but not parsed yet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.valuerep import format_number_as_ds

_ITEM = b"\xfe\xff\x00\xe0"
_FRAMES_PER_PACK = 64
"""Any multiple of 8, so that every pack of one-bit frames ends at a byte."""


@dataclass(frozen=True)
class Plane:
    """A slice of the PET that frames lie on.

    Attributes
    ----------
    index
        Its rank among all planes of the segmentation, from 1 (DimensionIndexValues).
    position_mm
        ImagePositionPatient: LPS (x, y, z), mm.
    source_class_uid, source_instance_uid
        The PET image that the frame was derived from.
    location_preserved
        Whether the voxels of the frame are those of that image.
    """

    index: int
    position_mm: tuple[float, float, float]
    source_class_uid: str
    source_instance_uid: str
    location_preserved: bool


@dataclass(frozen=True)
class Frame:
    """One frame: its plane, and its segment number, or None where pixel values are segment numbers (LABELMAP)."""

    plane: Plane
    segment: int | None


def per_frame_groups(frames: Sequence[Frame]) -> RawDataElement:
    """Encode PerFrameFunctionalGroupsSequence (5200,9230) (DICOM PS3.3 A.51, C.7.6.16).

    Each item holds the derivation with its source image, the frame's indices, its position, and its segment.
    """
    of_plane = {id(frame.plane): (_derivation(frame.plane), _position(frame.plane)) for frame in frames}
    groups = []
    for frame in frames:
        derivation, position = of_plane[id(frame.plane)]
        numbers = (frame.plane.index,) if frame.segment is None else (frame.segment, frame.plane.index)
        content = _sequence(0x00209111, _element(0x00209157, b"UL", struct.pack(f"<{len(numbers)}I", *numbers)))
        identification = b""
        if frame.segment is not None:
            identification = _sequence(0x0062000A, _element(0x0062000B, b"US", struct.pack("<H", frame.segment)))
        groups.append(derivation + content + position + identification)
    value = b"".join(_item(group) for group in groups)
    return RawDataElement(Tag(0x52009230), "SQ", len(value), value, 0, is_implicit_VR=False, is_little_endian=True)


def pack_bits(frames: Iterable[NDArray[np.bool_]]) -> bytes:
    """Pixel data of one-bit frames: all bits in one stream, least significant first (DICOM PS3.5 section 8.1.1).

    Parameters
    ----------
    frames
        (rows, columns) each, all of one shape.

    Returns
    -------
    bytes
        Of even length.
    """
    packed, waiting = [], []
    for frame in frames:
        waiting.append(frame.ravel())
        if len(waiting) == _FRAMES_PER_PACK:
            packed.append(np.packbits(np.concatenate(waiting), bitorder="little").tobytes())
            waiting.clear()
    if waiting:
        packed.append(np.packbits(np.concatenate(waiting), bitorder="little").tobytes())
    return even(b"".join(packed))


def even(value: bytes) -> bytes:
    """Pad to even length with a zero byte (DICOM PS3.5 section 7.1.1)."""
    return value + b"\0" if len(value) % 2 else value


def _derivation(plane: Plane) -> bytes:
    """DerivationImageSequence: this frame is a segmentation (113076, DCM) of that image."""
    source = (
        _element(0x00081150, b"UI", plane.source_class_uid.encode())
        + _element(0x00081155, b"UI", plane.source_instance_uid.encode())
        + _element(0x0028135A, b"CS", b"YES" if plane.location_preserved else b"NO")
        + _code(0x0040A170, b"121322", b"Source image for image processing operation")
    )
    derivation = _sequence(0x00082112, source) + _code(0x00089215, b"113076", b"Segmentation")
    return _sequence(0x00089124, derivation)


def _position(plane: Plane) -> bytes:
    position = "\\".join(format_number_as_ds(float(v)) for v in plane.position_mm)
    return _sequence(0x00209113, _element(0x00200032, b"DS", position.encode()))


def _code(tag: int, value: bytes, meaning: bytes) -> bytes:
    return _sequence(
        tag,
        _element(0x00080100, b"SH", value) + _element(0x00080102, b"SH", b"DCM") + _element(0x00080104, b"LO", meaning),
    )


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Element with a two-byte length; UI is padded with zero, text with a space (DICOM PS3.5 section 6.2)."""
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _sequence(tag: int, content: bytes) -> bytes:
    """Sequence of one item, all lengths given."""
    item = _item(content)
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(item)) + item


def _item(content: bytes) -> bytes:
    return _ITEM + struct.pack("<I", len(content)) + content
