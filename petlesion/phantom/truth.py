"""Truth of simulated patients: lesions and physiological foci, as shapes that any grid can be asked about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Block
from petlesion.phantom.labels import Label
from petlesion.volume import Grid


@dataclass(frozen=True, eq=False)
class Shape:
    """A small region of the body at its own fine resolution.

    Attributes
    ----------
    grid
        Small axial grid around the region, LPS mm.
    inside
        (z, y, x) bool on `grid`; its border voxels are False.
    """

    grid: Grid
    inside: NDArray[np.bool_]

    @property
    def volume_ml(self) -> float:
        """Volume, mL."""
        return float(np.count_nonzero(self.inside)) * self.grid.voxel_ml

    @property
    def centroid_mm(self) -> tuple[float, float, float]:
        """LPS centroid (x, y, z), mm."""
        x, y, z = self.grid.to_world(np.argwhere(self.inside).mean(axis=0))
        return float(x), float(y), float(z)

    def occupancy(self, grid: Grid) -> tuple[Block, NDArray[np.float32]] | None:
        """How much of each voxel of `grid` the shape fills: exactly, by the overlap of voxels along each axis.

        Parameters
        ----------
        grid
            Axial grid from feet to head (its axes those of LPS), any spacing.

        Returns
        -------
        tuple or None
            Block of `grid` that the shape touches, and (z, y, x) float32 fractions 0..1 of its voxels; None where the
            shape lies outside the grid.

        Raises
        ------
        ValueError
            If the grid is oblique or flipped.
        """
        if not np.allclose(grid.direction, np.eye(3)[:, ::-1], atol=1e-6):
            raise ValueError(f"the truth is painted on axial grids from feet to head, not on {grid.direction.tolist()}")
        where, weights = [], []
        for axis in range(3):
            low, high = self._edges(axis)
            step = grid.spacing_mm[axis]
            start = grid.origin_mm[2 - axis] - step / 2
            first = max(int(np.floor((low[0] - start) / step)), 0)
            last = min(int(np.ceil((high[-1] - start) / step)), grid.shape[axis])
            if first >= last:
                return None
            edge = start + step * np.arange(first, last)[:, None]
            overlap = np.minimum(edge + step, high) - np.maximum(edge, low)
            where.append(slice(first, last))
            weights.append(np.clip(overlap, 0, None).astype(np.float32) / np.float32(step))
        part = self.inside.astype(np.float32)
        for weight in weights:
            part = np.tensordot(part, weight, axes=(0, 1))
        return (where[0], where[1], where[2]), np.minimum(part, np.float32(1.0))

    def _edges(self, axis: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper edges of the shape's own voxels along an array axis, LPS mm."""
        step = self.grid.spacing_mm[axis]
        low = self.grid.origin_mm[2 - axis] + step * (np.arange(self.grid.shape[axis]) - 0.5)
        return low, low + step


class Region(StrEnum):
    """Where a lesion sits, as staging and location networks name it."""

    LIVER = "liver"
    LUNG = "lung"
    PERITONEUM = "peritoneum"
    BONE = "bone"
    BRAIN = "brain"
    ADRENAL = "adrenal"
    SPLEEN = "spleen"
    SOFT_TISSUE = "soft tissue"
    PROSTATE = "prostate"
    PANCREAS = "pancreas"
    SMALL_BOWEL = "small bowel"
    COLORECTUM = "colorectum"
    NODE_INTERNAL_ILIAC = "internal iliac node"
    NODE_EXTERNAL_ILIAC = "external iliac node"
    NODE_COMMON_ILIAC = "common iliac node"
    NODE_OBTURATOR = "obturator node"
    NODE_PRESACRAL = "presacral node"
    NODE_MESORECTAL = "mesorectal node"
    NODE_INGUINAL = "inguinal node"
    NODE_RETROPERITONEAL = "retroperitoneal node"
    NODE_MESENTERIC = "mesenteric node"
    NODE_HEPATIC_HILUM = "hepatic hilum node"
    NODE_MEDIASTINAL = "mediastinal node"
    NODE_HILAR = "hilar node"
    NODE_AXILLARY = "axillary node"
    NODE_SUPRACLAVICULAR = "supraclavicular node"
    NODE_CERVICAL = "cervical node"


PELVIC_NODES = frozenset(
    {
        Region.NODE_INTERNAL_ILIAC,
        Region.NODE_EXTERNAL_ILIAC,
        Region.NODE_COMMON_ILIAC,
        Region.NODE_OBTURATOR,
        Region.NODE_PRESACRAL,
        Region.NODE_MESORECTAL,
    }
)
"""Regional nodes of the prostate in PROMISE miTNM: all pelvic ones, the common iliac ones among them."""


class Growth(StrEnum):
    """Outline and inside of a lesion."""

    ELLIPSOID = "ellipsoid"
    LOBULATED = "lobulated"
    SPICULATED = "spiculated"
    CONFLUENT = "confluent"


@dataclass(frozen=True)
class Blob:
    """Recipe of a shape: the same recipe with another volume is the same lesion grown or shrunk.

    Attributes
    ----------
    center_mm
        LPS point (x, y, z) it grows from.
    volume_ml
        Volume aimed at, mL.
    growth
        Kind of outline.
    seed
        Of its random form.
    necrosis
        Fraction of the volume that is a cold core.
    flatness
        Shortest over longest axis at most this.
    """

    center_mm: tuple[float, float, float]
    volume_ml: float
    growth: Growth
    seed: int
    necrosis: float = 0.0
    flatness: float = 1.0


@dataclass(frozen=True, eq=False)
class Lesion:
    """One lesion of the truth.

    Attributes
    ----------
    id
        Its value in the lesion map, from 1, by decreasing volume.
    region
        Kind of place.
    place
        The place by name, with side: "right lobe of the liver", "left external iliac node", "T11", "right rib 5".
    label
        Anatomical structure it was placed in (visceral fat for nodes).
    room
        Structures it may grow in.
    blob
        Recipe of its shape.
    shape
        What it fills.
    core
        Its cold core, or None.
    volume_ml
        True volume of `shape`, mL.
    suv_rim
        True SUVbw of its living part, before the scanner.
    suv_mean
        True SUVbw mean over its whole shape, core included, before the scanner.
    suv_local
        True SUVbw of the tissue that it lies in.
    """

    id: int
    region: Region
    place: str
    label: Label
    room: tuple[Label, ...]
    blob: Blob
    shape: Shape
    core: Shape | None
    volume_ml: float
    suv_rim: float
    suv_mean: float
    suv_local: float

    @property
    def growth(self) -> Growth:
        """Kind of outline."""
        return self.blob.growth

    @property
    def necrosis(self) -> float:
        """Fraction of its volume that is a cold core."""
        return self.blob.necrosis


class FocusKind(StrEnum):
    """Physiological or benign uptake that is mistaken for a lesion."""

    UNCINATE = "uncinate process"
    ADRENAL = "adrenal gland"
    URETER = "ureter"
    GANGLION = "ganglion"
    BOWEL = "bowel focus"
    BROWN_FAT = "brown fat"
    TONSIL = "tonsil"
    JOINT = "inflamed joint"
    INJECTION = "injection site"
    RIB = "unspecific rib uptake"
    THYROID = "thyroid nodule"
    SPINE = "degenerative spine"
    BREAST = "gynaecomastia"
    NODE = "reactive node"
    MUSCLE = "tense muscle"
    SPLENUNCULUS = "accessory spleen"
    HAEMANGIOMA = "vertebral haemangioma"
    FRACTURE = "healing fracture"
    GRANULOMA = "granulomatous lung nodule"


@dataclass(frozen=True, eq=False)
class Focus:
    """One physiological focus that a reader must not call a lesion.

    Attributes
    ----------
    id
        Its value in the map of foci, from 1.
    kind
        What it is.
    place
        Where, in words.
    shape
        What it fills.
    suv
        True SUVbw before the scanner, mean over its shape.
    whole_organ
        Whether it is a whole small organ of the label map (an adrenal gland).
    """

    id: int
    kind: FocusKind
    place: str
    shape: Shape
    suv: float
    whole_organ: bool = False


class NClass(StrEnum):
    """Regional nodes, as S3 stages them (PROMISE N1a is N1 here, N1b is N2)."""

    N0 = "N0"
    N1 = "N1"
    N2 = "N2"


class MClass(StrEnum):
    """Distant disease, PROMISE miTNM v1; the highest class present counts."""

    M0 = "M0"
    M1A = "M1a"
    M1B = "M1b"
    M1C = "M1c"


@dataclass(frozen=True)
class Staging:
    """The miTNM classes that follow from the lesions.

    Attributes
    ----------
    local
        Whether the prostate (or another primary organ) holds a lesion.
    n, m
        N and M class.
    bone_pattern
        "u" one, "o" two or three, "d" four or more bone lesions; "" without.
    """

    local: bool
    n: NClass
    m: MClass
    bone_pattern: str
