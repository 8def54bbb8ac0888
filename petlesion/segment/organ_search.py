"""Finds liver and spleen without an organ mask: large, even, plausible uptake on the right side of the body."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.orientation import Orientation
from petlesion.segment.body import BODY_GRID_MM, body_mask
from petlesion.segment.coarse import Coarse
from petlesion.segment.uptake import NormalUptake
from petlesion.study import PetCt

LEVEL_TOLERANCE = 0.22
"""Half width, relative, of the range of uptake that counts as one organ."""
LEVEL_STEP = 1.1
"""Ratio of neighbouring levels that are tried."""
SOFT_TISSUE_HU = (0.0, 180.0)
"""CT numbers of liver and spleen: steatosis at the lower end, contrast medium at the upper end, HU."""
LUNG_HU = (-960.0, -400.0)
"""CT numbers of lung, HU: below it gas and air, above it its edge."""
MIN_LUNG_ML = 80.0
"""Lung beside and above an organ of the upper abdomen, mL."""
LUNG_REACH_MM = 60.0
"""How far above the organ lung may begin, mm."""
FACING_ML = 150.0
"""Uptake of a liver, healthy or diseased, beside a spleen, mL."""
MIN_TRUNK_MM = 160.0
"""Width of a body section that can hold a liver, mm: a child's trunk."""
MIN_TRUNK_WITHOUT_CT_MM = 250.0
"""The same without CT, where no lung tells a trunk from a thigh: an adult's trunk, mm."""
MIN_WAIST_WITHOUT_CT = 0.7
"""Depth of a trunk at its middle, as a fraction of its greatest depth: two thighs that touch have less."""
MAX_CUT_TRUNK_MM = 450.0
"""Where the field of view cuts a body narrower than this, it was cropped, and left and right are guesses, mm."""


class Side(IntEnum):
    """Side of the body; the sign is that of LPS x."""

    RIGHT = -1
    LEFT = 1


@dataclass(frozen=True)
class OrganTraits:
    """What tells an organ from other even uptake.

    Attributes
    ----------
    uptake
        Normal uptake.
    side
        Side of the body that its centre lies on.
    core_ml
        Least and greatest volume after one voxel (8 mm) is taken off its surface, mL.
    offset
        Least and greatest distance of its centre from the midline, as a fraction of half the trunk's width.
    behind
        Whether its centre lies behind the middle of the trunk.
    faces_suv
        Uptake, SUV, that `FACING_ML` on the other side of the body must have at the same height; 0 for none.
    """

    uptake: NormalUptake
    side: Side
    core_ml: tuple[float, float]
    offset: tuple[float, float]
    behind: bool = False
    faces_suv: float = 0.0


def liver_traits(uptake: NormalUptake) -> OrganTraits:
    """A liver of some 700 to 5000 mL, right of the midline."""
    return OrganTraits(uptake, Side.RIGHT, core_ml=(100.0, 4000.0), offset=(0.08, 0.75))


def spleen_traits(uptake: NormalUptake, liver: NormalUptake) -> OrganTraits:
    """A spleen of some 100 to 1500 mL, far to the left and behind, with a liver, healthy or not, on the other side."""
    return OrganTraits(
        uptake, Side.LEFT, core_ml=(12.0, 900.0), offset=(0.35, 0.95), behind=True, faces_suv=liver.band[0]
    )


@dataclass(frozen=True, eq=False)
class Scene:
    """A study reduced to what the search needs, in canonical orientation.

    Attributes
    ----------
    pet
        PET at about 8 mm.
    body, soft, lung
        On `pet`: body; where an organ may be (body; soft tissue, if there is a CT); lung, or None without CT.
    """

    pet: Coarse
    body: NDArray[np.bool_]
    soft: NDArray[np.bool_]
    lung: NDArray[np.bool_] | None

    @classmethod
    def of(cls, study: PetCt) -> Scene:
        """Reduce PET (SUVbw) and CT (HU) of a study."""
        orientation = Orientation.of(study.pet.grid)
        spacing = orientation.grid.spacing_mm
        pet = Coarse.of(orientation.view(study.pet.array), spacing, BODY_GRID_MM)
        if study.ct is None:
            body = body_mask(pet)
            return cls(pet, body, body, None)
        ct = Coarse.of(orientation.view(study.ct.array), spacing, BODY_GRID_MM)
        body = body_mask(pet, ct)
        soft = body & (ct.array > SOFT_TISSUE_HU[0]) & (ct.array < SOFT_TISSUE_HU[1])
        lung = body & (ct.array > LUNG_HU[0]) & (ct.array < LUNG_HU[1])
        # opened: the skin's partial volume has such numbers too, one voxel thick
        return cls(pet, body, soft, ndimage.binary_opening(lung))

    @property
    def search_factors(self) -> tuple[int, int, int]:
        """PET voxels per voxel of the scene along (z, y, x)."""
        return self.pet.factors


def find_regions(scene: Scene, traits: OrganTraits) -> list[NDArray[np.bool_]]:
    """Regions that may be the organ, the likeliest first, at most one for each place.

    A region is connected and even (`LEVEL_TOLERANCE`) around a plausible level; the larger and the more typical, the
    likelier.

    Parameters
    ----------
    scene
        The study.
    traits
        Of the organ looked for.

    Returns
    -------
    list of numpy.ndarray
        (z, y, x) masks on `scene.pet`; empty when nothing in the field of view has the organ's uptake, size and place.
    """
    smooth = ndimage.gaussian_filter(scene.pet.array, 0.5)
    trunk = _trunk(scene)
    found: list[tuple[float, NDArray[np.bool_]]] = []
    for level in _levels(traits.uptake):
        even = scene.soft & (np.abs(smooth - level) <= LEVEL_TOLERANCE * level)
        for core in _cores(even, scene.pet, traits.core_ml):
            if _in_place(core, scene, trunk, traits):
                score = np.count_nonzero(core) * traits.uptake.plausibility(level)
                found.append((score, ndimage.binary_dilation(core, mask=even)))
    return list(_distinct(found))


def regions_in_mask(scene: Scene, share: NDArray[np.float32], uptake: NormalUptake) -> list[NDArray[np.bool_]]:
    """Parts of a given organ with even, plausible uptake, the likeliest normal tissue first.

    Parameters
    ----------
    scene
        The study.
    share
        (z, y, x) how much of each voxel of `scene.pet` the organ fills, 0..1.
    uptake
        Normal uptake of the organ.

    Returns
    -------
    list of numpy.ndarray
        (z, y, x) masks on `scene.pet`; empty when most of the organ takes up more than normal tissue does.
    """
    smooth = ndimage.gaussian_filter(scene.pet.array, 0.5)
    if not (share > 0.5).any() or np.median(smooth[share > 0.5]) > uptake.band[1]:
        return []
    found = []
    for level in _levels(uptake):
        even = (share > 0) & (np.abs(smooth - level) <= LEVEL_TOLERANCE * level)
        found.append((np.count_nonzero(even) * uptake.plausibility(level), even))
    return [even for score, even in sorted(found, key=lambda item: -item[0]) if score > 0]


def _distinct(found: list[tuple[float, NDArray[np.bool_]]]) -> Iterator[NDArray[np.bool_]]:
    """Regions by decreasing score, without those that mostly repeat likelier ones."""
    taken: NDArray[np.bool_] | None = None
    for score, region in sorted(found, key=lambda item: -item[0]):
        taken = np.zeros_like(region) if taken is None else taken
        if score > 0 and np.count_nonzero(region & taken) < 0.5 * np.count_nonzero(region):
            yield region
        taken |= region


@dataclass(frozen=True, eq=False)
class _Trunk:
    """The largest body section of each slice of the search grid.

    Its middle (y, x) and width in voxels, 0 where there is none; its depth at the middle as a fraction of its greatest
    depth; and whether the field of view cuts it at a side.
    """

    middle: NDArray[np.float64]
    width: NDArray[np.float64]
    waist: NDArray[np.float64]
    cut: NDArray[np.bool_]


def _trunk(scene: Scene) -> _Trunk:
    depth = scene.body.shape[0]
    middle, width, waist = np.zeros((depth, 2)), np.zeros(depth), np.zeros(depth)
    cut = np.zeros(depth, dtype=bool)
    for z, plane in enumerate(scene.body):
        labels, count = ndimage.label(plane)
        if count:
            largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
            rows, columns = np.nonzero(labels == largest)
            middle[z] = (rows.min() + rows.max()) / 2, np.median(columns)
            width[z] = columns.max() - columns.min() + 1
            thickness = np.bincount(columns)
            waist[z] = thickness[int(middle[z, 1])] / thickness.max()
            cut[z] = columns.min() == 0 or columns.max() == plane.shape[1] - 1
    return _Trunk(middle, width, waist, cut)


def _levels(uptake: NormalUptake) -> Iterator[float]:
    level, top = uptake.band
    while level <= top:
        yield level
        level *= LEVEL_STEP


def _cores(even: NDArray[np.bool_], grid: Coarse, core_ml: tuple[float, float]) -> Iterator[NDArray[np.bool_]]:
    if not even.any():
        return
    box = ndimage.find_objects(even.astype(np.int8))[0]
    labels, _ = ndimage.label(ndimage.binary_erosion(even[box]))
    sizes = np.bincount(labels.ravel()) * grid.voxel_ml
    for label in 1 + np.flatnonzero((sizes[1:] >= core_ml[0]) & (sizes[1:] <= core_ml[1])):
        core = np.zeros_like(even)
        core[box] = labels == label
        yield core


def _in_place(core: NDArray[np.bool_], scene: Scene, trunk: _Trunk, traits: OrganTraits) -> bool:
    z, y, x = np.nonzero(core)
    half_width = trunk.width[z] / 2
    width_mm = float(np.median(half_width)) * 2 * scene.pet.spacing_mm[2]
    if width_mm < (MIN_TRUNK_WITHOUT_CT_MM if scene.lung is None else MIN_TRUNK_MM):
        return False
    if scene.lung is None and np.median(trunk.waist[z]) < MIN_WAIST_WITHOUT_CT:
        return False
    if width_mm < MAX_CUT_TRUNK_MM and np.mean(trunk.cut[z]) > 0.5:
        return False
    offset = float(traits.side * np.mean((x - trunk.middle[z, 1]) / half_width))
    if not traits.offset[0] <= offset <= traits.offset[1]:
        return False
    if traits.behind and np.mean(y - trunk.middle[z, 0]) < 0:
        return False
    if traits.faces_suv and not _faces(scene, trunk, slice(z.min(), z.max() + 1), traits):
        return False
    return scene.lung is None or _below_lung(core, scene.lung, trunk, scene.pet, traits.side)


def _faces(scene: Scene, trunk: _Trunk, slices: slice, traits: OrganTraits) -> bool:
    """Whether the other side of the body has the uptake of a liver."""
    z, _, x = np.nonzero(scene.soft[slices] & (scene.pet.array[slices] >= traits.faces_suv))
    other_side = traits.side * (x - trunk.middle[z + slices.start, 1]) < 0
    return bool(np.count_nonzero(other_side) * scene.pet.voxel_ml >= FACING_ML)


def _below_lung(core: NDArray[np.bool_], lung: NDArray[np.bool_], trunk: _Trunk, grid: Coarse, side: Side) -> bool:
    slices = np.flatnonzero(core.any(axis=(1, 2)))
    top = slices[-1] + int(np.ceil(LUNG_REACH_MM / grid.spacing_mm[0])) + 1
    z, _, x = np.nonzero(lung[slices[0] : top])
    same_side = side * (x - trunk.middle[z + slices[0], 1]) > 0
    return bool(np.count_nonzero(same_side) * grid.voxel_ml >= MIN_LUNG_ML)
