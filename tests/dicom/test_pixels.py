"""Stored values of every transfer syntax, pixel format and kind of damage."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)
from synthetic_dicom import axial_grid, ct_header, pattern, pet_header, save, write_series

from petlesion.dicom.header import Instance, read_instance
from petlesion.dicom.pixels import read_volume, stored_values
from petlesion.dicom.scan import scan
from petlesion.dicom.series import stack_slices
from petlesion.errors import GeometryError
from petlesion.volume import Volume

_GDCM_SYNTAXES = {
    "JPEG 2000 lossless": gdcm.TransferSyntax.JPEG2000Lossless,
    "JPEG lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG lossless, any predictor": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "JPEG-LS by GDCM": gdcm.TransferSyntax.JPEGLSLossless,
    "RLE by GDCM": gdcm.TransferSyntax.RLELossless,
}


def _instance(path: Path) -> Instance:
    found = read_instance(path)
    assert isinstance(found, Instance)
    return found


def _compress_with_gdcm(source: Path, target: Path, syntax: int) -> None:
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


@pytest.fixture(scope="module")
def real_slice(shared_data: Path) -> Path:
    """A slice of a real PET with values over the whole range of signed 16 bits."""
    return shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image" / "1-001.dcm"


@pytest.mark.parametrize("name", _GDCM_SYNTAXES)
def test_compressed_by_gdcm(real_slice: Path, tmp_path: Path, name: str) -> None:
    _compress_with_gdcm(real_slice, tmp_path / "slice.dcm", _GDCM_SYNTAXES[name])
    compressed = _instance(tmp_path / "slice.dcm")
    assert compressed.header.file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(stored_values(compressed), dcmread(real_slice).pixel_array)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("dtype", ["<u2", "<i2", "u1"])
def test_compressed_by_pydicom(tmp_path: Path, syntax: Any, dtype: str) -> None:
    values = np.linspace(np.iinfo(dtype).min, np.iinfo(dtype).max, 31 * 33).astype(dtype).reshape(31, 33)
    header = _header(values)
    header.compress(syntax, encoding_plugin="pydicom" if syntax == RLELossless else "pyjpegls")
    dcmwrite(tmp_path / "slice.dcm", header)
    np.testing.assert_array_equal(stored_values(_instance(tmp_path / "slice.dcm")), values)


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda syntax: syntax.name,
)
def test_uncompressed(tmp_path: Path, syntax: Any) -> None:
    values = np.random.default_rng(0).integers(-32768, 32767, (9, 11)).astype("<i2")
    header = _header(values)
    save(header, tmp_path / "slice.dcm", syntax)
    np.testing.assert_array_equal(stored_values(_instance(tmp_path / "slice.dcm")), values)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_bits_allocated(tmp_path: Path, dtype: str) -> None:
    limits = np.iinfo(dtype)
    values = np.array([[limits.min, 0, 1], [2, limits.max - 1, limits.max]], dtype=dtype)
    save(_header(values), tmp_path / "slice.dcm")
    np.testing.assert_array_equal(stored_values(_instance(tmp_path / "slice.dcm")), values)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize(("stored", "high"), [(12, 11), (12, 15), (10, 12)])
def test_bits_beside_the_stored_ones_are_ignored(tmp_path: Path, signed: int, stored: int, high: int) -> None:
    values = np.arange(-512, 512, 93) if signed else np.arange(0, 1024, 93)
    shift = high + 1 - stored
    kept = ((1 << stored) - 1) << shift
    words = ((values.astype(np.int64) << shift) & kept) | (0xFFFF & ~kept)
    header = _header(words.astype("<u2").reshape(1, -1))
    header.PixelRepresentation, header.BitsStored, header.HighBit = signed, stored, high
    save(header, tmp_path / "slice.dcm")
    np.testing.assert_array_equal(stored_values(_instance(tmp_path / "slice.dcm"))[0], values)


def test_floating_point_pixels(tmp_path: Path) -> None:
    values = np.array([[0.5, -1.25], [3e8, 7.0]], dtype="<f4")
    header = _header(values.astype("<i4"))
    header.FloatPixelData = values.tobytes()
    del header.PixelData, header.BitsStored, header.HighBit, header.PixelRepresentation
    save(header, tmp_path / "slice.dcm")
    np.testing.assert_array_equal(stored_values(_instance(tmp_path / "slice.dcm")), values)


def test_pixel_data_shorter_than_the_image(tmp_path: Path) -> None:
    header = _header(np.zeros((4, 4), "<i2"))
    header.Rows = 5
    save(header, tmp_path / "slice.dcm")
    with pytest.raises(GeometryError, match=r"32 bytes, 40 needed in .*slice.dcm"):
        stored_values(_instance(tmp_path / "slice.dcm"))


@pytest.mark.parametrize("kept", [1, 20, 500, -1, -9, -100])
def test_compressed_data_cut_off(real_slice: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "slice.dcm"
    _compress_with_gdcm(real_slice, path, gdcm.TransferSyntax.JPEG2000Lossless)
    content = path.read_bytes()
    start = content.index(struct.pack("<HH", 0x7FE0, 0x0010))
    path.write_bytes(content[: start + 12 + kept] if kept > 0 else content[:kept])
    with pytest.raises(GeometryError, match=r"cut off in .*slice.dcm"):
        stored_values(_instance(path))


def test_garbled_compressed_data(real_slice: Path, tmp_path: Path) -> None:
    path = tmp_path / "slice.dcm"
    _compress_with_gdcm(real_slice, path, gdcm.TransferSyntax.JPEG2000Lossless)
    content = bytearray(path.read_bytes())
    start = content.index(struct.pack("<HH", 0x7FE0, 0x0010)) + 36
    content[start : start + 60] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(GeometryError, match=r"JPEG 2000.* cannot be decoded"):
        stored_values(_instance(path))


def test_syntax_without_decoder(tmp_path: Path) -> None:
    path = tmp_path / "slice.dcm"
    header = _header(np.zeros((4, 4), "<i2"))
    header.compress(RLELossless, encoding_plugin="pydicom")
    header.file_meta.TransferSyntaxUID = HTJ2KLossless
    dcmwrite(path, header)
    with pytest.raises(GeometryError, match="cannot be decoded"):
        stored_values(_instance(path))


@pytest.mark.filterwarnings("ignore:Expected explicit VR")
def test_private_syntax_is_not_guessed(tmp_path: Path) -> None:
    """GE's private syntax of ACR-NEMA times has big-endian pixels in a little-endian data set."""
    path = tmp_path / "slice.dcm"
    save(_header(np.ones((4, 4), "<i2")), path)
    header = dcmread(path)
    header.file_meta.TransferSyntaxUID = "1.2.840.113619.5.2"
    dcmwrite(path, header, implicit_vr=True, little_endian=True)
    with pytest.raises(GeometryError, match="cannot be decoded"):
        stored_values(_instance(path))


def test_file_that_vanished_after_the_scan(tmp_path: Path) -> None:
    path = tmp_path / "slice.dcm"
    save(_header(np.ones((4, 4), "<i2")), path)
    instance = _instance(path)
    path.unlink()
    with pytest.raises(GeometryError, match=r"cannot be read \(No such file.* in .*slice.dcm"):
        stored_values(instance)


def test_colour_and_frames_are_refused(tmp_path: Path) -> None:
    header = _header(np.zeros((4, 4), "<i2"))
    header.NumberOfFrames = "2"
    save(header, tmp_path / "frames.dcm")
    with pytest.raises(GeometryError, match="2 frames and 1 samples"):
        stored_values(_instance(tmp_path / "frames.dcm"))
    header.NumberOfFrames = "1"
    header.SamplesPerPixel = 3
    save(header, tmp_path / "colour.dcm")
    with pytest.raises(GeometryError, match="1 frames and 3 samples"):
        stored_values(_instance(tmp_path / "colour.dcm"))


def test_every_slice_has_its_own_rescale(tmp_path: Path) -> None:
    grid = axial_grid()
    write_series(tmp_path, Volume(np.full(grid.shape, 3.0, np.float32), grid), ct_header())
    stack = stack_slices(scan(tmp_path).series[0].instances, "series")
    slopes = np.linspace(0.1, 2.0, grid.shape[0])
    volume = read_volume(stack, slopes, -10.0)
    assert volume.dtype == np.float32
    np.testing.assert_allclose(volume[:, 2, 2], 3 * slopes - 10, rtol=1e-6)


def test_unequal_slices_are_interpolated_where_they_are(tmp_path: Path) -> None:
    """A ramp along z stays a ramp in world coordinates."""
    grid = axial_grid((12, 4, 4))
    z = np.cumsum([0, 3, 3.3, 2.7, 3, 3, 4, 3, 3, 3, 3, 3])
    ramp = np.broadcast_to((10 * z)[:, None, None], grid.shape).astype(np.float32)

    def move(header: Dataset, k: int) -> None:
        x, y, _ = header.ImagePositionPatient
        header.ImagePositionPatient = [x, y, round(float(z[k]), 3)]

    write_series(tmp_path, Volume(ramp, grid), ct_header(), change=move)
    stack = stack_slices(scan(tmp_path).series[0].instances, "series")
    assert stack.positions is not None
    assert "resampled to" in stack.warnings[0]
    volume = read_volume(stack, 1.0, 0.0)
    world = stack.grid.to_world([(k, 0, 0) for k in range(stack.grid.shape[0])])[:, 2]
    np.testing.assert_allclose(volume[:, 1, 1], 10 * world, atol=0.5)


def test_values_of_a_pet_survive(tmp_path: Path) -> None:
    grid = axial_grid()
    values = pattern(grid)
    write_series(tmp_path, Volume(values, grid), pet_header())
    stack = stack_slices(scan(tmp_path).series[0].instances, "series")
    slopes = [float(instance.header.RescaleSlope) for instance in stack.instances]
    np.testing.assert_allclose(read_volume(stack, slopes, 0.0) * 1e-3, values, atol=1e-3)


def _header(values: NDArray[Any]) -> Dataset:
    """A CT slice with these stored values."""
    header = ct_header()
    header.SOPInstanceUID, header.SeriesInstanceUID = "1.2.3", "1.2"
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = values.shape
    header.BitsAllocated = header.BitsStored = 8 * values.dtype.itemsize
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(np.issubdtype(values.dtype, np.signedinteger))
    header.PixelData = values.tobytes() + bytes(values.nbytes % 2)
    header.ensure_file_meta()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header
