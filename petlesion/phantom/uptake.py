"""Normal uptake: SUVmean of each structure by tracer, its spread between patients, and what shifts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from petlesion.errors import UsageError
from petlesion.phantom.anatomy import Anatomy, Layer, Sex
from petlesion.phantom.draws import stream
from petlesion.phantom.labels import BONES, STRUCTURES, Label, Tissue
from petlesion.phantom.uptake_tables import TABLES, OrganUptake, TracerTable
from petlesion.tracers import TracerName

SHARED = 0.35
"""Share of the variance of an organ's uptake that it shares with all other organs of the patient."""
SIDE_SD = 0.06
"""SD of the logarithm of a paired organ's left-to-right difference."""
VISIT = 0.15
"""Share of the variance that changes from visit to visit: the within-patient CoV of 10 % (olde Heuvel et al., EJNMMI
Res 2020, 68Ga-PSMA-11: liver, kidney, parotid, blood pool) against about 25 % between patients."""
REFERENCE_LEAN_SHARE = 0.70
"""Lean mass over weight at which the tables hold."""
RED_MARROW = {
    "SKULL": 0.55, "MANDIBLE": 0.5, "HUMERUS": 0.5, "FOREARM": 0.3, "FEMUR": 0.5, "CLAVICLE": 0.7, "SCAPULA": 0.75,
    "RIB": 0.85, "STERNUM": 0.95,
}  # fmt: skip
"""Uptake of a bone's marrow against that of the vertebrae and pelvis: red marrow is confined to the trunk in adults
(ICRP Publication 70, 1995)."""


@dataclass(frozen=True, eq=False)
class Uptake:
    """Drawn normal uptake of one visit.

    Attributes
    ----------
    suv
        SUVbw of each (structure, layer).
    texture
        Coefficient of variation inside each structure, and whether its pattern is patchy (wall of the bowel).
    marrow, blood
        SUVbw of vertebral marrow and of blood, for drawing lesions and foci against.
    sink
        Factor by which the tumours' share of the tracer has lowered all of it.
    weight_factor
        Factor of the body's fat share.
    """

    suv: Mapping[tuple[Label, Layer], float]
    texture: Mapping[Label, float]
    marrow: float
    blood: float
    sink: float
    weight_factor: float

    def scaled(self, factor: float) -> Uptake:
        """All of it times a factor."""
        suv = {key: value * factor for key, value in self.suv.items()}
        return replace(self, suv=suv, marrow=self.marrow * factor, blood=self.blood * factor)

    def of(self, label: Label, layer: Layer = Layer.WHOLE) -> float:
        """SUVbw of a structure's layer."""
        return self.suv.get((label, layer), self.suv[(label, Layer.WHOLE)])


def table_of(tracer: TracerName) -> TracerTable:
    """Uptake table of a tracer.

    Raises
    ------
    petlesion.errors.UsageError
        If there is none.
    """
    if tracer not in TABLES:
        raise UsageError(
            f"no simulated uptake for tracer {tracer.value}", remedy=f"choose one of {', '.join(sorted(TABLES))}"
        )
    return TABLES[tracer]


def lean_mass_kg(sex: Sex, weight_kg: float, height_m: float) -> float:
    """Lean body mass, kg (Janmahasatian et al., Clin Pharmacokinet 2005)."""
    index = weight_kg / height_m**2
    scale, offset = (6680, 216) if sex is Sex.MALE else (8780, 244)
    return 9270 * weight_kg / (scale + offset * index)


def draw_uptake(tracer: TracerName, anatomy: Anatomy, seed: int, visit: int, tumour_share: float) -> Uptake:
    """Draw the normal uptake of a patient.

    Parameters
    ----------
    tracer
        Which tracer.
    anatomy
        Whose body: sex and weight shift uptake.
    seed, visit
        Patient, and which of his scans; most of the variation stays with the patient.
    tumour_share
        Share of the injected activity that lesions hold, 0..1.
    """
    table = table_of(tracer)
    lasting, passing = stream(seed, "uptake"), stream(seed, f"uptake/visit {visit}")

    def z() -> float:
        both = np.sqrt(1 - VISIT) * lasting.standard_normal() + np.sqrt(VISIT) * passing.standard_normal()
        return float(np.clip(both, -2.2, 2.2))

    shared = z()
    lean_share = lean_mass_kg(anatomy.sex, anatomy.weight_kg, anatomy.height_m) / anatomy.weight_kg
    weight_factor = float((REFERENCE_LEAN_SHARE / lean_share) ** table.weight_exponent)
    sink = float(np.clip(1 - tumour_share, 0.2, 1.0) ** table.sink_exponent)
    drawn: dict[Label, float] = {}
    texture: dict[Label, float] = {}
    layers: dict[tuple[Label, Layer], float] = {}
    for organ in table.organs:
        own = np.sqrt(SHARED) * shared + np.sqrt(1 - SHARED) * z()
        factor = sink * (weight_factor if organ.scales else 1.0)
        for label in organ.labels:
            side = float(np.exp(SIDE_SD * z())) if len(organ.labels) > 1 and organ.paired else 1.0
            drawn[label] = _value(organ, own, lasting, passing) * factor * side
            texture[label] = organ.texture
            for layer, ratio in organ.layers.items():
                layers[(label, layer)] = drawn[label] * ratio
    _fill(drawn)
    marrow = drawn[Label.L3]
    suv = {(label, Layer.WHOLE): value for label, value in drawn.items()} | layers
    for bone in BONES:
        suv[(bone, Layer.CORTEX)] = table.cortex_ratio * drawn[bone]
    return Uptake(suv, texture, marrow, drawn[Label.AORTA], sink, weight_factor)


def _value(organ: OrganUptake, own: float, lasting: np.random.Generator, passing: np.random.Generator) -> float:
    """One draw: log-normal with the organ's mean and SD; or one of its modes (FDG in the heart)."""
    if organ.modes:
        choice = lasting.random()
        total = 0.0
        for share, mean, sd in organ.modes:
            total += share
            if choice <= total:
                return float(max(0.1, mean + sd * np.clip(passing.standard_normal(), -2, 2)))
    variance = np.log1p((organ.sd / organ.mean) ** 2)
    return float(organ.mean * np.exp(np.sqrt(variance) * own - variance / 2))


def _fill(drawn: dict[Label, float]) -> None:
    """Give structures without a row the uptake of their tissue, in place."""
    blood, muscle, fat = drawn[Label.AORTA], drawn[Label.MUSCLE], drawn[Label.FAT]
    by_tissue = {
        Tissue.AIR: 0.0,
        Tissue.TABLE: 0.0,
        Tissue.FAT: fat,
        Tissue.SKIN: 0.8 * muscle,
        Tissue.MUSCLE: muscle,
        Tissue.LUNG: 0.3 * blood,
        Tissue.BLOOD: blood,
        Tissue.FLUID: 0.4 * blood,
        Tissue.ORGAN: 0.5 * (blood + muscle),
        Tissue.BONE: drawn[Label.L3],
    }
    for label, row in STRUCTURES.items():
        if label in drawn:
            continue
        value = by_tissue[row.tissue]
        if row.tissue is Tissue.BONE:
            value *= RED_MARROW.get(label.name.partition("_")[0], 1.0)
        drawn[label] = value
    drawn[Label.VISCERAL_FAT] = 1.2 * fat
    drawn[Label.CARTILAGE] = 0.5 * muscle
