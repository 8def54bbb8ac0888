"""Stored pixel values of slices → one float32 volume, each slice by its own rescale (DICOM PS3.3 C.7.6.3, C.11.1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from petlesion.dicom.elements import raw_text, raw_unsigned
from petlesion.dicom.header import PARSE_ERRORS, Instance, PixelElement
from petlesion.dicom.series import Stack
from petlesion.errors import GeometryError, reason
from petlesion.progress import Progress, silent

_NATIVE = ("", ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
"""Transfer syntaxes of plain values; none is stated by files without preamble."""
_DECODE_ERRORS = (*PARSE_ERRORS, RuntimeError)
"""What pydicom's decoders raise on pixel data that they cannot decode."""


def read_volume(
    stack: Stack, slope: ArrayLike, intercept: ArrayLike, progress: Progress = silent
) -> NDArray[np.float32]:
    """Decode all slices: stored value × slope + intercept.

    Beside the result, only one slice is in memory at a time; twice the result where slices are unequally spaced.

    Parameters
    ----------
    stack
        Ordered slices.
    slope, intercept
        (slices,) or a single number; applied in double precision and rounded once.
    progress
        Told how many slices are decoded.

    Returns
    -------
    ndarray
        float32, (z, y, x), on `stack.grid`; interpolated linearly along z where slices are unequally spaced.

    Raises
    ------
    GeometryError
        If a file is damaged, or its pixel data cannot be decoded or is no single grey-scale image.
    """
    count = len(stack.instances)
    volume = np.empty((count, *stack.grid.shape[1:]), dtype=np.float32)
    slopes = np.broadcast_to(np.asarray(slope, dtype=np.float64), count)
    intercepts = np.broadcast_to(np.asarray(intercept, dtype=np.float64), count)
    for k, instance in enumerate(stack.instances):
        np.multiply(stored_values(instance), slopes[k], out=volume[k], dtype=np.float64, casting="same_kind")
        if intercepts[k]:
            volume[k] += intercepts[k]
        progress(k + 1, count)
    return volume if stack.positions is None else _along_normal(volume, stack.positions, stack.grid.shape[0])


def stored_values(instance: Instance) -> NDArray[Any]:
    """Pixel values of one image as they are stored, (rows, columns); integers but for floating-point pixel data.

    Uncompressed values are read from where the header ends, without parsing the file again; everything else is
    decoded by pydicom with python-gdcm, pyjpegls and pylibjpeg-openjpeg.

    Raises
    ------
    GeometryError
        If the file is damaged, or its pixel data cannot be decoded or is no single grey-scale image.
    """
    if instance.damage:
        raise GeometryError(instance.damage, where=instance.path, remedy="copy or export the file again")
    header = instance.header
    frames = raw_text(header, "NumberOfFrames") or "1"
    samples = raw_unsigned(header, "SamplesPerPixel")
    if frames != "1" or samples not in (1, None):
        raise GeometryError(
            f"image of {frames} frames and {samples} samples per pixel",
            where=instance.path,
            remedy="convert to single-frame grey-scale images",
        )
    allocated = raw_unsigned(header, "BitsAllocated")
    pixels = instance.pixels
    native = raw_text(header.file_meta, "TransferSyntaxUID") in _NATIVE and allocated in (8, 16, 32)
    try:
        return _native(instance, pixels, allocated) if native and allocated and pixels else _decoded(instance)
    except OSError as error:
        raise GeometryError(
            f"cannot be read ({reason(error)})", where=instance.path, remedy="check the file and its folder"
        ) from error


def _native(instance: Instance, pixels: PixelElement, allocated: int) -> NDArray[Any]:
    header = instance.header
    little_endian = header.original_encoding[1]
    kind = "i" if raw_unsigned(header, "PixelRepresentation") else "u"
    dtype = np.dtype(f"{'<' if little_endian else '>'}{kind}{allocated // 8}")
    size = instance.rows * instance.columns * dtype.itemsize
    if pixels.length < size:
        raise GeometryError(
            f"pixel data of {pixels.length} bytes, {size} needed", where=instance.path, remedy="export the file again"
        )
    with instance.path.open("rb") as file:
        file.seek(pixels.offset)
        values = np.frombuffer(file.read(size), dtype=dtype).reshape(instance.rows, instance.columns)
    stored = raw_unsigned(header, "BitsStored") or allocated
    high = raw_unsigned(header, "HighBit")
    high = stored - 1 if high is None else high
    if stored == allocated or not stored <= high + 1 <= allocated:
        return values
    # Bits beside the stored ones may hold an overlay; a signed shift extends the sign.
    return np.right_shift(np.left_shift(values, allocated - 1 - high), allocated - stored)


def _decoded(instance: Instance) -> NDArray[Any]:
    try:
        values: NDArray[Any] = pixel_array(dcmread(instance.path, force=True), raw=True)
    except _DECODE_ERRORS as error:
        syntax = getattr(instance.header.file_meta.get("TransferSyntaxUID"), "name", "unknown transfer syntax")
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise GeometryError(
            f"pixel data ({syntax}) cannot be decoded: {reason}",
            where=instance.path,
            remedy="export the file again without compression",
        ) from error
    if values.shape != (instance.rows, instance.columns):
        raise GeometryError(
            f"pixel data is {values.shape}, not {instance.rows} rows and {instance.columns} columns",
            where=instance.path,
            remedy="export the file again",
        )
    return values


def _along_normal(volume: NDArray[np.float32], positions: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """Interpolate slices at fractional `positions` linearly onto 0, 1 … `count` - 1."""
    result = np.empty((count, *volume.shape[1:]), dtype=np.float32)
    below = np.clip(np.searchsorted(positions, np.arange(count), side="right") - 1, 0, len(positions) - 2)
    weights = (np.arange(count) - positions[below]) / (positions[below + 1] - positions[below])
    for k, (low, weight) in enumerate(zip(below, np.clip(weights, 0, 1), strict=True)):
        np.multiply(volume[low], 1 - weight, out=result[k], casting="same_kind")
        result[k] += volume[low + 1] * np.float32(weight)
    return result
