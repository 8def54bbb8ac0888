"""Read single DICOM attributes from headers that do not keep to the standard.

pydicom raises in many ways when a value is malformed (`'abc'` in a DS, a time of 25 o'clock, a lost value
representation). Here a value is either readable or absent, and `shown` says which for an error message.
"""

from __future__ import annotations

import functools
import math
import re
import struct
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta, timezone

from pydicom import Dataset, Sequence
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import DA, DT, TM

_UNREADABLE = (
    ValueError,
    TypeError,
    ArithmeticError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OSError,
    EOFError,
    RecursionError,
    struct.error,
    BytesLengthException,
)
"""What pydicom raises when the bytes of an element do not fit its value representation."""
_ASCII_VR = frozenset({"CS", "DA", "DS", "DT", "IS", "TM", "UI", "UN"})
"""Value representations whose bytes are the text. Reading them directly cannot fail, and is ten times as fast."""

EARLIEST_YEAR = 1900
"""Dates before are placeholders of anonymisers, such as 00010101."""
LATEST_YEAR = 9998
"""Dates after are placeholders, too, and leave no room for calculation."""


def values(header: Dataset, keyword: str) -> tuple[str, ...]:
    """Values of a public attribute as stripped text, empty ones left out.

    Parameters
    ----------
    header
        Data set or sequence item.
    keyword
        DICOM keyword, such as ``PatientWeight``.
    """
    return _values_at(header, _tag(keyword))


def text(header: Dataset, keyword: str) -> str:
    """Value of a public attribute as stripped text; empty where there is none, or several different ones."""
    return _single(values(header, keyword))


def joined(header: Dataset, keyword: str) -> str:
    """Values of a public attribute as one text, with slashes between different ones.

    People write backslashes into identifiers and descriptions (LO, SH), where they separate values (PS3.5 section 6.2),
    of which these attributes have one.
    """
    found = values(header, keyword)
    return _single(found) or "/".join(found)


def person_name(header: Dataset, keyword: str) -> str:
    """Name of a person with all its components and groups; the first where a backslash makes several of it."""
    value = header.get(keyword)
    names = value if isinstance(value, MultiValue) else (value,)
    return next((str(name) for name in names if name), "")


def number(header: Dataset, keyword: str) -> float | None:
    """Value of a public attribute as a finite number; None where there is none, or several different ones."""
    return parse_number(text(header, keyword))


def items(header: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Items of a sequence; empty where it is missing or no sequence."""
    tag = _tag(keyword)
    try:
        value = header[tag].value if tag in header else ()
    except _UNREADABLE:
        return ()
    return tuple(value) if isinstance(value, Sequence) else ()


def shown(header: Dataset, keyword: str) -> str:
    """Say for an error message what an attribute holds: ``PatientWeight (0010,1030) is '0'``."""
    tag = _tag(keyword)
    found = _values_at(header, tag)
    absent = "empty" if tag in header else "missing"
    state = repr("\\".join(found)) if found else absent
    return f"{keyword} ({tag.group:04X},{tag.element:04X}) is {state}"


def private_text(header: Dataset, group: int, creator: str, offset: int) -> str:
    """Value of a private element as stripped text; empty where it is missing.

    The block that `creator` reserves is searched first (PS3.5 section 7.8.1). Where de-identification removed the
    creator, the element is taken from the first block, ``(group,10xx)``, which all vendors use in practice.

    Parameters
    ----------
    header
        Data set of an image.
    group
        Odd group number.
    creator
        Private creator, compared without regard to case and padding.
    offset
        Last two hexadecimal digits of the element number.
    """
    for block in range(0x10, 0x100):
        reserved = " ".join(_values_at(header, Tag(group, block)))
        ours = reserved.casefold() == creator.casefold()
        first_without_creator = block == 0x10 and not reserved
        if ours or first_without_creator:
            found = _values_at(header, Tag(group, block << 8 | offset))
            if found:
                return _single(found)
    return ""


def parse_number(value: str) -> float | None:
    """Number of a decimal or integer string (DS, IS); None unless it is finite."""
    try:
        parsed = float(value)
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) else None


def parse_date(value: str) -> date | None:
    """Date of a DA value (PS3.5 section 6.2); None where it is malformed or a placeholder."""
    if not re.fullmatch(r"\d{8}|\d{4}\.\d\d\.\d\d", value):
        return None
    try:
        parsed = DA(value)
    except ValueError:
        return None
    if parsed is None or not EARLIEST_YEAR <= parsed.year <= LATEST_YEAR:
        return None
    return date(parsed.year, parsed.month, parsed.day)


def parse_time(value: str) -> time | None:
    """Time of day of a TM value (PS3.5 section 6.2), ``HH:MM:SS`` of ACR-NEMA included; None where malformed."""
    whole, _, fraction = value.replace(":", "").partition(".")
    try:
        parsed = TM(f"{whole}.{fraction[:6]}" if fraction else whole)
    except ValueError:
        return None
    return time(parsed.hour, parsed.minute, parsed.second, parsed.microsecond) if parsed else None


def parse_datetime(value: str) -> datetime | None:
    """Date-time of a DT value that has at least an hour; aware where it has a suffix ``&ZZXX``, else naive.

    A DT may stop after the year (PS3.5 section 6.2). Without an hour it is a date, and None is returned.
    """
    match = re.fullmatch(r"(\d{10}|\d{12}|\d{14})(\.\d+)?([+-]\d{4})?", value)
    if match is None:
        return None
    digits, fraction, offset = match.groups(default="")
    try:
        parsed = DT(digits + fraction[:7] + offset)
    except ValueError:
        return None
    if parsed is None or not EARLIEST_YEAR <= parsed.year <= LATEST_YEAR:
        return None
    return datetime.combine(parsed.date(), parsed.time(), parsed.tzinfo)


def parse_utc_offset(value: str) -> timezone | None:
    """Zone of a TimezoneOffsetFromUTC (0008,0201) value ``&ZZXX`` (PS3.3 C.12.1.1); None where malformed."""
    match = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", value)
    if match is None or int(match[2]) > 14:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def scanner_zone(header: Dataset) -> timezone | None:
    """Zone of the scanner's clock, from TimezoneOffsetFromUTC (0008,0201); None where the header does not say."""
    return parse_utc_offset(text(header, "TimezoneOffsetFromUTC"))


def on_scanner_clock(moment: datetime, zone: timezone | None) -> datetime:
    """Naive date-time as the scanner's clock showed it; the reading itself where either zone is unknown."""
    if moment.tzinfo is not None and zone is not None:
        moment = moment.astimezone(zone)
    return moment.replace(tzinfo=None)


def series_label(header: Dataset) -> str:
    """Name of a series in messages."""
    name = text(header, "SeriesDescription") or text(header, "SeriesInstanceUID")
    return f"PET series {name!r}" if name else "PET series"


def _single(found: tuple[str, ...]) -> str:
    return found[0] if len(set(found)) == 1 else ""


@functools.cache
def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"{keyword} is no DICOM keyword")
    return Tag(tag)


@functools.cache
def _is_ascii(tag: BaseTag) -> bool:
    return tag.is_private or dictionary_VR(tag) in _ASCII_VR


def _values_at(header: Dataset, tag: BaseTag) -> tuple[str, ...]:
    if tag not in header:
        return ()
    element = header.get_item(tag)
    if isinstance(element, RawDataElement) and (element.VR in _ASCII_VR or (element.VR is None and _is_ascii(tag))):
        value: object = element.value
    else:
        try:
            value = header[tag].value
        except _UNREADABLE:
            value = None
    parts: Iterable[object]
    if value is None or isinstance(value, Sequence):
        parts = ()
    elif isinstance(value, bytes):
        parts = value.decode("latin-1").split("\\")
    elif isinstance(value, str):
        parts = value.split("\\")
    else:
        parts = value if isinstance(value, Iterable) else (value,)
    stripped = (str(part).strip(" \0\t\r\n") for part in parts if part is not None)
    return tuple(part for part in stripped if part)
