"""DICOM SEGs that are found beside the images: what they say of themselves, and in which order they become labels."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import count

from pydicom import Dataset, dcmread

from lib.datastore.cases import FoundLabel
from lib.datastore.labels import FINAL, ORIGINAL
from petlesion.dicom.attributes import items, text
from petlesion.dicom.header import PARSE_ERRORS
from petlesion.errors import UsageError
from petlesion.masks import all_automatic

ANATOMICAL_STRUCTURE = "123037004"
"""SNOMED CT category of organs: segments of this kind are no lesions."""
METHOD = "annotation, version {}"
"""Name of the algorithm in SEGs of ours: the one mark that outlives the store of labels."""
_METHOD = re.compile(METHOD.format(r"([1-9]\d{0,5})"))
_MADE_BY = ("SegmentSequence", "SegmentAlgorithmType")
_ORDER = ("StudyInstanceUID", "ContentDate", "ContentTime", "SegmentSequence")


def tag_of(header: Dataset) -> str:
    """Whether a person had a hand in a SEG (`final`), or an algorithm alone made it (`original`).

    Raises
    ------
    UsageError
        If all its segments are organs.
    """
    segments = items(header, "SegmentSequence")
    categories = [
        text(kind, "CodeValue") for item in segments for kind in items(item, "SegmentedPropertyCategoryCodeSequence")
    ]
    if categories and all(code == ANATOMICAL_STRUCTURE for code in categories):
        raise UsageError("its segments are anatomical structures", remedy="nothing: such objects are left alone")
    return ORIGINAL if all_automatic(header, *_MADE_BY) else FINAL


def version_of(header: Dataset) -> int | None:
    """Version of the label that a SEG of ours holds; None for SEGs of other programs."""
    names = {text(item, "SegmentAlgorithmName") for item in items(header, "SegmentSequence")}
    match = _METHOD.fullmatch(names.pop()) if len(names) == 1 else None
    return None if match is None else int(match[1])


def oldest_first(found: Iterable[FoundLabel]) -> list[FoundLabel]:
    """Order in which labels of one study were made.

    Ours say their version; those of others, by their date, take the places that ours leave. (The date of ours is that
    of the images.)
    """
    groups: dict[tuple[str, bool], list[tuple[FoundLabel, Dataset]]] = defaultdict(list)
    for each in found:
        header = _header(each)
        groups[text(header, "StudyInstanceUID"), all_automatic(header, *_MADE_BY)].append((each, header))
    return [each for group in groups.values() for each in _ordered(group)]


def _ordered(group: Sequence[tuple[FoundLabel, Dataset]]) -> list[FoundLabel]:
    taken = {version_of(header) for _, header in group}
    free = (version for version in count(1) if version not in taken)
    by_date = sorted(group, key=lambda each: (text(each[1], "ContentDate"), text(each[1], "ContentTime")))
    return [found for found, _ in sorted(by_date, key=lambda each: version_of(each[1]) or next(free))]


def _header(found: FoundLabel) -> Dataset:
    """What the order depends on; nothing where the file is no DICOM, or a damaged one."""
    if found.image_id:
        return Dataset()
    try:
        return dcmread(found.path, stop_before_pixels=True, specific_tags=list(_ORDER))
    except (OSError, *PARSE_ERRORS):
        return Dataset()
