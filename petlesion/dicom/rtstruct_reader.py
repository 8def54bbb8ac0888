"""Read radiotherapy structure sets of any maker onto the PET grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from petlesion.dicom.attributes import items, number, text
from petlesion.dicom.contours import Outline, area, fill
from petlesion.dicom.frame_of_reference import frame_of_reference_warnings, refers_to_pet
from petlesion.regions import Region, chosen, labelled_regions
from petlesion.study import PetCt
from petlesion.volume import Grid

CLOSED_TYPES = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Geometric types of contours that enclose an area (DICOM PS3.3 C.8.8.6.1)."""
SAME_PLANE_MM = 0.2
"""Contours closer than this along the slice normal lie on one plane."""
TILT_MM = 1.0
"""A contour that leaves the plane of the PET slices by more than this was drawn in another orientation."""
MAX_CONTOUR_SPACING_MM = 10.0
"""Contours further apart than this are not taken for consecutive ones of a structure."""
_CONTOUR_DATA = Tag("ContourData")
_PIXEL_DECIMALS = 5
"""Of corners in pixels. Some writers draw through the centres of the outermost pixels, which belong to the contour:
without this, rounding errors would take some of them away."""
_CONSECUTIVE = 1.5
"""Planes at most this many spacings apart are consecutive; further apart, the structure has a gap."""


@dataclass(frozen=True, eq=False)
class _Contour:
    """A closed contour in the index space of the PET: slice (fractional), corners (row, column), area in mm²."""

    slice_index: float
    polygon: Outline
    area_mm2: float


def is_rtstruct(dataset: Dataset) -> bool:
    """Whether the object is a radiotherapy structure set."""
    return text(dataset, "SOPClassUID") == RTStructureSetStorage


def roi_labels(dataset: Dataset) -> dict[int, str]:
    """Name of every ROI, by number."""
    labels = {}
    for item in items(dataset, "StructureSetROISequence"):
        roi = number(item, "ROINumber")
        if roi is not None:
            labels[int(roi)] = text(item, "ROIName") or f"ROI {int(roi)}"
    return labels


def read_rtstruct(
    dataset: Dataset, study: PetCt, path: Path, names: Collection[str] = ()
) -> tuple[list[Region], tuple[str, ...]]:
    """Read the closed contours of a structure set; called by `petlesion.masks.read_mask`.

    Contours drawn on the PET stand for their slice. Others, drawn on a CT of any spacing, stand for a slab as thick as
    the ROI's usual distance of contours (as in dose-volume histograms): a PET slice takes the contours of the plane
    nearest to its centre when that is within half this distance, or when the slice lies between two consecutive planes.
    Contours of one plane are combined by exclusive or; a pixel belongs to them when its centre does.

    Parameters
    ----------
    dataset
        The object.
    study
        PET to whose grid the contours are brought.
    path
        File of the object, for messages.
    names
        Names of the ROIs to read; default all.

    Returns
    -------
    regions
        One a ROI with closed contours, in the order of their numbers.
    warnings
        What was tolerated and left out.

    Raises
    ------
    UsageError
        If no ROI has one of `names`, or the object is drawn in another frame of reference than the PET.
    ValueError
        If it has no closed contour, or one in another orientation, or is damaged; then pydicom may raise others too.
    """
    labels = roi_labels(dataset)
    if not labels:
        raise ValueError("it describes no ROI")
    wanted = chosen(labels, names, path)
    uids = [
        text(item, "ReferencedFrameOfReferenceUID")
        for item in items(dataset, "StructureSetROISequence")
        if number(item, "ROINumber") in wanted
    ]
    if not any(uids):
        uids = [text(dataset, "FrameOfReferenceUID")]
    warnings = [*frame_of_reference_warnings(dataset, uids, study, path)]
    contours: dict[int, list[_Contour]] = {}
    for item in items(dataset, "ROIContourSequence"):
        roi = number(item, "ReferencedROINumber")
        if roi is not None and int(roi) in wanted:
            contours.setdefault(int(roi), []).extend(_closed_contours(item, labels[int(roi)], study.pet.grid, warnings))
    without = [labels[roi] for roi in sorted(wanted) if not contours.get(roi)]
    if len(without) == len(wanted):
        raise ValueError(f"no closed contour in {', '.join(repr(name) for name in without)}")
    warnings += [f"ROI {name!r} has no closed contour; left out" for name in without]
    found = {roi: contours[roi] for roi in sorted(wanted) if contours.get(roi)}
    spacings = _spacings(list(found.values()), refers_to_pet(dataset, study), study.pet.grid)
    regions = [
        _to_pet(labels[roi], parts, spacing, study.pet.grid)
        for (roi, parts), spacing in zip(found.items(), spacings, strict=True)
    ]
    return regions, tuple(warnings)


def _closed_contours(item: Dataset, name: str, grid: Grid, warnings: list[str]) -> list[_Contour]:
    """Closed contours of one item; others are counted in the warnings."""
    found, skipped = [], 0
    for contour in items(item, "ContourSequence"):
        coordinates = _coordinates(contour)
        if text(contour, "ContourGeometricType").upper() not in CLOSED_TYPES or coordinates.size < 9:
            skipped += 1
            continue
        if coordinates.size % 3 or not np.all(np.isfinite(coordinates)):
            raise ValueError(f"a contour of {name!r} has {coordinates.size} coordinates, not triplets of numbers")
        found.append(_contour(coordinates.reshape(-1, 3), name, grid))
    if skipped:
        warnings.append(f"{skipped} contours of {name!r} are points or open lines; left out")
    return found


def _coordinates(contour: Dataset) -> NDArray[np.float64]:
    """ContourData as numbers, without a Python object for each of what may be a million."""
    if _CONTOUR_DATA not in contour:
        return np.empty(0)
    value = contour.get_item(_CONTOUR_DATA).value
    parts = value.split(b"\\") if isinstance(value, bytes) else list(value or ())
    return np.array(parts).astype(np.float64)


def _contour(points_mm: NDArray[np.float64], name: str, grid: Grid) -> _Contour:
    index = grid.to_index(points_mm)
    tilt_mm = float(np.ptp(index[:, 0])) * grid.spacing_mm[0]
    if tilt_mm > TILT_MM:
        raise ValueError(f"a contour of {name!r} leaves the plane of the PET slices by {tilt_mm:.1f} mm")
    corners = np.round(index[:, 1:], _PIXEL_DECIMALS)
    return _Contour(float(index[:, 0].mean()), corners, area(corners * np.array(grid.spacing_mm[1:])))


def _spacings(rois: list[list[_Contour]], drawn_on_pet: bool, grid: Grid) -> list[float]:
    """How thick a slab each ROI's contours stand for, in PET slices.

    One slice for contours drawn on the PET. Else the median distance of the ROI's planes, leaving out gaps of more than
    `MAX_CONTOUR_SPACING_MM`; where it has a single plane, that of all ROIs; one slice where there is none at all.
    """
    if drawn_on_pet:
        return [1.0] * len(rois)
    longest = MAX_CONTOUR_SPACING_MM / grid.spacing_mm[0]
    gaps = [[gap for gap in np.diff(_planes(contours, grid)).tolist() if gap <= longest] for contours in rois]
    every = [gap for own in gaps for gap in own] or [1.0]
    return [float(np.median(own or every)) for own in gaps]


def _planes(contours: list[_Contour], grid: Grid) -> NDArray[np.float64]:
    """Distinct slice indices of contours, ascending."""
    ordered = np.sort([contour.slice_index for contour in contours])
    new = np.diff(ordered, prepend=-np.inf) * grid.spacing_mm[0] > SAME_PLANE_MM
    return ordered[new]


def _to_pet(name: str, contours: list[_Contour], spacing: float, grid: Grid) -> Region:
    planes = _planes(contours, grid)
    on_plane: dict[int, list[_Contour]] = defaultdict(list)
    for contour in contours:
        on_plane[int(np.searchsorted(planes, contour.slice_index, side="right")) - 1].append(contour)
    slices = _slices(planes, spacing, grid.shape[0])
    file_ml = sum(map(_area_mm2, on_plane.values())) * spacing * grid.spacing_mm[0] / 1000
    first = min(slices, default=0)
    mask = np.zeros((max(slices, default=0) - first + 1, *grid.shape[1:]), dtype=bool)
    for z, plane in slices.items():
        mask[z - first] = fill([contour.polygon for contour in on_plane[plane]], grid.shape[1:])
    (region,) = labelled_regions(mask.view(np.uint8), [name], [file_ml], (first, 0, 0))
    return region


def _area_mm2(contours: list[_Contour]) -> float:
    """Area that contours of one plane enclose together; inside an odd number of others, a contour is a hole."""
    from skimage.measure import points_in_poly

    total = 0.0
    for contour in contours:
        around = sum(
            bool(points_in_poly(contour.polygon[:1], other.polygon)[0]) for other in contours if other is not contour
        )
        total += contour.area_mm2 if around % 2 == 0 else -contour.area_mm2
    return total


def _slices(planes: NDArray[np.float64], spacing: float, count: int) -> dict[int, int]:
    """Which plane each PET slice takes its contours from; slices that none is close enough to are left out."""
    found = {}
    for z in range(max(0, int(np.ceil(planes[0] - spacing))), min(count, int(np.floor(planes[-1] + spacing)) + 1)):
        after = int(np.searchsorted(planes, z))
        near = [n for n in (after - 1, after) if 0 <= n < len(planes)]
        nearest = min(near, key=lambda n: abs(planes[n] - z))
        between = len(near) == 2 and planes[after] - planes[after - 1] <= _CONSECUTIVE * spacing
        if between or abs(planes[nearest] - z) <= spacing / 2 + 1e-6:
            found[z] = nearest
    return found
