"""Organ masks on the PET grid, given by the user, a network or the simulation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from petlesion.errors import UsageError
from petlesion.volume import Grid

if TYPE_CHECKING:
    from petlesion.study import PetCt


class Organ(StrEnum):
    """Organs that thresholds, location and staging refer to."""

    LIVER = "liver"
    SPLEEN = "spleen"
    KIDNEYS = "kidneys"
    BLADDER = "bladder"
    LUNGS = "lungs"
    BRAIN = "brain"
    HEART = "heart"
    STOMACH = "stomach"
    BOWEL = "bowel"
    PROSTATE = "prostate"
    AORTA = "aorta"
    BONES = "bones"
    GLANDS = "glands"


TOTALSEGMENTATOR_VALUES: Mapping[Organ, tuple[int, ...]] = {
    Organ.SPLEEN: (1,),
    Organ.KIDNEYS: (2, 3),
    Organ.LIVER: (5,),
    Organ.STOMACH: (6,),
    Organ.LUNGS: (10, 11, 12, 13, 14),
    Organ.BOWEL: (18, 19, 20),
    Organ.BLADDER: (21,),
    Organ.PROSTATE: (22,),
    Organ.BONES: (*range(25, 51), *range(69, 79), *range(91, 117)),
    Organ.HEART: (51,),
    Organ.AORTA: (52,),
    Organ.BRAIN: (90,),
}
"""Numbers of the task `total` of TotalSegmentator 2 (Wasserthal et al., Radiology: AI 2023;5:e230024)."""


_SYNONYMS: Mapping[Organ, tuple[str, ...]] = {Organ.BOWEL: ("colon", "duodenum", "intestine")}
_NO_ORGAN = {
    *("lesion", "lesions", "metastasis", "metastases", "met", "mets", "tumor", "tumors", "tumour", "tumours"),
    *("cyst", "cysts", "nodule", "nodules", "mass", "hcc", "gtv", "igtv", "ctv", "itv", "ptv", "prv"),
    *("minus", "non", "without", "outside", "adrenal"),
}
"""Words of names that name more than the organ, or another one: "liver mets", "PTV_Liver", "adrenal_gland_left"."""
_BINARY: Final = {"1", "255"}
"""Numbers in masks of a single organ."""


@dataclass(frozen=True, eq=False)
class Organs:
    """A label map of organs.

    Attributes
    ----------
    labels
        (z, y, x) integers on `grid`; 0 is none.
    grid
        The PET grid.
    values
        Which labels belong to which organ.
    """

    labels: NDArray[np.integer[Any]]
    grid: Grid
    values: Mapping[Organ, tuple[int, ...]]

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape:
            raise ValueError(f"organ labels of shape {self.labels.shape} on a grid of shape {self.grid.shape}")

    def mask(self, organ: Organ) -> NDArray[np.bool_] | None:
        """(z, y, x) mask of the organ, or None when no voxel carries it."""
        if not self.values.get(organ):
            return None
        mask = np.isin(self.labels, self.values[organ])
        return mask if mask.any() else None


def read_organs(path: Path, study: PetCt, *, alone_is_liver: bool = True) -> Organs:
    """Read organ masks onto the grid of a PET.

    Parameters
    ----------
    path
        NIfTI label volume: 1 or 255 alone is the liver; others are the numbers of TotalSegmentator 2.
        Or DICOM SEG or RTSTRUCT, whose segment labels or ROI names hold the organ's English name.
    study
        The PET.
    alone_is_liver
        Otherwise 1 alone is a number of TotalSegmentator, too: the spleen.

    Raises
    ------
    UsageError
        If the file cannot be read, or holds no organ that is known.
    """
    from petlesion.masks import read_regions

    file = read_regions(path, study)
    labels = np.zeros(study.pet.grid.shape, dtype=np.uint16)
    values: dict[Organ, tuple[int, ...]] = {}
    for number, region in enumerate(file.regions, start=1):
        mask = alone_is_liver and file.kind == "NIfTI" and len(file.regions) == 1 and region.name in _BINARY
        organ = Organ.LIVER if mask else organ_named(region.name)
        if organ is not None:
            labels[region.box][region.mask] = number
            values[organ] = (*values.get(organ, ()), number)
    if not values:
        names = ", ".join(repr(region.name) for region in file.regions[:10])
        raise UsageError(
            f"no known organ among {names or 'no region'}",
            where=path.name,
            remedy=f"name segments by organ ({', '.join(Organ)}), or use the numbers of TotalSegmentator 2",
        )
    return Organs(labels, study.pet.grid, values)


def organ_named(name: str) -> Organ | None:
    """The organ whose number this is, or whose word stands in the name; a lesion in an organ is none.

    Examples
    --------
    >>> organ_named("kidney_left"), organ_named("Liver metastasis"), organ_named("5")
    (<Organ.KIDNEYS: 'kidneys'>, None, <Organ.LIVER: 'liver'>)
    """
    if name.isdecimal():
        return next((organ for organ, values in TOTALSEGMENTATOR_VALUES.items() if int(name) in values), None)
    words = set(re.findall(r"[a-z]+", name.lower()))
    if words & _NO_ORGAN:
        return None
    return next((organ for organ in Organ if words & {organ, organ.removesuffix("s"), *_SYNONYMS.get(organ, ())}), None)
