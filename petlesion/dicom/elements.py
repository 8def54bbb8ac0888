"""Read a header up to its pixel data into a pydicom data set, without parsing what nobody asks for.

`pydicom.dcmread(stop_before_pixels=True)` builds a Dataset for every item of every sequence of undefined length, which
takes nine tenths of the time of reading a series of small slices. Here such a sequence stays bytes, like every
other element that pydicom has not been asked for yet, and pydicom parses it on first access. Whatever is not plain
little-endian Part 10 (big endian, deflated, no preamble, a VR that does not exist, a file that ends early) goes to
`pydicom.dcmread`.
"""

from __future__ import annotations

import functools
import math
import os
import struct
from collections.abc import Callable
from typing import IO, cast

from pydicom import Dataset, FileDataset, dcmread
from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    PrivateTransferSyntaxes,
)
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

PREAMBLE_BYTES = 128
"""Bytes before the prefix DICM (DICOM PS3.10 7.1)."""
UNDEFINED_LENGTH = 0xFFFFFFFF
"""Length of a sequence, an item or compressed pixel data that ends with a delimiter (DICOM PS3.5 7.5, A.4)."""
ITEM = 0xFFFEE000
"""Tag of a sequence item or a fragment of compressed pixel data."""
ITEM_END = 0xFFFEE00D
"""Tag that ends an item of undefined length."""
SEQUENCE_END = 0xFFFEE0DD
"""Tag that ends a sequence of undefined length."""

_FIRST_READ_BYTES = 65536
_PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_CHARACTER_SET = 0x00080005
_TRANSFER_SYNTAX = 0x00020010
_VR = {vr.encode(): str(vr) for vr in STANDARD_VR}
_VR_LENGTH_32 = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
_NOT_PLAIN = {DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, *PrivateTransferSyntaxes}
_IMPLICIT = struct.Struct("<HHL")
_EXPLICIT = struct.Struct("<HH2sH")
_LENGTH_32 = struct.Struct("<L")


class _NotPlainError(ValueError):
    """The bytes are not what the fast way understands."""


class _CutOffError(ValueError):
    """An element goes on beyond the bytes that were read."""


def read_header(file: IO[bytes], *, force: bool = False) -> FileDataset:
    """Read a data set up to its pixel data.

    Parameters
    ----------
    file
        At its beginning. Afterwards it stands at the element of the pixel data; at its end if there is none, or if the
        transfer syntax is deflated.
    force
        Whether files without preamble are read, too.

    Returns
    -------
    pydicom.FileDataset
        As `pydicom.dcmread(file, stop_before_pixels=True, force=force)` gives it.

    Raises
    ------
    pydicom.errors.InvalidDicomError
        If the file is no DICOM file; pydicom raises various others on files that are damaged.
    """
    size = os.fstat(file.fileno()).st_size
    data = file.read(_FIRST_READ_BYTES)
    while True:
        try:
            header, position = _parse(file, data, whole=len(data) == size)
        except _NotPlainError:
            more = b""
        except (_CutOffError, struct.error):
            more = file.read(len(data))
        else:
            file.seek(position)
            return header
        if not more:
            file.seek(0)
            return dcmread(file, stop_before_pixels=True, force=force)
        data += more


def raw_text(header: Dataset, keyword: str) -> str:
    """Value of a text attribute as it stands in the file, stripped; empty where absent.

    Several values are joined by a backslash. For attributes of the default character repertoire that are needed of
    every slice: pydicom's conversion of one element costs more than reading ten.
    """
    element = header.get_item(_tag(keyword))
    value = None if element is None else element.value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("latin-1").strip(" \0")
    if isinstance(value, MultiValue):
        return "\\".join(str(part) for part in value)
    return str(value).strip()


def raw_numbers(header: Dataset, keyword: str) -> tuple[float, ...]:
    """Values of an attribute that holds decimal text (VR DS, IS); none where absent, empty or no finite numbers."""
    joined = raw_text(header, keyword)
    try:
        values = tuple(float(part) for part in joined.split("\\")) if joined else ()
    except ValueError:
        return ()
    return values if all(map(math.isfinite, values)) else ()


def raw_number(header: Dataset, keyword: str) -> float | None:
    """First value of an attribute that holds decimal text (VR DS, IS); None where absent."""
    values = raw_numbers(header, keyword)
    return values[0] if values else None


def raw_unsigned(header: Dataset, keyword: str) -> int | None:
    """Value of an attribute that holds an unsigned 16-bit number (VR US); None where absent."""
    element = header.get_item(_tag(keyword))
    value = None if element is None else element.value
    if isinstance(element, RawDataElement) and isinstance(value, bytes):
        return int.from_bytes(value[:2], "little" if element.is_little_endian else "big") if len(value) >= 2 else None
    return value if isinstance(value, int) else None


@functools.cache
def _tag(keyword: str) -> BaseTag:
    return Tag(keyword)


def _parse(file: IO[bytes], data: bytes, *, whole: bool) -> tuple[FileDataset, int]:
    """The header, and at which byte the element of the pixel data begins; `whole` if `data` is all of the file."""
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != b"DICM":
        raise _NotPlainError
    meta, position = _elements(data, PREAMBLE_BYTES + 4, implicit=False, until=_at_data_set)
    syntax = meta.get(BaseTag(_TRANSFER_SYNTAX))
    uid = "" if syntax is None or syntax.value is None else syntax.value.decode("latin-1").strip(" \0")
    if not uid or uid in _NOT_PLAIN:
        raise _NotPlainError
    implicit = uid == ImplicitVRLittleEndian
    if implicit == (data[position + 4 : position + 6] in _VR):
        raise _NotPlainError
    elements, position = _elements(data, position, implicit=implicit, until=_at_end if whole else _never)
    header = FileDataset(file, elements, data[:PREAMBLE_BYTES], FileMetaDataset(meta), implicit, True)
    header.file_meta.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    characters = elements.get(BaseTag(_CHARACTER_SET))
    header.set_original_encoding(implicit, True, _encodings(None if characters is None else characters.value or b""))
    return header, position


def _at_data_set(data: bytes, position: int) -> bool:
    return data[position : position + 2] != b"\2\0"


def _at_end(data: bytes, position: int) -> bool:
    return position == len(data)


def _never(_data: bytes, _position: int) -> bool:
    return False


def _elements(
    data: bytes, position: int, *, implicit: bool, until: Callable[[bytes, int], bool]
) -> tuple[dict[BaseTag, DataElement | RawDataElement], int]:
    """Elements from `position` to the pixel data or where `until` says; and where they end."""
    elements: dict[BaseTag, DataElement | RawDataElement] = {}
    while not until(data, position):
        tag, vr, length, value = _element_at(data, position, implicit)
        if tag in _PIXEL_TAGS:
            break
        if length == UNDEFINED_LENGTH:
            if vr == "UN":
                raise _NotPlainError
            end = _sequence_end(data, value, implicit)
            vr, position = "SQ", end + 8
        else:
            end = position = value + length
            if end > len(data):
                raise _CutOffError
        key = BaseTag(tag)
        content = data[value:end] if length else _empty(vr)
        elements[key] = RawDataElement(key, vr, length, content, value, implicit, True)
    return elements, position


def _element_at(data: bytes, position: int, implicit: bool) -> tuple[int, str | None, int, int]:
    """Tag, VR, length, and where the value begins (DICOM PS3.5 7.1)."""
    if implicit:
        group, element, length = _IMPLICIT.unpack_from(data, position)
        return group << 16 | element, None, length, position + 8
    group, element, code, length = _EXPLICIT.unpack_from(data, position)
    vr = _VR.get(code)
    if vr is None:
        raise _NotPlainError
    if vr in _VR_LENGTH_32:
        return group << 16 | element, vr, _LENGTH_32.unpack_from(data, position + 8)[0], position + 12
    return group << 16 | element, vr, length, position + 8


def _sequence_end(data: bytes, position: int, implicit: bool) -> int:
    """Where the delimiter of the sequence stands whose first item begins at `position` (DICOM PS3.5 7.5)."""
    while True:
        group, element, length = _IMPLICIT.unpack_from(data, position)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            return position
        if tag != ITEM:
            raise _NotPlainError
        position += 8
        position = _item_end(data, position, implicit) if length == UNDEFINED_LENGTH else position + length


def _item_end(data: bytes, position: int, implicit: bool) -> int:
    """Where the item of undefined length ends whose first element begins at `position`."""
    while True:
        group, element = struct.unpack_from("<HH", data, position)
        if group << 16 | element == ITEM_END:
            return position + 8
        _, vr, length, value = _element_at(data, position, implicit)
        if length != UNDEFINED_LENGTH:
            position = value + length
        elif vr == "UN":
            raise _NotPlainError
        else:
            position = _sequence_end(data, value, implicit) + 8


def _empty(vr: str | None) -> bytes | None:
    """Value of an element of length 0 as pydicom has it."""
    return cast(bytes | None, empty_value_for_VR(vr, raw=True))


@functools.lru_cache(maxsize=16)
def _encodings(value: bytes | None) -> str | list[str]:
    """Python's names of the character sets that SpecificCharacterSet names."""
    if value is None:
        return default_encoding
    return convert_encodings(value.decode("latin-1").strip(" \0").split("\\"))
