"""SEGs that are found beside the images become labels in the order in which they were made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from lib.datastore.cases import FoundLabel
from lib.datastore.labels import FINAL, ORIGINAL
from lib.datastore.segmentations import METHOD, oldest_first, tag_of
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

OURS = "20200101"
"""Date of all SEGs of ours: that of the images."""


def write_seg(folder: Path, key: str, date: str, algorithm: str) -> FoundLabel:
    segment, header = Dataset(), Dataset()
    segment.SegmentAlgorithmName = algorithm
    segment.SegmentAlgorithmType = "AUTOMATIC" if algorithm == "network" else "SEMIAUTOMATIC"
    header.SegmentSequence = [segment]
    header.StudyInstanceUID, header.ContentDate, header.ContentTime = "1.2", date, "120000"
    header.SOPClassUID, header.SOPInstanceUID = SegmentationStorage, "1.2.3"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"{key}.dcm"
    header.save_as(path, enforce_file_format=True)
    return FoundLabel(key, path)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ({"v10": METHOD.format(10), "v2": METHOD.format(2), "v1": METHOD.format(1)}, ["v1", "v2", "v10"]),
        ({"v3": METHOD.format(3), "b": "20210102", "v1": METHOD.format(1), "a": "20210101"}, ["v1", "a", "v3", "b"]),
        ({"v2": METHOD.format(2), "a": "20210101", "network": "network"}, ["a", "v2", "network"]),
        ({"b": "20210102", "a": "20210101"}, ["a", "b"]),
    ],
)
def test_ours_by_version_and_others_by_date_in_the_places_left(
    tmp_path: Path, stored: Mapping[str, str], expected: list[str]
) -> None:
    found = [
        write_seg(tmp_path, key, text, "by hand") if text.isdigit() else write_seg(tmp_path, key, OURS, text)
        for key, text in stored.items()
    ]
    (tmp_path / "damaged.dcm").write_bytes(b"DICM")
    others = [FoundLabel("damaged", tmp_path / "damaged.dcm"), FoundLabel("file", tmp_path / "none.nii.gz", "image-1")]
    assert [each.key for each in oldest_first([*found, *others])] == [*expected, "damaged", "file"]


@pytest.mark.parametrize(
    ("types", "tag"),
    [
        (("AUTOMATIC", "automatic"), ORIGINAL),
        (("AUTOMATIC", "SEMIAUTOMATIC"), FINAL),
        (("MANUAL",), FINAL),
        (("",), FINAL),
        ((), FINAL),
    ],
)
def test_who_made_it_decides_what_it_is(types: tuple[str, ...], tag: str) -> None:
    header = Dataset()
    header.SegmentSequence = []
    for kind in types:
        segment = Dataset()
        segment.SegmentAlgorithmType = kind
        header.SegmentSequence.append(segment)
    assert tag_of(header) == tag
