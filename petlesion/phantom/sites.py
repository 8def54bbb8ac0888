"""Sites of disease: node stations along vessels, bones, organs, each with the names that a reader gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.labels import STRUCTURES, Label
from petlesion.phantom.placing import Places
from petlesion.phantom.truth import Region

FATTY = (Label.FAT, Label.VISCERAL_FAT, Label.MUSCLE)
"""Where nodes lie: fat, and between muscles."""
ORGANS: Mapping[Region, tuple[Label, ...]] = {
    Region.LIVER: (Label.LIVER_RIGHT, Label.LIVER_LEFT),
    Region.LUNG: (Label.LUNG_LEFT, Label.LUNG_RIGHT),
    Region.SPLEEN: (Label.SPLEEN,),
    Region.BRAIN: (Label.BRAIN, Label.CEREBELLUM),
    Region.ADRENAL: (Label.ADRENAL_LEFT, Label.ADRENAL_RIGHT),
    Region.PROSTATE: (Label.PROSTATE,),
    Region.PANCREAS: (Label.PANCREAS,),
    Region.SMALL_BOWEL: (Label.ILEUM,),
    Region.COLORECTUM: (Label.SIGMOID, Label.RECTUM, Label.COLON_ASCENDING, Label.COLON_DESCENDING),
    Region.PERITONEUM: (Label.VISCERAL_FAT,),
    Region.SOFT_TISSUE: (Label.MUSCLE,),
}
"""Structures that a lesion of an organ region lies in."""
_BONE_WEIGHTS = {
    "T": 0.016, "L": 0.045, "C": 0.004, "SACRUM": 0.08, "ILIUM": 0.085, "ISCHIUM": 0.025, "PUBIS": 0.03, "FEMUR": 0.035,
    "RIB": 0.0085, "STERNUM": 0.045, "SCAPULA": 0.025, "HUMERUS": 0.02, "CLAVICLE": 0.012, "SKULL": 0.02,
}  # fmt: skip
"""How often each bone is the one: red marrow first (after the sites of metastases in PSMA and SSTR PET; plausible)."""


@dataclass(frozen=True)
class Site:
    """A place for one lesion.

    Attributes
    ----------
    place
        Name.
    label
        Structure.
    labels
        Structures it may grow in.
    center_mm
        LPS point (x, y, z).
    limit_ml
        Largest lesion that makes sense there, mL.
    flatness
        Of the blob.
    """

    place: str
    label: Label
    labels: tuple[Label, ...]
    center_mm: NDArray[np.float64]
    limit_ml: float
    flatness: float = 1.0


@dataclass(frozen=True)
class _Station:
    """Nodes along a landmark: how far from it (mm), which part of it, whether one on either side."""

    landmark: str
    name: str
    near_mm: float
    far_mm: float
    sided: bool = True
    limit_ml: float = 15.0
    part: tuple[float, float] = (0.0, 1.0)


_STATIONS: Mapping[Region, tuple[_Station, ...]] = {
    Region.NODE_EXTERNAL_ILIAC: (_Station("external iliac", "external iliac node", 8, 15, part=(0.1, 0.9)),),
    Region.NODE_INTERNAL_ILIAC: (_Station("internal iliac", "internal iliac node", 7, 14, part=(0.2, 1.0)),),
    Region.NODE_COMMON_ILIAC: (_Station("common iliac", "common iliac node", 9, 16, part=(0.2, 0.9)),),
    Region.NODE_OBTURATOR: (_Station("obturator", "obturator node", 0, 7, part=(0.1, 0.8)),),
    Region.NODE_PRESACRAL: (_Station("presacral", "presacral node", 0, 6, sided=False),),
    Region.NODE_MESORECTAL: (_Station("RECTUM", "mesorectal node", 20, 27, sided=False, part=(0.1, 0.55)),),
    Region.NODE_INGUINAL: (_Station("groin", "inguinal node", 0, 12),),
    Region.NODE_RETROPERITONEAL: (
        _Station("abdominal aorta", "retroperitoneal node", 14, 24, sided=False, limit_ml=30),
    ),
    Region.NODE_MESENTERIC: (_Station("mesentery", "mesenteric node", 0, 30, sided=False, limit_ml=30),),
    Region.NODE_HEPATIC_HILUM: (_Station("hepatic hilum", "hepatic hilum node", 0, 12, sided=False),),
    Region.NODE_MEDIASTINAL: (_Station("trachea", "mediastinal node", 12, 20, sided=False, limit_ml=30),),
    Region.NODE_HILAR: (_Station("hilum", "hilar node", 0, 10),),
    Region.NODE_AXILLARY: (_Station("axilla", "axillary node", 0, 16),),
    Region.NODE_SUPRACLAVICULAR: (_Station("lower neck", "supraclavicular node", 0, 12),),
    Region.NODE_CERVICAL: (_Station("jugular", "cervical node", 9, 17),),
}


def draw_site(region: Region, places: Places, radius: float, rng: np.random.Generator) -> Site | None:
    """Somewhere in a region for a lesion of a radius (mm); None when the body lacks the place (a woman's prostate)."""
    if region in _STATIONS:
        return _node_site(region, places.anatomy, rng)
    if region is Region.BONE:
        return _bone_site(places, radius, rng)
    return _organ_site(region, places, radius, rng)


def _node_site(region: Region, anatomy: Anatomy, rng: np.random.Generator) -> Site:
    station = _STATIONS[region][int(rng.integers(len(_STATIONS[region])))]
    side = ("left", "right")[int(rng.integers(2))]
    line = _landmark(anatomy, f"{station.landmark} {side}" if station.sided else station.landmark)
    at = rng.uniform(*station.part) * (len(line) - 1)
    low = min(int(at), len(line) - 2)
    point = line[low] + (at - low) * (line[low + 1] - line[low])
    direction = rng.standard_normal(3)
    direction /= np.linalg.norm(direction)
    center = point + direction * rng.uniform(station.near_mm, station.far_mm)
    name = f"{side} {station.name}" if station.sided else station.name
    if region is Region.NODE_RETROPERITONEAL:
        offset = center[0] - point[0]
        name = "left para-aortic node" if offset > 6 else ("aortocaval node" if offset > -18 else "retrocaval node")
    labels = (*FATTY, Label.LUNG_LEFT, Label.LUNG_RIGHT) if region is Region.NODE_HILAR else FATTY
    return Site(name, Label.VISCERAL_FAT, labels, center, station.limit_ml, flatness=0.75)


def _landmark(anatomy: Anatomy, name: str) -> NDArray[np.float64]:
    """A landmark as a line of at least two points; some are made of others."""
    if name == "presacral":
        x, y, z = np.moveaxis(anatomy.landmarks["SACRUM"], 1, 0)
        return np.stack([x, y - 24, z], axis=1)
    if name == "abdominal aorta":
        line = anatomy.landmarks["aorta"]
        return np.asarray(line[line[:, 2] < anatomy.landmarks["L1"][0, 2] + 15])
    line = anatomy.landmarks[name]
    return line if len(line) > 1 else np.repeat(line, 2, axis=0)


def _bone_site(places: Places, radius: float, rng: np.random.Generator) -> Site | None:
    labels = [label for label in STRUCTURES if STRUCTURES[label].tissue == "bone"]
    weights = np.array([_bone_weight(label) for label in labels])
    label = labels[int(rng.choice(len(labels), p=weights / weights.sum()))]
    voxels = places.voxels((label,), depth_mm=0.5 * radius)
    if len(voxels) == 0:
        return None
    volume = len(places.voxels((label,))) * places.anatomy.grid.voxel_ml
    return Site(STRUCTURES[label].name, label, (label,), places.random_point(rng, voxels), 0.6 * volume)


def _bone_weight(label: Label) -> float:
    first = label.name.partition("_")[0]
    return _BONE_WEIGHTS.get(first, _BONE_WEIGHTS.get(first[0], 0.0) if first[1:].isdigit() else 0.0)


def _organ_site(region: Region, places: Places, radius: float, rng: np.random.Generator) -> Site | None:
    labels = ORGANS[region]
    if region in (Region.LUNG, Region.ADRENAL, Region.COLORECTUM):
        labels = (labels[int(rng.integers(len(labels)))],)
    voxels = places.voxels(labels, depth_mm=0.0 if region is Region.SMALL_BOWEL else 0.85 * radius)
    if region is Region.PERITONEUM and len(voxels):
        voxels = _peritoneal(places, voxels)
    if len(voxels) == 0:
        return None
    center = places.random_point(rng, voxels)
    index = np.rint(places.anatomy.grid.to_index(center)).astype(int)
    label = Label(int(places.anatomy.labels[tuple(index)]))
    label = label if label in labels else labels[0]
    volume = len(places.voxels(labels)) * places.anatomy.grid.voxel_ml
    share = {Region.LIVER: 0.3, Region.LUNG: 0.12, Region.PERITONEUM: 0.02, Region.SOFT_TISSUE: 0.01}.get(region, 0.5)
    name = "peritoneum" if region is Region.PERITONEUM else STRUCTURES[label].name
    return Site(name, label, labels, center, share * volume)


def _peritoneal(places: Places, voxels: NDArray[np.intp]) -> NDArray[np.intp]:
    """Voxels of visceral fat of the abdomen, in front of the spine, rather than of the chest or around the kidneys."""
    anatomy = places.anatomy
    point = anatomy.grid.to_world(voxels)
    low, high = anatomy.landmarks["SACRUM"][-1, 2], anatomy.landmarks["L1"][0, 2]
    front = anatomy.landmarks["L3"][0, 1] - 10
    return np.asarray(voxels[(point[:, 2] > low) & (point[:, 2] < high) & (point[:, 1] < front)])
