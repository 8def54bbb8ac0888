"""Named regions of a mask file, and how they become disjoint lesions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.errors import UsageError
from petlesion.lesions import LABEL_DTYPE
from petlesion.volume import Box, Grid

VOLUME_TOLERANCE = 0.2
"""A region whose volume changes on its way to the PET grid by more than this fraction, and more than a voxel a slice,
is reported."""


@dataclass(frozen=True, eq=False)
class Region:
    """A region on the PET grid, cut to its bounding box.

    Attributes
    ----------
    name
        Name in the file: segment label, ROI name, or value.
    corner
        Index (z, y, x) of the box's first voxel.
    mask
        (z, y, x) inside the box; may be all False.
    file_ml
        Volume of the region in the file, mL; None where that is the volume on the PET grid.
    """

    name: str
    corner: tuple[int, int, int]
    mask: NDArray[np.bool_]
    file_ml: float | None = None

    @property
    def box(self) -> Box:
        """Where the region lies in the grid."""
        z, y, x = (slice(start, start + size) for start, size in zip(self.corner, self.mask.shape, strict=True))
        return z, y, x

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True, eq=False)
class DisjointRegions:
    """Regions as one label volume.

    Attributes
    ----------
    labels
        (z, y, x) uint16, 1..n by decreasing volume.
    names
        Name of each region, in the order of the numbers.
    warnings
        What was lost or decided.
    """

    labels: NDArray[np.uint16]
    names: tuple[str, ...]
    warnings: tuple[str, ...]


def disjoint(regions: Sequence[Region], grid: Grid) -> DisjointRegions:
    """Put regions into one label volume, numbered by decreasing volume.

    Where regions overlap, the smaller one keeps the voxels: a nodule drawn inside a larger structure remains a region
    of its own, while the larger loses little. Regions of equal size: the first keeps them.

    Parameters
    ----------
    regions
        In the order of the file.
    grid
        The PET grid.

    Raises
    ------
    UsageError
        If there are more than 65535 regions.
    """
    if len(regions) > np.iinfo(LABEL_DTYPE).max:
        raise UsageError(f"mask has {len(regions)} regions", remedy="give a mask with at most 65535")
    warnings = _volume_warnings(regions, grid)
    labels = np.zeros(grid.shape, dtype=LABEL_DTYPE)
    # Smaller ones over larger ones, and of equal ones the first over the others.
    painted = sorted(range(len(regions)), key=lambda n: (regions[n].voxels, n), reverse=True)
    overlapping = 0
    for n in painted:
        view = labels[regions[n].box]
        overlapping += int(np.count_nonzero(view[regions[n].mask]))
        view[regions[n].mask] = n + 1
    if overlapping:
        warnings.append(f"regions overlap in {overlapping} voxels; the smaller region keeps them")
    sizes = [int(np.count_nonzero(labels[region.box] == n)) for n, region in enumerate(regions, start=1)]
    order = sorted((n for n, size in enumerate(sizes) if size), key=lambda n: (-sizes[n], n))
    warnings += [
        f"region {regions[n].name!r} lies wholly under smaller ones; left out"
        for n, size in enumerate(sizes)
        if not size and regions[n].voxels
    ]
    renumber = np.zeros(len(regions) + 1, dtype=LABEL_DTYPE)
    renumber[np.array(order, dtype=int) + 1] = np.arange(1, len(order) + 1)
    return DisjointRegions(renumber[labels], tuple(regions[n].name for n in order), tuple(warnings))


def labelled_regions(
    labels: NDArray[np.integer[Any]],
    names: Sequence[str],
    file_ml: Sequence[float | None] | None = None,
    corner: tuple[int, int, int] = (0, 0, 0),
) -> list[Region]:
    """Regions of a label volume.

    Parameters
    ----------
    labels
        (z, y, x); region n has the number n + 1.
    names
        Name of each region; those without a voxel are empty.
    file_ml
        Volume of each region in the file, mL, where it differs from that in `labels`.
    corner
        Index (z, y, x) on the PET grid of the volume's first voxel.
    """
    regions = []
    boxes = ndimage.find_objects(labels, max_label=len(names))
    volumes = file_ml or [None] * len(names)
    for number, (name, box, volume) in enumerate(zip(names, boxes, volumes, strict=True), start=1):
        if box is None:
            regions.append(empty_region(name, volume))
        else:
            z, y, x = (start + side.start for start, side in zip(corner, box, strict=True))
            regions.append(Region(name, (z, y, x), labels[box] == number, volume))
    return regions


def empty_region(name: str, file_ml: float | None) -> Region:
    """Region of the file that has no voxel on the PET grid."""
    return Region(name, (0, 0, 0), np.zeros((0, 0, 0), dtype=bool), file_ml)


def chosen(labels: Mapping[int, str], names: Collection[str], path: Path) -> set[int]:
    """Numbers of the regions with one of the given names; all where no name is given.

    Raises
    ------
    UsageError
        If the file has no region of one of the names.
    """
    missing = sorted(set(names) - set(labels.values()))
    if missing:
        raise UsageError(
            f"no region is named {missing[0]!r}", where=path.name, remedy=f"choose among {', '.join(labels.values())}"
        )
    return {number for number, label in labels.items() if not names or label in names}


def _volume_warnings(regions: Sequence[Region], grid: Grid) -> list[str]:
    """Say which regions were lost, or changed, on their way to the PET grid."""
    warnings = []
    for region in regions:
        on_pet_ml = region.voxels * grid.voxel_ml
        tolerated_ml = max(VOLUME_TOLERANCE * (region.file_ml or 0.0), len(region.mask) * grid.voxel_ml)
        if not region.voxels:
            warnings.append(f"region {region.name!r} has no voxel on the PET; left out")
        elif region.file_ml is not None and abs(on_pet_ml - region.file_ml) > tolerated_ml:
            warnings.append(
                f"region {region.name!r} has {region.file_ml:.2f} mL in the file and {on_pet_ml:.2f} mL on the PET grid"
            )
    return warnings
