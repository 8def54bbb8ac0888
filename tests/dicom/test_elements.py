"""The fast header reader gives what pydicom gives, on every file there is and on any that can be made."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, FileDataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from petlesion.dicom import elements
from petlesion.dicom.elements import raw_number, raw_numbers, raw_text, raw_unsigned, read_header

PYDICOM_FILES = Path(pydicom.__file__).parent / "data"


def _assert_like_pydicom(path: Path) -> None:
    """Same elements, position of the pixel data, encoding and rewritten bytes; or the same error."""
    try:
        with path.open("rb") as file:
            expected = dcmread(file, stop_before_pixels=True, force=True)
            position = file.tell()
    except Exception as error:  # noqa: BLE001 - whatever pydicom raises is compared
        with path.open("rb") as file, pytest.raises(type(error)):
            read_header(file, force=True)
        return
    with path.open("rb") as file:
        header = read_header(file, force=True)
        assert file.tell() == position
    assert header.original_encoding == expected.original_encoding
    assert header.original_character_set == expected.original_character_set
    assert header.file_meta == expected.file_meta
    assert _rewritten(header) == _rewritten(expected)
    assert _json(header) == _json(expected)
    assert header.preamble == expected.preamble


def _is_small(path: Path) -> bool:
    """Whether comparing element by element is fast: multi-frame images and long contours are not."""
    return path.stat().st_size < 150_000


def _rewritten(header: FileDataset) -> bytes | str:
    buffer = io.BytesIO()
    try:
        header.save_as(buffer)
    except Exception as error:  # noqa: BLE001 - whatever pydicom raises is compared
        return repr(error)
    return buffer.getvalue()


def _json(header: FileDataset) -> object:
    try:
        return header.to_json_dict()
    except Exception as error:  # noqa: BLE001 - whatever pydicom raises is compared
        return repr(error)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("folder", sorted(path.name for path in PYDICOM_FILES.iterdir() if path.is_dir()))
def test_files_of_pydicom(folder: str) -> None:
    """Malformed, compressed, big-endian and unusual ones among them."""
    files = [path for path in sorted((PYDICOM_FILES / folder).rglob("*")) if path.is_file() and _is_small(path)]
    assert files
    for path in files:
        _assert_like_pydicom(path)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_real_files(shared_data: Path) -> None:
    """One of each series, and the small RTSTRUCTs."""
    firsts = [sorted(folder.iterdir())[0] for folder in sorted({path.parent for path in shared_data.rglob("*.dcm")})]
    files = [path for path in firsts if _is_small(path)]
    assert len(files) > 20
    for path in files:
        _assert_like_pydicom(path)


_texts = st.text("ABCdef 0123", max_size=20)


@st.composite
def _datasets(draw: st.DrawFn, depth: int = 2) -> Dataset:
    header = Dataset()
    header.PatientComments = draw(_texts)
    header.Rows = draw(st.integers(0, 65535))
    header.PixelSpacing = draw(st.lists(st.integers(0, 99), min_size=2, max_size=2))
    if draw(st.booleans()):
        header.add_new(0x00091001, "UN", draw(st.binary(max_size=9)) + b"")
        header.add_new(0x00090010, "LO", "SOME MAKER")
    if depth:
        items = draw(st.lists(_datasets(depth=depth - 1), max_size=3))
        header.ReferencedImageSequence = items
        header["ReferencedImageSequence"].is_undefined_length = draw(st.booleans())
        for item in items:
            item.is_undefined_length_sequence_item = draw(st.booleans())
    return header


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=_datasets(),
    syntax=st.sampled_from([ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]),
    cut=st.floats(0, 1),
)
def test_any_nesting_and_any_cut(tmp_path: Path, header: Dataset, syntax: pydicom.uid.UID, cut: float) -> None:
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    header.PixelData, header.BitsAllocated = bytes(6), 16
    header["PixelData"].VR = "OW"
    path = tmp_path / "file.dcm"
    header.save_as(path, enforce_file_format=True)
    _assert_like_pydicom(path)
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    _assert_like_pydicom(path)


def test_header_larger_than_the_first_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = Dataset()
    header.SOPClassUID, header.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    header.add_new(0x00090010, "LO", "SOME MAKER")
    header.add_new(0x00091001, "OB", bytes(200_000))
    header.PixelData, header.BitsAllocated = bytes(200_000), 16
    header["PixelData"].VR = "OW"
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = tmp_path / "file.dcm"
    header.save_as(path, enforce_file_format=True)
    _assert_like_pydicom(path)
    monkeypatch.setattr(elements, "dcmread", None)
    with path.open("rb") as file:
        assert len(read_header(file)[0x00091001].value) == 200_000


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_large_pixel_data_behind_a_large_header_is_not_read(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    header = Dataset()
    header.add_new(0x00091010, "OB", bytes(200_000))
    header.PixelData = bytes(20_000_000)
    header["PixelData"].VR = "OB"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    path = tmp_path / "file"
    FileDataset(path, header, b"\0" * 128, meta, False, syntax.is_little_endian).save_as(path)
    with path.open("rb") as file:
        tracemalloc.start()
        read_header(file)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 2_000_000


def test_fast_way_is_taken_for_real_pet(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elements, "dcmread", None)
    for series in ("sts_raw/STS_001/FDG_PET/image", "sts_dicom/STS_002/CT/image", "suv_dro/DRO_0_0/PT"):
        with sorted((shared_data / series).iterdir())[0].open("rb") as file:
            assert read_header(file).Modality in ("PT", "CT")


def test_raw_values_before_and_after_conversion(shared_data: Path) -> None:
    path = sorted((shared_data / "sts_raw/STS_001/FDG_PET/image").iterdir())[0]
    with path.open("rb") as file:
        header = read_header(file)
    for _ in range(2):
        assert raw_text(header, "Modality") == "PT"
        assert raw_text(header, "ImageType") == "ORIGINAL\\PRIMARY"
        assert raw_text(header, "PatientBirthDate") == ""
        assert raw_numbers(header, "PixelSpacing") == (4.6875, 4.6875)
        assert raw_number(header, "RescaleSlope") == 1.7141
        assert raw_unsigned(header, "Rows") == 128
        assert raw_unsigned(header, "NumberOfFrames") is None
        header.decode()
        _ = [element.value for element in header]


@pytest.mark.parametrize("text", ["", "abc", "1\\nan", "1\\inf", "1\\\\2"])
def test_what_is_no_number_is_absent(text: str) -> None:
    header = Dataset()
    header.add_new("PatientComments", "LT", text)
    assert raw_numbers(header, "PatientComments") == ()
    assert raw_number(header, "PatientComments") is None
