"""Slices of one series → one volume: order, geometry checks, grid (DICOM PS3.3 C.7.6.2, Image Plane Module)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.dicom.elements import raw_number, raw_text, raw_unsigned
from petlesion.dicom.header import Instance
from petlesion.errors import GeometryError
from petlesion.volume import Grid

ORIENTATION_TOLERANCE = 1e-3
"""Slices are parallel when no direction cosine differs by more than this."""
SPACING_TOLERANCE = 1e-3
"""Slices have the same pixel spacing when it differs by no more than this, mm."""
SAME_POSITION_MM = 0.01
"""Two slices closer than this along the normal show the same place."""
IN_PLANE_SHIFT_MM = 0.5
"""Slices may be shifted against each other within their plane by at most this; a tilted gantry shifts them more."""
GAP_FACTOR = 1.5
"""A distance of this many times the median, or more, means that a slice is missing."""
OVERLAP_FACTOR = 0.5
"""A distance below this many times the median means that slices of different volumes are mixed."""
EVEN_SPACING_MM = 0.01
"""Distances of slices that differ by less are the rounding of the header, and not worth a warning."""
IRREGULARITY_MM = 0.25
"""A slice may lie this far from its place on the regular grid, in mm, ..."""
IRREGULARITY_FRACTION = 0.1
"""... and this part of the slice distance, whichever is less; beyond, the volume is resampled along its normal."""

_TIME_ATTRIBUTES = (
    "TemporalPositionIdentifier",
    "TriggerTime",
    "FrameReferenceTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "ActualFrameDuration",
)
"""Attributes that tell frames of a dynamic or gated series apart."""
_SERIES_ATTRIBUTES = (
    "CorrectedImage",
    "ImageType",
    "SeriesDescription",
    "SeriesNumber",
    "ReconstructionMethod",
    "ConvolutionKernel",
    "AcquisitionNumber",
    "Units",
)
"""Attributes that tell series apart whose SeriesInstanceUID is the same."""
_UNIFORM_ATTRIBUTES = ("SOPClassUID", "FrameOfReferenceUID", "PatientID", "Units", "DecayCorrection")
"""Attributes without which the slices of a series are not of one kind."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one volume.

    Attributes
    ----------
    instances
        Ordered by increasing position along the normal, which is row direction × column direction.
    grid
        The regular grid. Axes (z, y, x) are the normal, increasing rows and increasing columns.
    positions
        (slices,) where each slice lies on the grid's first axis, as a fractional index; None where slice k lies at k.
    warnings
        What was tolerated.
    """

    instances: tuple[Instance, ...]
    grid: Grid
    positions: NDArray[np.float64] | None = None
    warnings: tuple[str, ...] = ()


def stack_slices(instances: Sequence[Instance], where: str) -> Stack:
    """Order slices and find the grid they lie on.

    Slices whose distances vary a little are put on the regular grid that fits them best (least squares); if that
    misplaces one by more than `IRREGULARITY_MM` or `IRREGULARITY_FRACTION`, `Stack.positions` says where they are.

    Parameters
    ----------
    instances
        All images of a series, in any order.
    where
        How errors name the series.

    Returns
    -------
    Stack
        Oblique, sagittal, coronal and flipped slices come out where they are in the patient; a tilted gantry
        (slices that are shifted within their plane) is refused.

    Raises
    ------
    GeometryError
        If the slices do not form one volume: no position, different sizes or directions, several slices at one place
        (dynamic, gated, mixed series), or missing ones.
    """
    _require_uniform(instances, where)
    directions = _directions(instances, where)
    normal = directions[:, 0]
    points = np.array([instance.position for instance in instances])
    order = np.argsort(points @ normal, kind="stable")
    ordered = tuple(instances[k] for k in order)
    points = points[order]
    along = points @ normal
    _require_one_slice_per_place(ordered, along, where)
    _require_no_gap(along, where)
    origin = _in_plane_origin(points, along, normal, where)
    spacing, start, positions, warnings = _regular_positions(along)
    first = ordered[0]
    shape = (len(ordered) if positions is None else round(float(positions[-1])) + 1, first.rows, first.columns)
    grid = Grid.from_geometry(shape, (spacing, *first.pixel_spacing), origin + start * normal, directions)
    return Stack(ordered, grid, positions, warnings)


def is_complete(instances: Sequence[Instance]) -> bool:
    """Whether the header proves that no slice of a PET is missing: NumberOfSlices (0054,0081) are there.

    DICOM PS3.3 C.8.9.1, PET Series Module.
    """
    return raw_unsigned(instances[0].header, "NumberOfSlices") == len(instances)


def require_ends(stack: Stack, where: str) -> None:
    """Refuse a PET of which slices are missing at an end, where no gap shows them.

    Parameters
    ----------
    stack
        Slices of a PET.
    where
        How errors name the series.

    Raises
    ------
    GeometryError
        If NumberOfSlices (0054,0081) is more than what is there; or, where it is absent, if ImageIndex (0054,1330), or
        else InstanceNumber, does not begin at the first image (DICOM PS3.3 C.8.9.1, C.8.9.4.1.9).
    """
    count = len(stack.instances)
    expected = raw_unsigned(stack.instances[0].header, "NumberOfSlices")
    if expected and expected > count:
        raise _incomplete(f"{_slices(expected - count)} missing of {expected} (NumberOfSlices)", where)
    if expected:
        return
    indices = [raw_unsigned(instance.header, "ImageIndex") for instance in stack.instances]
    name = "ImageIndex"
    if None in indices or len(set(indices)) < count:
        numbers = [raw_number(instance.header, "InstanceNumber") for instance in stack.instances]
        indices = [None if number is None else int(number) for number in numbers]
        name = "InstanceNumber"
    present = {index for index in indices if index is not None}
    if len(present) < count:
        return
    if min(present) > 1:
        raise _incomplete(f"slices before {name} {min(present)} are missing", where)
    missing = sorted(set(range(min(present), max(present))) - present)
    if missing:
        raise _incomplete(f"{_slices(len(missing))} missing, {name} {missing[0]} for instance", where)


def _require_uniform(instances: Sequence[Instance], where: str) -> None:
    for instance in instances:
        if not instance.has_geometry:
            raise GeometryError(
                f"{instance.path.name} lacks a position, orientation, pixel spacing or size",
                where=where,
                remedy="export the original images again",
            )
    sizes = {f"{instance.rows} x {instance.columns}" for instance in instances}
    if len(sizes) > 1:
        raise _mixed(f"image sizes differ ({', '.join(sorted(sizes))})", where)
    for name, values, tolerance in (
        ("PixelSpacing", [instance.pixel_spacing for instance in instances], SPACING_TOLERANCE),
        ("ImageOrientationPatient", [instance.orientation for instance in instances], ORIENTATION_TOLERANCE),
    ):
        off = np.abs(np.array(values) - values[0]).max(axis=1)
        if off.max() > tolerance:
            raise _mixed(f"{name} differs ({values[0]}, {values[int(off.argmax())]})", where)
    for keyword in _UNIFORM_ATTRIBUTES:
        found = sorted({raw_text(instance.header, keyword) for instance in instances})
        if len(found) > 1:
            raise _mixed(f"{keyword} differs ({found[0] or 'empty'}, {found[1]})", where)


def _directions(instances: Sequence[Instance], where: str) -> NDArray[np.float64]:
    """(3, 3) orthonormal columns: normal, direction of increasing rows, direction of increasing columns."""
    mean = np.mean([instance.orientation for instance in instances], axis=0)
    along_row, along_column = mean[:3], mean[3:]
    lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
    if not np.allclose([*lengths, along_row @ along_column], [1, 1, 0], rtol=0, atol=10 * ORIENTATION_TOLERANCE):
        raise GeometryError(
            f"ImageOrientationPatient {mean.tolist()} is not two perpendicular unit vectors",
            where=where,
            remedy="export the original images again",
        )
    along_row = along_row / lengths[0]
    along_column = along_column - (along_column @ along_row) * along_row
    along_column /= np.linalg.norm(along_column)
    return np.column_stack([np.cross(along_row, along_column), along_column, along_row])


def _require_one_slice_per_place(ordered: Sequence[Instance], along: NDArray[np.float64], where: str) -> None:
    if len(ordered) < 2:
        raise GeometryError(
            "a single slice is no volume", where=where, remedy="give the whole series, one file for each slice"
        )
    same = np.flatnonzero(np.diff(along) < SAME_POSITION_MM)
    if not len(same):
        return
    first, second = ordered[same[0]], ordered[same[0] + 1]
    place = f"{len(ordered)} slices at {len(ordered) - len(same)} positions"
    if first.sop_uid == second.sop_uid:
        raise _mixed(f"{place}, {first.path.name} and {second.path.name} have the same SOPInstanceUID", where)
    for keyword in _TIME_ATTRIBUTES:
        values = [raw_text(instance.header, keyword) for instance in (first, second)]
        if values[0] != values[1]:
            raise GeometryError(
                f"{place}: {keyword} differs ({values[0]}, {values[1]}), so the series is dynamic or gated",
                where=where,
                remedy="give a static reconstruction of the scan",
            )
    for keyword in _SERIES_ATTRIBUTES:
        values = [raw_text(instance.header, keyword) for instance in (first, second)]
        if values[0] != values[1]:
            raise _mixed(f"{place}: {keyword} differs ({values[0]}, {values[1]})", where)
    raise _mixed(f"{place}, {first.path.name} and {second.path.name} for instance", where)


def _require_no_gap(along: NDArray[np.float64], where: str) -> None:
    distances = np.diff(along)
    usual = float(np.median(distances))
    gap = int(np.argmax(distances))
    if distances[gap] >= GAP_FACTOR * usual:
        missing = max(1, round(distances[gap] / usual) - 1)
        raise _incomplete(
            f"{_slices(missing)} missing between {along[gap]:.2f} and {along[gap + 1]:.2f} mm along the normal, where"
            f" slices are {usual:.2f} mm apart",
            where,
        )
    if distances.min() < OVERLAP_FACTOR * usual:
        raise _mixed(f"slices are {distances.min():.2f} to {distances.max():.2f} mm apart", where)


def _in_plane_origin(
    points: NDArray[np.float64], along: NDArray[np.float64], normal: NDArray[np.float64], where: str
) -> NDArray[np.float64]:
    """LPS point at which the line through the slices' first pixels meets the plane through 0, mm."""
    in_plane = points - np.outer(along, normal)
    origin: NDArray[np.float64] = np.median(in_plane, axis=0)
    shift = float(np.linalg.norm(in_plane - origin, axis=1).max())
    if shift > IN_PLANE_SHIFT_MM:
        raise GeometryError(
            f"slices are shifted within their plane by up to {shift:.1f} mm (tilted gantry or another field of view)",
            where=where,
            remedy="give images without gantry tilt, or resample them to a rectangular grid first",
        )
    return origin


def _regular_positions(
    along: NDArray[np.float64],
) -> tuple[float, float, NDArray[np.float64] | None, tuple[str, ...]]:
    """Spacing and start of the regular grid, mm; positions on it if slices are too far off; warnings."""
    index = np.arange(len(along))
    spacing, start = (float(value) for value in np.polyfit(index, along, 1))
    deviation = float(np.abs(start + spacing * index - along).max())
    distances = np.diff(along)
    spread = f"Slice distances vary from {distances.min():.2f} to {distances.max():.2f} mm"
    if np.ptp(distances) < EVEN_SPACING_MM and deviation < EVEN_SPACING_MM:
        return float(along[-1] - along[0]) / (len(along) - 1), float(along[0]), None, ()
    if deviation <= min(IRREGULARITY_MM, IRREGULARITY_FRACTION * spacing):
        return (
            spacing,
            start,
            None,
            (f"{spread}; taken as {spacing:.3f} mm, which misplaces none by more than {deviation:.2f} mm.",),
        )
    count = round(float((along[-1] - along[0]) / np.median(distances))) + 1
    spacing = float(along[-1] - along[0]) / (count - 1)
    positions = (along - along[0]) / spacing
    return spacing, float(along[0]), positions, (f"{spread}; resampled to {count} slices {spacing:.3f} mm apart.",)


def _slices(count: int) -> str:
    return "1 slice is" if count == 1 else f"{count} slices are"


def _mixed(what: str, where: str) -> GeometryError:
    return GeometryError(
        f"{what}, so different volumes are mixed",
        where=where,
        remedy="give one volume, each slice once, in a folder of its own",
    )


def _incomplete(what: str, where: str) -> GeometryError:
    return GeometryError(what, where=where, remedy="export or copy the whole series again")
