"""Physiological and benign foci that mimic lesions: which occur with which tracer, where, how avid."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Sex
from petlesion.phantom.draws import lognormal, stream
from petlesion.phantom.labels import STRUCTURES, VERTEBRAE, Label
from petlesion.phantom.placing import Places
from petlesion.phantom.truth import Blob, Focus, FocusKind, Growth, Shape
from petlesion.phantom.uptake import Uptake
from petlesion.tracers import TracerName
from petlesion.volume import Grid

Point = NDArray[np.float64]
SOFT = (Label.FAT, Label.VISCERAL_FAT, Label.MUSCLE, Label.VESSELS)
_BOWEL = (Label.JEJUNUM, Label.ILEUM, Label.COLON_ASCENDING, Label.COLON_DESCENDING, Label.SIGMOID)


@dataclass(frozen=True, eq=False)
class Spot:
    """One possible place: name, LPS centre, structures it may fill (empty: any)."""

    place: str
    center_mm: Point
    labels: tuple[Label, ...]


Finder = Callable[[Places, np.random.Generator], list[Spot]]
"""Places of one kind of focus in a body, drawn anew at every call."""


@dataclass(frozen=True)
class Trap:
    """One kind of focus of a tracer.

    Attributes
    ----------
    kind
        What it is.
    chance
        Probability that each spot that the finder returns lights up.
    suv, sd
        True SUVbw, log-normal; the scanner's blur brings small ones down to a third.
    volume_ml
        Smallest and largest volume.
    find
        Where.
    lasting
        Whether it is there at every visit (a ganglion) or comes and goes (urine in a ureter).
    flatness
        Of its outline.
    """

    kind: FocusKind
    chance: float
    suv: float
    sd: float
    volume_ml: tuple[float, float]
    find: Finder
    lasting: bool = True
    flatness: float = 0.8


def _beside(
    landmark: str, offsets: Mapping[str, tuple[float, float, float]], labels: tuple[Label, ...], part: float = 0.5
) -> Finder:
    """Spots at fixed offsets (x, y, z) from a point part of the way along a landmark."""

    def find(places: Places, rng: np.random.Generator) -> list[Spot]:
        line = places.anatomy.landmarks[landmark]
        point = line[round(part * (len(line) - 1))]
        return [Spot(name, point + offset + rng.normal(0, 1.5, 3), labels) for name, offset in offsets.items()]

    return find


def _coeliac(places: Places, rng: np.random.Generator) -> list[Spot]:
    """Ganglia beside the aorta at the coeliac trunk, level of T12 to L1."""
    line, level = places.anatomy.landmarks["aorta"], places.anatomy.landmarks["L1"][0, 2] + 10
    point = line[int(np.argmin(np.abs(line[:, 2] - level) + 1000 * (line[:, 2] > level + 60)))]
    point = np.array([point[0], point[1], level])
    sides = {"left coeliac ganglion": (17, -6, 0), "right coeliac ganglion": (-24, -12, 3)}
    return [Spot(name, point + offset + rng.normal(0, 1.5, 3), SOFT) for name, offset in sides.items()]


def _inside(labels: tuple[Label, ...], depth_mm: float = 0.0) -> Finder:
    """One spot at random in one of the structures."""

    def find(places: Places, rng: np.random.Generator) -> list[Spot]:
        label = labels[int(rng.integers(len(labels)))]
        voxels = places.voxels((label,), depth_mm)
        if len(voxels) == 0:
            return []
        return [Spot(STRUCTURES[label].name, places.random_point(rng, voxels), (label,))]

    return find


def _ureters(places: Places, rng: np.random.Generator) -> list[Spot]:
    """Two possible pools of urine in each ureter."""
    spots: list[Spot] = []
    for label in (Label.URETER_LEFT, Label.URETER_RIGHT):
        line = places.anatomy.landmarks[label.name]
        at = (rng.uniform(0.1, 0.95, 2) * (len(line) - 1)).astype(int)
        spots.extend(Spot(STRUCTURES[label].name, point, ()) for point in line[at])
    return spots


def _brown_fat(places: Places, rng: np.random.Generator) -> list[Spot]:
    """Supraclavicular, axillary and paravertebral brown fat of both sides."""
    spots = []
    for side in ("left", "right"):
        sign = 1 if side == "left" else -1
        for name, count in (("lower neck", 3), ("axilla", 1)):
            line = places.anatomy.landmarks[f"{name} {side}"]
            for _ in range(count):
                center = line[int(rng.integers(len(line)))] + rng.normal(0, (9, 7, 9))
                spots.append(Spot(f"{side} {name}", center, (Label.FAT, Label.MUSCLE)))
        for label in (Label.T3, Label.T5, Label.T7):
            center = places.anatomy.landmarks[label.name][0] + (sign * 24, 8, 0)
            spots.append(Spot(f"{side} paravertebral {label.name}", center, (Label.VISCERAL_FAT, Label.MUSCLE)))
    return spots


def _joints(places: Places, rng: np.random.Generator) -> list[Spot]:
    """One joint at random."""
    choices = [
        ("shoulder", "HUMERUS", 0, (0.0, 0.0, 22.0)),
        ("hip", "FEMUR", 0, (0.0, -24.0, 0.0)),
        ("sternoclavicular joint", "CLAVICLE", 0, (0.0, 4.0, -8.0)),
        ("greater trochanter", "FEMUR", 1, (18.0, 8.0, 8.0)),
    ]
    name, bone, at, offset = choices[int(rng.integers(len(choices)))]
    side = ("left", "right")[int(rng.integers(2))]
    sign = 1 if side == "left" else -1
    point = places.anatomy.landmarks[f"{bone}_{side.upper()}"][at]
    return [Spot(f"{side} {name}", point + np.array(offset) * (sign, 1, 1), SOFT)]


def _injection(places: Places, rng: np.random.Generator) -> list[Spot]:
    """Extravasation at the arm, as far as the arm is in view."""
    side = ("LEFT", "RIGHT")[int(rng.integers(2))]
    middle = places.anatomy.landmarks[f"HUMERUS_{side}"][2]
    center = middle + rng.normal(0, 1, 3) * (4, 4, 40) + (0, -28, 0)
    return [Spot(f"{side.lower()} arm", center, (Label.FAT, Label.MUSCLE))]


def _facets(places: Places, rng: np.random.Generator) -> list[Spot]:
    """Degenerative change of one or two vertebral joints or end plates."""
    spots = []
    for _ in range(int(rng.integers(1, 3))):
        label = VERTEBRAE[int(rng.integers(VERTEBRAE.index(Label.T8), len(VERTEBRAE)))]
        sign = rng.choice((-1, 1))
        center = places.anatomy.landmarks[label.name][0] + (sign * 15.0, rng.uniform(-8, 20), 14.0)
        spots.append(Spot(f"{label.name} joint", center, (label, Label(min(label + 1, Label.L5)), Label.MUSCLE)))
    return spots


def _gynaecomastia(places: Places, rng: np.random.Generator) -> list[Spot]:
    """Behind both nipples, in men."""
    anatomy = places.anatomy
    if anatomy.sex is not Sex.MALE:
        return []
    spots = []
    for side, x in (("left", 82.0), ("right", -82.0)):
        level = anatomy.landmarks["T8"][0, 2]
        _, _, column = np.rint(anatomy.grid.to_index((x, 0.0, level))).astype(int)
        row = int(anatomy.grid.to_index((x, 0.0, level))[0])
        line = np.flatnonzero(anatomy.labels[row, :, column])
        if line.size:
            y = anatomy.grid.to_world((row, float(line[0]), column))[1] + 10 + rng.uniform(0, 3)
            spots.append(Spot(f"{side} breast", np.array([x, y, level]), (Label.FAT, Label.MUSCLE, Label.SKIN)))
    return spots


def _near(names: tuple[str, ...], title: str, spread: float, labels: tuple[Label, ...]) -> Finder:
    """Spots near landmarks of both sides."""

    def find(places: Places, rng: np.random.Generator) -> list[Spot]:
        spots = []
        for name in names:
            line = places.anatomy.landmarks[name]
            side = name.rpartition(" ")[2]
            center = line[int(rng.integers(len(line)))] + rng.normal(0, spread, 3)
            spots.append(Spot(f"{side} {title}", center, labels))
        return spots

    return find


_SPLENUNCULUS = _near(("splenic hilum",), "accessory spleen", 7.0, (Label.VISCERAL_FAT,))
_HILA = _near(("hilum left", "hilum right"), "hilum", 4.0, (*SOFT, Label.LUNG_LEFT, Label.LUNG_RIGHT))
_GROINS = _near(("groin left", "groin right"), "groin", 7.0, (Label.FAT, Label.MUSCLE))
_AXILLAE = _near(("axilla left", "axilla right"), "axilla", 8.0, (Label.FAT, Label.MUSCLE))
_STELLATE = _beside("T1", {"left stellate ganglion": (19, -8, 4), "right stellate ganglion": (-19, -8, 4)}, SOFT)
_CERVICAL = _beside("C3", {"left cervical ganglion": (21, -10, 0), "right cervical ganglion": (-21, -10, 0)}, SOFT)
_SACRAL = _beside("SACRUM", {"left sacral ganglion": (19, -20, 0), "right sacral ganglion": (-19, -20, 0)}, SOFT)
_RIBS = _inside(
    tuple(label for label in Label if label.name.startswith("RIB_") and int(label.name.rpartition("_")[2]) < 11)
)
_SPINE = _inside(tuple(label for label in VERTEBRAE if label >= Label.T4), 6.0)
_K = FocusKind

_DOTATATE = (
    Trap(_K.URETER, 0.35, 16, 12, (0.08, 0.5), _ureters, lasting=False, flatness=0.5),
    Trap(_K.BOWEL, 0.35, 9, 4, (0.3, 3.0), _inside(_BOWEL), lasting=False),
    Trap(_K.BOWEL, 0.25, 9, 4, (0.3, 3.0), _inside(_BOWEL), lasting=False),
    Trap(_K.SPLENUNCULUS, 0.10, 17, 6, (0.3, 1.8), _SPLENUNCULUS),
    Trap(_K.THYROID, 0.08, 8, 3, (0.4, 2.0), _inside((Label.THYROID,))),
    Trap(_K.SPINE, 0.25, 3.0, 1.0, (0.5, 2.5), _facets),
    Trap(_K.HAEMANGIOMA, 0.04, 4.0, 1.5, (1.0, 5.0), _SPINE),
    Trap(_K.JOINT, 0.20, 2.6, 0.8, (1.0, 6.0), _joints),
    Trap(_K.NODE, 0.12, 3.0, 1.0, (0.2, 0.8), _AXILLAE),
    Trap(_K.NODE, 0.10, 2.8, 0.9, (0.2, 0.8), _GROINS),
    Trap(_K.FRACTURE, 0.06, 4.0, 1.5, (0.2, 0.8), _RIBS),
    Trap(_K.INJECTION, 0.12, 14, 12, (0.2, 3.0), _injection, lasting=False),
)
# Ganglia: uptake above background in 92 % (cervical), 89 % (coeliac), 46 % (sacral) of 407 patients, SUVmax 2.4 ± 0.6,
# 2.9 ± 0.8, 1.7 ± 0.5 (Rischpler et al., J Nucl Med 2018); a third of a millilitre shows about 40 % of its uptake.
_PSMA = (
    Trap(_K.GANGLION, 0.70, 6.0, 1.8, (0.25, 0.55), _coeliac, flatness=0.45),
    Trap(_K.GANGLION, 0.62, 4.8, 1.3, (0.2, 0.45), _STELLATE, flatness=0.5),
    Trap(_K.GANGLION, 0.70, 4.8, 1.3, (0.2, 0.4), _CERVICAL, flatness=0.5),
    Trap(_K.GANGLION, 0.30, 3.2, 0.9, (0.15, 0.35), _SACRAL, flatness=0.5),
    Trap(_K.URETER, 0.50, 26, 18, (0.08, 0.6), _ureters, lasting=False, flatness=0.5),
    Trap(_K.BOWEL, 0.30, 10, 5, (0.4, 3.0), _inside(_BOWEL), lasting=False),
    Trap(_K.RIB, 0.18, 6.0, 2.2, (0.12, 0.4), _RIBS),
    Trap(_K.RIB, 0.08, 5.0, 2.0, (0.12, 0.4), _RIBS),
    Trap(_K.THYROID, 0.06, 7, 3, (0.4, 2.0), _inside((Label.THYROID,))),
    Trap(_K.SPINE, 0.25, 2.8, 0.9, (0.5, 2.0), _facets),
    Trap(_K.HAEMANGIOMA, 0.04, 4.5, 1.5, (1.0, 5.0), _SPINE),
    Trap(_K.BREAST, 0.10, 3.0, 0.9, (0.8, 4.0), _gynaecomastia),
    Trap(_K.NODE, 0.10, 3.4, 1.0, (0.2, 0.8), _GROINS),
    Trap(_K.NODE, 0.10, 3.2, 1.0, (0.2, 0.8), _AXILLAE),
    Trap(_K.FRACTURE, 0.06, 4.5, 1.5, (0.2, 0.8), _RIBS),
    Trap(_K.INJECTION, 0.10, 14, 12, (0.2, 3.0), _injection, lasting=False),
)
_FDG = (
    Trap(_K.URETER, 0.35, 16, 12, (0.08, 0.5), _ureters, lasting=False, flatness=0.5),
    Trap(_K.BOWEL, 0.25, 8, 3.5, (0.4, 4.0), _inside(_BOWEL), lasting=False),
    Trap(_K.TONSIL, 0.20, 10, 3, (0.5, 1.2), _inside((Label.TONSILS,))),
    Trap(_K.JOINT, 0.30, 4.0, 1.4, (1.0, 8.0), _joints),
    Trap(_K.NODE, 0.18, 4.6, 1.4, (0.3, 1.2), _HILA),
    Trap(_K.NODE, 0.12, 3.6, 1.2, (0.2, 0.8), _GROINS),
    Trap(_K.NODE, 0.12, 3.6, 1.2, (0.2, 0.8), _AXILLAE),
    Trap(_K.THYROID, 0.05, 9, 4, (0.5, 3.0), _inside((Label.THYROID,))),
    Trap(_K.SPINE, 0.25, 3.8, 1.0, (0.5, 2.5), _facets),
    Trap(_K.MUSCLE, 0.12, 4.0, 1.5, (1.5, 8.0),
        _near(("jugular left", "jugular right"), "neck muscle", 12.0, (Label.MUSCLE,)), lasting=False),
    Trap(_K.FRACTURE, 0.06, 5.0, 1.5, (0.2, 0.8), _RIBS),
    Trap(_K.GRANULOMA, 0.07, 4.0, 2.0, (0.15, 1.5), _inside((Label.LUNG_LEFT, Label.LUNG_RIGHT), 8.0)),
    Trap(_K.BREAST, 0.05, 2.4, 0.6, (0.8, 4.0), _gynaecomastia),
    Trap(_K.INJECTION, 0.12, 14, 12, (0.2, 3.0), _injection, lasting=False),
)  # fmt: skip
_BROWN_FAT = Trap(_K.BROWN_FAT, 0.75, 7.0, 3.0, (0.4, 3.0), _brown_fat, lasting=False)
BROWN_FAT_CHANCE = 0.06
"""Share of FDG patients with activated brown fat: 2-7 % in large series (Cypess et al., NEJM 2009), more in slim
women."""
TRAPS: Mapping[TracerName, tuple[Trap, ...]] = {
    TracerName.GA68_DOTATATE: _DOTATATE,
    TracerName.CU64_DOTATATE: _DOTATATE,
    TracerName.GA68_PSMA11: _PSMA,
    TracerName.F18_FDG: _FDG,
}
"""Foci of each tracer."""
_ORGAN_FOCI: Mapping[TracerName, tuple[tuple[FocusKind, Label], ...]] = {
    TracerName.GA68_DOTATATE: (
        (_K.UNCINATE, Label.UNCINATE),
        (_K.ADRENAL, Label.ADRENAL_LEFT),
        (_K.ADRENAL, Label.ADRENAL_RIGHT),
    ),
    TracerName.CU64_DOTATATE: (
        (_K.UNCINATE, Label.UNCINATE),
        (_K.ADRENAL, Label.ADRENAL_LEFT),
        (_K.ADRENAL, Label.ADRENAL_RIGHT),
    ),
    TracerName.GA68_PSMA11: (
        (_K.TONSIL, Label.TONSILS),
        (_K.ADRENAL, Label.ADRENAL_LEFT),
        (_K.ADRENAL, Label.ADRENAL_RIGHT),
    ),
    TracerName.F18_FDG: ((_K.TONSIL, Label.TONSILS),),
}
"""Whole small organs that count as candidate foci; their uptake is in the organ table."""


def draw_foci(tracer: TracerName, seed: int, visit: int, places: Places, uptake: Uptake) -> list[Focus]:
    """Draw the foci of one scan.

    Parameters
    ----------
    tracer
        Which tracer.
    seed, visit
        Patient and scan; foci marked `lasting` are the same at every visit of the patient.
    places
        The body with its lesions, which foci keep clear of; the foci are added to it.
    uptake
        Normal uptake of the scan.
    """
    foci: list[Focus] = []
    for kind, label in _ORGAN_FOCI[tracer]:
        shape = organ_shape(places, label)
        if shape is not None:
            foci.append(Focus(len(foci) + 1, kind, STRUCTURES[label].name, shape, uptake.of(label), True))
    traps = list(TRAPS[tracer])
    slim = uptake.weight_factor < 1.05
    if tracer is TracerName.F18_FDG:
        chance = BROWN_FAT_CHANCE * (2.0 if slim and places.anatomy.sex is Sex.FEMALE else 0.7)
        if stream(seed, f"foci/brown fat/{visit}").random() < chance:
            traps.append(_BROWN_FAT)
    for number, trap in enumerate(traps):
        rng = stream(seed, f"foci/{number}" if trap.lasting else f"foci/{number}/{visit}")
        for spot in trap.find(places, rng):
            lit, suv = rng.random() < trap.chance, lognormal(rng, trap.suv, trap.sd, 2.2) * uptake.sink
            blob = _blob(trap, spot, rng)
            if not lit:
                continue
            grown = places.put(blob, spot.labels or tuple(Label))
            if grown is None or grown[0].volume_ml < 0.5 * trap.volume_ml[0]:
                continue
            places.keep(grown[0])
            foci.append(Focus(len(foci) + 1, trap.kind, spot.place, grown[0], suv))
    return foci


def _blob(trap: Trap, spot: Spot, rng: np.random.Generator) -> Blob:
    low, high = trap.volume_ml
    volume = float(low * (high / low) ** rng.random())
    x, y, z = (float(v) for v in spot.center_mm)
    return Blob((x, y, z), volume, Growth.ELLIPSOID, int(rng.integers(2**31)), flatness=trap.flatness)


def organ_shape(places: Places, label: Label) -> Shape | None:
    """The voxels of a structure as a shape."""
    box = places.box((label,))
    if box is None:
        return None
    inside = np.pad(places.anatomy.labels[box] == label, 1)
    grid = places.anatomy.grid
    origin = grid.to_world([s.start - 1 for s in box])
    nz, ny, nx = inside.shape
    return Shape(Grid.from_geometry((nz, ny, nx), grid.spacing_mm, origin), inside)
