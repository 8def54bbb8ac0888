"""Read DICOM segmentation objects of any maker onto the PET grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import SegmentationStorage

from petlesion.dicom.attributes import items, number, text, values
from petlesion.dicom.frame_of_reference import frame_of_reference_warnings
from petlesion.regions import Region, chosen, empty_region
from petlesion.study import PetCt
from petlesion.volume import GRID_TOLERANCE_MM, Grid

FRACTIONAL_THRESHOLD = 0.5
"""Voxels of a FRACTIONAL segmentation at or above this share of MaximumFractionalValue belong to the segment."""
LABEL_MAP_STORAGE = "1.2.840.10008.5.1.4.1.1.66.7"
"""SOP class of label maps (DICOM Supplement 243), which pydicom 3.0 has no name for."""
_BACKGROUND = "125040"
"""Code value of Background (DCM), the segment 0 of label maps."""
_MAX_FRAME_PIXELS = 2**26
_ORIENTATION_TOLERANCE = 1e-3
_ROUNDING_MM = 0.01
"""Points midway between two voxels belong to the farther one along the axis, however positions were rounded."""
_NEIGHBOURS_MM = 10.0
"""Slices that lie farther apart than this are not neighbours: others between them were left out."""


@dataclass(frozen=True, eq=False)
class _Patch:
    """Voxels of one segment in one frame, cut to their bounding box.

    `corner` is the (row, column) of its first pixel, `position_mm` the LPS point of the frame's first pixel.
    """

    position_mm: NDArray[np.float64]
    corner: tuple[int, int]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Geometry:
    """What all frames share: unit vectors (3,) along a row, a column and the normal; spacings, mm."""

    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    normal: NDArray[np.float64]
    row_spacing_mm: float
    column_spacing_mm: float
    slice_spacing_mm: float

    @property
    def voxel_ml(self) -> float:
        return self.row_spacing_mm * self.column_spacing_mm * self.slice_spacing_mm / 1000


def is_segmentation(dataset: Dataset) -> bool:
    """Whether the object is a segmentation: BINARY, FRACTIONAL or LABELMAP."""
    return text(dataset, "SOPClassUID") in (SegmentationStorage, LABEL_MAP_STORAGE)


def read_segmentation(
    dataset: Dataset, study: PetCt, path: Path, names: Collection[str] = ()
) -> tuple[list[Region], tuple[str, ...]]:
    """Read the segments of a segmentation object; called by `petlesion.masks.read_mask`.

    A PET voxel belongs to a segment when the segment's voxel nearest to its centre does: frames may come in any order,
    without the empty ones, a little off the PET's slices, in another orientation, or on another grid.

    Parameters
    ----------
    dataset
        The object, with pixel data.
    study
        PET to whose grid the segments are brought.
    path
        File of the object, for messages.
    names
        Labels of the segments to read; default all.

    Returns
    -------
    regions
        One a segment, in the order of their numbers.
    warnings
        What was tolerated.

    Raises
    ------
    UsageError
        If no segment has one of `names`, or the object is in another frame of reference than the PET.
    ValueError
        If frames have no place in the patient, or the object is damaged; then pydicom may raise others as well.
    """
    labels = segment_labels(dataset)
    if not labels:
        raise ValueError("it describes no segment")
    warnings = frame_of_reference_warnings(dataset, [text(dataset, "FrameOfReferenceUID")], study, path)
    wanted = chosen(labels, names, path)
    frames = _frame_items(dataset)
    patches: dict[int, list[_Patch]] = defaultdict(list)
    positions: dict[int, NDArray[np.float64]] = {}
    for index, segment, mask in _segment_frames(dataset, frames):
        if segment in wanted:
            positions[index] = _position(frames[index], study)
            patches[segment].append(_patch(positions[index], mask))
    if not positions:
        return [], (*warnings, "the segmentation is empty")
    geometry = _geometry([frames[index] for index in positions], list(positions.values()), study.pet.grid)
    regions = [_to_pet(labels[segment], patches[segment], geometry, study.pet.grid) for segment in sorted(wanted)]
    return regions, warnings


def tracks_segments(dataset: Dataset) -> bool:
    """Whether a segment has a TrackingUID: its maker took it for a finding of its own."""
    return any(text(item, "TrackingUID") for item in items(dataset, "SegmentSequence"))


def segment_labels(dataset: Dataset) -> dict[int, str]:
    """Label of every segment but the background, by number."""
    labels = {}
    for item in items(dataset, "SegmentSequence"):
        segment = number(item, "SegmentNumber")
        kinds = [text(kind, "CodeValue") for kind in items(item, "SegmentedPropertyTypeCodeSequence")]
        if segment is not None and not (segment == 0 and _BACKGROUND in kinds):
            labels[int(segment)] = text(item, "SegmentLabel") or f"segment {int(segment)}"
    return labels


def _frame_items(dataset: Dataset) -> list[tuple[Dataset, ...]]:
    """For every frame, where its functional groups stand: its own item, the shared item, the data set itself."""
    shared = items(dataset, "SharedFunctionalGroupsSequence")
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    count = int(number(dataset, "NumberOfFrames") or 1)
    if per_frame and len(per_frame) != count:
        raise ValueError(f"NumberOfFrames is {count}, but {len(per_frame)} frames are described")
    if not per_frame and count > 1:
        raise ValueError(f"none of its {count} frames has a position")
    if not per_frame:
        return [(*shared, dataset)]
    return [(item, *shared, dataset) for item in per_frame]


def _group(frame: tuple[Dataset, ...], sequence: str, keyword: str) -> tuple[str, ...]:
    """Values of a functional group's attribute, or of the same attribute outside of any group."""
    for level in frame:
        for item in (*items(level, sequence), level):
            found = values(item, keyword)
            if found:
                return found
    return ()


def _position(frame: tuple[Dataset, ...], study: PetCt) -> NDArray[np.float64]:
    """Position of a frame; where it has none, that of the PET image it was derived from."""
    position = _group(frame, "PlanePositionSequence", "ImagePositionPatient")
    if not position:
        sources = {
            text(source, "ReferencedSOPInstanceUID")
            for derivation in items(frame[0], "DerivationImageSequence")
            for source in items(derivation, "SourceImageSequence")
        }
        headers = () if study.source is None else study.source.pet_headers
        position = next(
            (values(header, "ImagePositionPatient") for header in headers if text(header, "SOPInstanceUID") in sources),
            (),
        )
    return _vector(position, 3, "ImagePositionPatient")


def _vector(numbers: tuple[str, ...], length: int, keyword: str) -> NDArray[np.float64]:
    vector = np.array([float(value) for value in numbers])
    if vector.shape != (length,) or not np.all(np.isfinite(vector)):
        raise ValueError(f"{keyword} of a frame is {list(numbers)}")
    return vector


def _geometry(frames: list[tuple[Dataset, ...]], positions: list[NDArray[np.float64]], grid: Grid) -> _Geometry:
    orientations = {_group(frame, "PlaneOrientationSequence", "ImageOrientationPatient") for frame in frames}
    spacings = {_group(frame, "PixelMeasuresSequence", "PixelSpacing") for frame in frames}
    cosines = np.array([_vector(orientation, 6, "ImageOrientationPatient") for orientation in orientations])
    spacing = np.array([_vector(value, 2, "PixelSpacing") for value in spacings])
    if np.ptp(cosines, axis=0).max() > _ORIENTATION_TOLERANCE or np.ptp(spacing, axis=0).max() > _ORIENTATION_TOLERANCE:
        raise ValueError("its frames differ in orientation or pixel spacing")
    along_row, along_column = cosines[0, :3], cosines[0, 3:]
    normal = np.cross(along_row, along_column)
    if abs(np.linalg.norm(normal) - 1) > 10 * _ORIENTATION_TOLERANCE or np.any(spacing <= 0):
        raise ValueError(f"ImageOrientationPatient is {cosines[0].tolist()}, PixelSpacing {spacing[0].tolist()}")
    slice_spacing = _slice_spacing(frames[0], np.array(positions) @ normal, grid)
    return _Geometry(along_row, along_column, normal, float(spacing[0, 0]), float(spacing[0, 1]), slice_spacing)


def _slice_spacing(frame: tuple[Dataset, ...], distances: NDArray[np.float64], grid: Grid) -> float:
    """Distance of slices, mm: as stated, unless frames lie closer; empty frames may be missing between them.

    A thickness is no distance: slices may be thinner than they lie apart. It is taken for one where frames lie whole
    slices of the PET apart and it is theirs, or where they lie too far apart to be neighbours.
    """
    gaps = np.diff(np.sort(distances))
    gaps = gaps[gaps > _ROUNDING_MM]
    nearest = float(gaps.min()) if gaps.size else None
    spacing, thickness = (
        abs(float(stated[0])) if (stated := _group(frame, "PixelMeasuresSequence", keyword)) else 0.0
        for keyword in ("SpacingBetweenSlices", "SliceThickness")
    )
    if nearest is None:
        return spacing or thickness or grid.spacing_mm[0]
    if 0 < spacing < 1.5 * nearest:
        return spacing
    of_pet_mm = grid.spacing_mm[0]
    off_mm = abs(nearest - round(nearest / of_pet_mm) * of_pet_mm)
    of_pet = max(abs(thickness - of_pet_mm), off_mm) <= GRID_TOLERANCE_MM
    is_distance = of_pet or nearest > _NEIGHBOURS_MM or thickness >= nearest
    return thickness if is_distance and 0 < thickness < 1.5 * nearest else nearest


def _segment_frames(
    dataset: Dataset, frames: list[tuple[Dataset, ...]]
) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Frame, segment number and (rows, columns) mask, wherever a segment has a voxel."""
    _check_size(dataset, len(frames))
    kind = text(dataset, "SegmentationType").upper()
    label_map = kind == "LABELMAP" or text(dataset, "SOPClassUID") == LABEL_MAP_STORAGE
    threshold = 1.0
    if kind == "FRACTIONAL":
        threshold = FRACTIONAL_THRESHOLD * (number(dataset, "MaximumFractionalValue") or 255)
    one_bit = int(dataset.BitsAllocated) == 1 and not dataset.file_meta.TransferSyntaxUID.is_encapsulated
    for index, pixels in enumerate(_one_bit_frames(dataset, len(frames)) if one_bit else iter_pixels(dataset)):
        if label_map:
            for segment in np.unique(pixels[pixels > 0]).tolist():
                yield index, segment, pixels == segment
            continue
        mask = pixels >= threshold
        if mask.any():
            segment = _group(frames[index], "SegmentIdentificationSequence", "ReferencedSegmentNumber")
            yield index, int(segment[0]) if segment else 1, mask


def _one_bit_frames(dataset: Dataset, count: int) -> Iterator[NDArray[np.uint8]]:
    """Frames of one-bit pixels, which follow each other without padding (DICOM PS3.5 section 8.1.1).

    pydicom 3.0 fails to iterate over them where they begin within a byte.
    """
    shape = int(dataset.Rows), int(dataset.Columns)
    pixels = shape[0] * shape[1]
    packed = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    for start in range(0, count * pixels, pixels):
        bits = np.unpackbits(packed[start // 8 : -(-(start + pixels) // 8)], bitorder="little")
        yield bits[start % 8 : start % 8 + pixels].reshape(shape)


def _check_size(dataset: Dataset, frames: int) -> None:
    """Refuse sizes that the pixel data does not have, before memory is allocated for them."""
    rows, columns = int(number(dataset, "Rows") or 0), int(number(dataset, "Columns") or 0)
    bits = int(number(dataset, "BitsAllocated") or 0)
    if min(rows, columns, bits) < 1 or rows * columns > _MAX_FRAME_PIXELS:
        raise ValueError(f"Rows is {rows}, Columns {columns}, BitsAllocated {bits}")
    if "PixelData" not in dataset:
        raise ValueError("it has no PixelData")
    needed = -(-rows * columns * frames * bits // 8)
    encapsulated = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if not encapsulated and len(dataset.PixelData) < needed:
        raise ValueError(f"PixelData has {len(dataset.PixelData)} bytes where {frames} frames need {needed}")


def _patch(position_mm: NDArray[np.float64], mask: NDArray[np.bool_]) -> _Patch:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    inside = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return _Patch(position_mm, (int(rows[0]), int(columns[0])), inside)


def _to_pet(name: str, patches: list[_Patch], geometry: _Geometry, grid: Grid) -> Region:
    """Sample a segment at the centres of the PET voxels around it."""
    file_ml = sum(int(np.count_nonzero(patch.mask)) for patch in patches) * geometry.voxel_ml
    box = _pet_box(patches, geometry, grid) if patches else None
    if box is None:
        return empty_region(name, file_ml)
    patches = sorted(patches, key=lambda patch: float(patch.position_mm @ geometry.normal))
    first, last = box
    mask = np.zeros(last - first, dtype=bool)
    y, x = np.mgrid[first[1] : last[1], first[2] : last[2]]
    for z in range(first[0], last[0]):
        points = grid.to_world(np.stack([np.full_like(y, z), y, x], axis=-1))
        mask[z - first[0]] = _sample(points, patches, geometry)
    return Region(name, (int(first[0]), int(first[1]), int(first[2])), mask, file_ml)


def _pet_box(
    patches: list[_Patch], geometry: _Geometry, grid: Grid
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """First and one past the last PET voxel (z, y, x) that a segment may touch; None where it lies outside the PET."""
    corners = []
    for patch in patches:
        rows, columns = np.array(patch.corner)[:, None] + np.array([[-0.5, n - 0.5] for n in patch.mask.shape])
        corners += [
            patch.position_mm
            + row * geometry.row_spacing_mm * geometry.along_column
            + column * geometry.column_spacing_mm * geometry.along_row
            + side * geometry.slice_spacing_mm * geometry.normal
            for row in rows
            for column in columns
            for side in (-0.5, 0.5)
        ]
    index = grid.to_index(np.array(corners))
    first = np.maximum(np.floor(index.min(axis=0)), 0).astype(np.intp)
    last = np.minimum(np.ceil(index.max(axis=0)) + 1, grid.shape).astype(np.intp)
    return (first, last) if np.all(first < last) else None


def _sample(points_mm: NDArray[np.float64], patches: list[_Patch], geometry: _Geometry) -> NDArray[np.bool_]:
    """Whether the voxel nearest to each point (..., 3) belongs to the segment; `patches` ordered along the normal."""
    along = points_mm @ geometry.normal
    planes = np.array([patch.position_mm @ geometry.normal for patch in patches])
    borders = (planes[1:] + planes[:-1]) / 2
    nearest = np.searchsorted(borders, along + _ROUNDING_MM)
    half, above = geometry.slice_spacing_mm / 2, along + _ROUNDING_MM - planes[nearest]
    near_enough = (above >= -half) & (above < half + _ROUNDING_MM / 2)
    inside = np.zeros(along.shape, dtype=bool)
    for n in np.unique(nearest[near_enough]).tolist():
        patch, chosen = patches[n], near_enough & (nearest == n)
        offset = points_mm[chosen] - patch.position_mm
        row = _nearest(offset @ geometry.along_column, geometry.row_spacing_mm) - patch.corner[0]
        column = _nearest(offset @ geometry.along_row, geometry.column_spacing_mm) - patch.corner[1]
        rows, columns = patch.mask.shape
        valid = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        found = np.zeros(valid.shape, dtype=bool)
        found[valid] = patch.mask[row[valid], column[valid]]
        inside[chosen] = found
    return inside


def _nearest(offset_mm: NDArray[np.float64], spacing_mm: float) -> NDArray[np.intp]:
    """Index of the nearest voxel along an axis; rounding halves to even would take every second one twice."""
    return np.asarray(np.floor((offset_mm + _ROUNDING_MM) / spacing_mm + 0.5), dtype=np.intp)
