"""NRRD files: what comes back is what went in, where it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from petlesion.errors import GeometryError
from petlesion.nrrd import read_nrrd, read_nrrd_shape, write_nrrd
from petlesion.volume import Grid, Volume

OBLIQUE = Grid.from_geometry(
    (4, 5, 6), (3.0, 2.0, 1.5), (-10.0, 20.0, 300.0), [[0.0, 0.0, 1.0], [0.0, 0.8, 0.6], [1.0, 0.0, 0.0]]
)


@pytest.mark.parametrize("compress", [False, True])
def test_volume_comes_back(tmp_path: Path, compress: bool) -> None:
    direction = np.linalg.qr(OBLIQUE.direction)[0]
    grid = Grid.from_geometry(OBLIQUE.shape, OBLIQUE.spacing_mm, OBLIQUE.origin_mm, direction)
    volume = Volume(np.arange(120, dtype=np.uint16).reshape(grid.shape), grid)
    write_nrrd(volume, tmp_path / "label.nrrd", compress=compress)
    back = read_nrrd(tmp_path / "label.nrrd")
    assert back.array.dtype == np.uint16
    np.testing.assert_array_equal(back.array, volume.array)
    assert back.grid.is_close(grid, 1e-4)
    assert read_nrrd_shape(tmp_path / "label.nrrd") == (4, 5, 6)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "label.nrrd"
    path.write_bytes(b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 9 9 9\nencoding: raw\n\nshort")
    with pytest.raises(GeometryError, match="no readable NRRD file"):
        read_nrrd(path)
    path.write_bytes(b"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 2 2\nencoding: raw\n\n1234")
    with pytest.raises(GeometryError, match="not three-dimensional"):
        read_nrrd(path)


@pytest.mark.parametrize("field", [b"data file: ", b"datafile: ", b"DATA FILE: ", b"data file: LIST\n"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_voxels_in_another_file_are_not_read(tmp_path: Path, field: bytes, end: bytes) -> None:
    (tmp_path / "secret").write_bytes(b"of this machine!")
    header = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 2 2\nencoding: raw\n"
    path = tmp_path / "label.nrrd"
    path.write_bytes((header + field + str(tmp_path / "secret").encode() + b"\n").replace(b"\n", end))
    for read in (read_nrrd, read_nrrd_shape):
        with pytest.raises(GeometryError, match="voxels are in another file"):
            read(path)


def test_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "label.nrrd"
    path.write_bytes(b"NRRD0004\n" + b"# comment\n" * 2**17 + b"data file: secret\n")
    with pytest.raises(GeometryError, match="no readable NRRD file"):
        read_nrrd(path)
