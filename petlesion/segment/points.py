"""Lesions at points that a person set: in the foreground to grow or keep one, in the background to cut some off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.errors import SegmentationError, UsageError
from petlesion.lesions import CONNECTIVITY, Lesions
from petlesion.report import MethodRecord, Review, Sphere
from petlesion.segment.click import REACH_MM, check_point
from petlesion.segment.components import label_components, number_by_volume
from petlesion.segment.methods import segment
from petlesion.segment.options import SegmentOptions
from petlesion.segment.spheres import voxels_in
from petlesion.study import PetCt

Point = tuple[float, float, float]
"""LPS point (x, y, z), mm."""


def grow_at_points(
    study: PetCt, options: SegmentOptions, foreground: Sequence[Point], background: Sequence[Point] = ()
) -> Lesions:
    """Grow a lesion at each foreground point, and cut off what belongs to a background point.

    Regions that touch become one lesion. Within a lesion that holds a background point, each voxel goes to the point
    from which uptake leads down to it without rising (watershed from the points).

    Parameters
    ----------
    study, options
        As for `petlesion.segment.methods.segment`; the method decides on the boundary.
    foreground
        At least one.
    background
        Points beside every lesion change nothing.

    Raises
    ------
    UsageError
        If there is no foreground point, or one lies outside the image.
    SegmentationError
        If nothing grows at a point, or background points leave nothing.
    """
    _check_points(study, foreground, background)
    mask = np.zeros(study.pet.grid.shape, dtype=bool)
    for point in foreground:
        grown = segment(study, replace(options, point_mm=point))
        mask |= grown.labels > 0
    if background:
        _cut(study, mask, foreground, background)
    labels = label_components(mask, study.pet.grid.voxel_ml, 0.0)
    return _lesions(labels, grown, foreground, background)


def choose_at_points(
    study: PetCt, found: Lesions, foreground: Sequence[Point], background: Sequence[Point] = ()
) -> Lesions:
    """Of lesions that a method found, those at foreground points and not at background points.

    Parameters
    ----------
    study
        The PET.
    found
        Lesions of the whole body.
    foreground, background
        A point on a lesion means that one; a foreground point beside all of them the nearest within
        `petlesion.segment.click.REACH_MM`, a background point there none.

    Raises
    ------
    UsageError
        If there is no foreground point, or one lies outside the image.
    SegmentationError
        If there is no lesion at any of them.
    """
    _check_points(study, foreground, background)
    meant = {_number_near(study, found, point) for point in foreground}
    wanted = sorted(meant - {int(found.labels[_voxel(study, point)]) for point in background} - {0})
    kept = np.where(np.isin(found.labels, wanted), found.labels, 0).astype(np.int32)
    labels = number_by_volume(kept, study.pet.grid.voxel_ml, 0.0)
    renumbered = {int(labels[found.labels == number][0]): number for number in wanted}
    confidences = {new: found.confidences[old] for new, old in renumbered.items() if old in found.confidences}
    return replace(_lesions(labels, found, foreground, background), review=found.review, confidences=confidences)


def _check_points(study: PetCt, foreground: Sequence[Point], background: Sequence[Point]) -> None:
    if not foreground:
        raise UsageError("no foreground point is given", remedy="set one on the lesion")
    for point in (*foreground, *background):
        check_point(study.pet, point)


def _number_near(study: PetCt, found: Lesions, point: Point) -> int:
    """The lesion at a point, or the nearest one within reach; 0 where there is none."""
    here = int(found.labels[_voxel(study, point)])
    if here:
        return here
    around = voxels_in(study.pet.grid, Sphere(point, REACH_MM))
    on_lesions = around[found.labels.ravel()[around] > 0]
    if len(on_lesions) == 0:
        return 0
    places = study.pet.grid.to_world(np.stack(np.unravel_index(on_lesions, found.labels.shape), axis=-1))
    return int(found.labels.ravel()[on_lesions[np.argmin(np.linalg.norm(places - np.array(point), axis=-1))]])


def _cut(study: PetCt, mask: NDArray[np.bool_], foreground: Sequence[Point], background: Sequence[Point]) -> None:
    """Remove from `mask`, in place, the basins of background points."""
    from skimage.segmentation import watershed

    markers = np.zeros(mask.shape, dtype=np.int32)
    for point in foreground:
        markers[_voxel(study, point)] = 1
    for point in background:
        markers[_voxel(study, point)] = 2
    labels, _ = ndimage.label(mask, structure=CONNECTIVITY)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == number
        if not (markers[box][inside] == 2).any():
            continue
        seeds = np.where(inside, markers[box], 0)
        if not (seeds == 1).any():
            # The foreground point fell beside the region it made: its hottest voxel stands for it.
            free = np.where(inside & (seeds == 0), study.pet.array[box], -np.inf)
            seeds[np.unravel_index(int(np.argmax(free)), free.shape)] = 1
        basins = watershed(-study.pet.array[box], seeds, mask=inside, connectivity=CONNECTIVITY)
        mask[box] &= ~(inside & (basins == 2))


def _voxel(study: PetCt, point: Point) -> tuple[int, int, int]:
    z, y, x = np.rint(study.pet.grid.to_index(point)).astype(int)
    return int(z), int(y), int(x)


def _lesions(
    labels: NDArray[np.uint16], origin: Lesions, foreground: Sequence[Point], background: Sequence[Point]
) -> Lesions:
    if not labels.any():
        raise SegmentationError("no lesion is left at the points", remedy="set a point on a lesion, or another method")
    parameters = {name: value for name, value in origin.method.parameters.items() if not name.startswith("point_")} | {
        "foreground_points": len(foreground),
        "background_points": len(background),
    }
    return Lesions(
        labels=labels,
        grid=origin.grid,
        method=MethodRecord(origin.method.name, origin.method.version, origin.method.weights_sha256, parameters),
        reference=origin.reference,
        review=Review.CANDIDATES,
        warnings=origin.warnings,
    )
