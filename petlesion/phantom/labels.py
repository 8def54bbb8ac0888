"""Anatomical labels of simulated patients: number, name, tissue, CT value, and the organ each counts as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType

from petlesion.organs import Organ


class Label(IntEnum):
    """Values of the label map of a simulated patient; 0 is the air around the patient."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    BRAIN = 4
    CEREBELLUM = 5
    PITUITARY = 6
    EYE_LEFT = 7
    EYE_RIGHT = 8
    LACRIMAL_LEFT = 9
    LACRIMAL_RIGHT = 10
    PAROTID_LEFT = 11
    PAROTID_RIGHT = 12
    SUBMANDIBULAR_LEFT = 13
    SUBMANDIBULAR_RIGHT = 14
    SUBLINGUAL = 15
    NASAL_MUCOSA = 16
    TONSILS = 17
    TONGUE = 18
    LARYNX = 19
    TRACHEA = 20
    OESOPHAGUS = 21
    THYROID = 22
    SPINAL_CORD = 23
    LUNG_LEFT = 24
    LUNG_RIGHT = 25
    MYOCARDIUM = 26
    HEART = 27
    BLOOD_POOL = 28
    AORTA = 29
    VENA_CAVA = 30
    VESSELS = 31
    LIVER_RIGHT = 32
    LIVER_LEFT = 33
    LIVER_VESSELS = 34
    GALLBLADDER = 35
    SPLEEN = 36
    PANCREAS = 37
    UNCINATE = 38
    ADRENAL_LEFT = 39
    ADRENAL_RIGHT = 40
    KIDNEY_LEFT = 41
    KIDNEY_RIGHT = 42
    RENAL_PELVIS_LEFT = 43
    RENAL_PELVIS_RIGHT = 44
    URETER_LEFT = 45
    URETER_RIGHT = 46
    STOMACH = 47
    STOMACH_LUMEN = 48
    DUODENUM = 49
    JEJUNUM = 50
    ILEUM = 51
    COLON_ASCENDING = 52
    COLON_TRANSVERSE = 53
    COLON_DESCENDING = 54
    SIGMOID = 55
    RECTUM = 56
    BOWEL_GAS = 57
    BLADDER = 58
    URETHRA = 59
    PROSTATE = 60
    SEMINAL_VESICLES = 61
    TESTES = 62
    UTERUS = 63
    OVARIES = 64
    BREASTS = 65
    CARTILAGE = 66
    VISCERAL_FAT = 67
    SKULL = 68
    MANDIBLE = 69
    C1 = 70
    C2 = 71
    C3 = 72
    C4 = 73
    C5 = 74
    C6 = 75
    C7 = 76
    T1 = 77
    T2 = 78
    T3 = 79
    T4 = 80
    T5 = 81
    T6 = 82
    T7 = 83
    T8 = 84
    T9 = 85
    T10 = 86
    T11 = 87
    T12 = 88
    L1 = 89
    L2 = 90
    L3 = 91
    L4 = 92
    L5 = 93
    SACRUM = 94
    COCCYX = 95
    STERNUM = 96
    CLAVICLE_LEFT = 97
    CLAVICLE_RIGHT = 98
    SCAPULA_LEFT = 99
    SCAPULA_RIGHT = 100
    HUMERUS_LEFT = 101
    HUMERUS_RIGHT = 102
    FOREARM_LEFT = 103
    FOREARM_RIGHT = 104
    ILIUM_LEFT = 105
    ILIUM_RIGHT = 106
    ISCHIUM_LEFT = 107
    ISCHIUM_RIGHT = 108
    PUBIS_LEFT = 109
    PUBIS_RIGHT = 110
    FEMUR_LEFT = 111
    FEMUR_RIGHT = 112
    RIB_LEFT_1 = 113
    RIB_LEFT_2 = 114
    RIB_LEFT_3 = 115
    RIB_LEFT_4 = 116
    RIB_LEFT_5 = 117
    RIB_LEFT_6 = 118
    RIB_LEFT_7 = 119
    RIB_LEFT_8 = 120
    RIB_LEFT_9 = 121
    RIB_LEFT_10 = 122
    RIB_LEFT_11 = 123
    RIB_LEFT_12 = 124
    RIB_RIGHT_1 = 125
    RIB_RIGHT_2 = 126
    RIB_RIGHT_3 = 127
    RIB_RIGHT_4 = 128
    RIB_RIGHT_5 = 129
    RIB_RIGHT_6 = 130
    RIB_RIGHT_7 = 131
    RIB_RIGHT_8 = 132
    RIB_RIGHT_9 = 133
    RIB_RIGHT_10 = 134
    RIB_RIGHT_11 = 135
    RIB_RIGHT_12 = 136
    TABLE = 255
    """The patient table: seen by CT, without activity, not part of the patient."""


class Tissue(StrEnum):
    """What a structure is made of."""

    AIR = "air"
    FAT = "fat"
    SKIN = "skin"
    MUSCLE = "muscle"
    LUNG = "lung"
    BONE = "bone"
    BLOOD = "blood"
    FLUID = "fluid"
    ORGAN = "organ"
    TABLE = "table"


@dataclass(frozen=True)
class Structure:
    """What is known of one label.

    Attributes
    ----------
    label
        Its value in the label map.
    name
        Name as reports write it, lower case, with its side.
    tissue
        What it is made of.
    hu
        Typical CT value without contrast medium, HU.
    organ
        Organ of the product it counts as, or None.
    """

    label: Label
    name: str
    tissue: Tissue
    hu: float
    organ: Organ | None = None


# CT values at 120 kV, from memory of the usual ranges: liver 55-60, spleen 48, muscle 55, kidney 30, blood 40, bile
# and urine 0-10, fat -105 (Kalender, Computed Tomography, 2011); trabecular bone falls with age, L1 from about 230 HU
# at 30 to 110 HU at 75 years (Pickhardt et al., Ann Intern Med 2013). The thyroid is dense because of its iodine.
_SOFT: tuple[Structure, ...] = (
    Structure(Label.AIR, "air", Tissue.AIR, -1000),
    Structure(Label.SKIN, "skin", Tissue.SKIN, 20),
    Structure(Label.FAT, "fat", Tissue.FAT, -105),
    Structure(Label.MUSCLE, "muscle", Tissue.MUSCLE, 55),
    Structure(Label.BRAIN, "brain", Tissue.ORGAN, 35, Organ.BRAIN),
    Structure(Label.CEREBELLUM, "cerebellum", Tissue.ORGAN, 35, Organ.BRAIN),
    Structure(Label.PITUITARY, "pituitary gland", Tissue.ORGAN, 45),
    Structure(Label.EYE_LEFT, "left eye", Tissue.FLUID, 15),
    Structure(Label.EYE_RIGHT, "right eye", Tissue.FLUID, 15),
    Structure(Label.LACRIMAL_LEFT, "left lacrimal gland", Tissue.ORGAN, 40, Organ.GLANDS),
    Structure(Label.LACRIMAL_RIGHT, "right lacrimal gland", Tissue.ORGAN, 40, Organ.GLANDS),
    Structure(Label.PAROTID_LEFT, "left parotid gland", Tissue.ORGAN, 5, Organ.GLANDS),
    Structure(Label.PAROTID_RIGHT, "right parotid gland", Tissue.ORGAN, 5, Organ.GLANDS),
    Structure(Label.SUBMANDIBULAR_LEFT, "left submandibular gland", Tissue.ORGAN, 45, Organ.GLANDS),
    Structure(Label.SUBMANDIBULAR_RIGHT, "right submandibular gland", Tissue.ORGAN, 45, Organ.GLANDS),
    Structure(Label.SUBLINGUAL, "sublingual glands", Tissue.ORGAN, 40, Organ.GLANDS),
    Structure(Label.NASAL_MUCOSA, "nasal mucosa", Tissue.ORGAN, 30),
    Structure(Label.TONSILS, "palatine tonsils", Tissue.ORGAN, 50),
    Structure(Label.TONGUE, "tongue", Tissue.MUSCLE, 50),
    Structure(Label.LARYNX, "larynx", Tissue.ORGAN, 60),
    Structure(Label.TRACHEA, "trachea and main bronchi", Tissue.AIR, -990),
    Structure(Label.OESOPHAGUS, "oesophagus", Tissue.ORGAN, 35),
    Structure(Label.THYROID, "thyroid", Tissue.ORGAN, 95),
    Structure(Label.SPINAL_CORD, "spinal cord", Tissue.ORGAN, 30),
    Structure(Label.LUNG_LEFT, "left lung", Tissue.LUNG, -820, Organ.LUNGS),
    Structure(Label.LUNG_RIGHT, "right lung", Tissue.LUNG, -820, Organ.LUNGS),
    Structure(Label.MYOCARDIUM, "left ventricular myocardium", Tissue.ORGAN, 50, Organ.HEART),
    Structure(Label.HEART, "right heart and atria", Tissue.BLOOD, 42, Organ.HEART),
    Structure(Label.BLOOD_POOL, "left ventricular cavity", Tissue.BLOOD, 42, Organ.HEART),
    Structure(Label.AORTA, "aorta", Tissue.BLOOD, 42, Organ.AORTA),
    Structure(Label.VENA_CAVA, "vena cava", Tissue.BLOOD, 42),
    Structure(Label.VESSELS, "large vessels", Tissue.BLOOD, 42),
    Structure(Label.LIVER_RIGHT, "right lobe of the liver", Tissue.ORGAN, 57, Organ.LIVER),
    Structure(Label.LIVER_LEFT, "left lobe of the liver", Tissue.ORGAN, 57, Organ.LIVER),
    Structure(Label.LIVER_VESSELS, "portal and hepatic veins", Tissue.BLOOD, 42, Organ.LIVER),
    Structure(Label.GALLBLADDER, "gall bladder", Tissue.FLUID, 8),
    Structure(Label.SPLEEN, "spleen", Tissue.ORGAN, 48, Organ.SPLEEN),
    Structure(Label.PANCREAS, "pancreas", Tissue.ORGAN, 38),
    Structure(Label.UNCINATE, "uncinate process of the pancreas", Tissue.ORGAN, 38),
    Structure(Label.ADRENAL_LEFT, "left adrenal gland", Tissue.ORGAN, 25),
    Structure(Label.ADRENAL_RIGHT, "right adrenal gland", Tissue.ORGAN, 25),
    Structure(Label.KIDNEY_LEFT, "left kidney", Tissue.ORGAN, 32, Organ.KIDNEYS),
    Structure(Label.KIDNEY_RIGHT, "right kidney", Tissue.ORGAN, 32, Organ.KIDNEYS),
    Structure(Label.RENAL_PELVIS_LEFT, "left renal pelvis", Tissue.FLUID, 8, Organ.KIDNEYS),
    Structure(Label.RENAL_PELVIS_RIGHT, "right renal pelvis", Tissue.FLUID, 8, Organ.KIDNEYS),
    Structure(Label.URETER_LEFT, "left ureter", Tissue.FLUID, 20),
    Structure(Label.URETER_RIGHT, "right ureter", Tissue.FLUID, 20),
    Structure(Label.STOMACH, "stomach wall", Tissue.ORGAN, 40, Organ.STOMACH),
    Structure(Label.STOMACH_LUMEN, "stomach content", Tissue.FLUID, 20, Organ.STOMACH),
    Structure(Label.DUODENUM, "duodenum", Tissue.ORGAN, 35, Organ.BOWEL),
    Structure(Label.JEJUNUM, "jejunum", Tissue.ORGAN, 32, Organ.BOWEL),
    Structure(Label.ILEUM, "ileum", Tissue.ORGAN, 32, Organ.BOWEL),
    Structure(Label.COLON_ASCENDING, "ascending colon", Tissue.ORGAN, 25, Organ.BOWEL),
    Structure(Label.COLON_TRANSVERSE, "transverse colon", Tissue.ORGAN, 25, Organ.BOWEL),
    Structure(Label.COLON_DESCENDING, "descending colon", Tissue.ORGAN, 25, Organ.BOWEL),
    Structure(Label.SIGMOID, "sigmoid colon", Tissue.ORGAN, 25, Organ.BOWEL),
    Structure(Label.RECTUM, "rectum", Tissue.ORGAN, 25, Organ.BOWEL),
    Structure(Label.BOWEL_GAS, "gas in stomach or bowel", Tissue.AIR, -950, Organ.BOWEL),
    Structure(Label.BLADDER, "urinary bladder", Tissue.FLUID, 8, Organ.BLADDER),
    Structure(Label.URETHRA, "urethra", Tissue.FLUID, 25),
    Structure(Label.PROSTATE, "prostate", Tissue.ORGAN, 42, Organ.PROSTATE),
    Structure(Label.SEMINAL_VESICLES, "seminal vesicles", Tissue.ORGAN, 25),
    Structure(Label.TESTES, "testes", Tissue.ORGAN, 30),
    Structure(Label.UTERUS, "uterus", Tissue.ORGAN, 50),
    Structure(Label.OVARIES, "ovaries", Tissue.ORGAN, 30),
    Structure(Label.BREASTS, "breasts", Tissue.ORGAN, -20),
    Structure(Label.CARTILAGE, "costal cartilage", Tissue.ORGAN, 95),
    Structure(Label.VISCERAL_FAT, "visceral and mediastinal fat", Tissue.FAT, -105),
    Structure(Label.TABLE, "patient table", Tissue.TABLE, -750),
)

_BONE_HU = {
    "SKULL": 700.0,
    "MANDIBLE": 500.0,
    "C": 260.0,
    "T": 190.0,
    "L": 170.0,
    "SACRUM": 150.0,
    "STERNUM": 140.0,
    "CLAVICLE": 220.0,
    "SCAPULA": 200.0,
    "HUMERUS": 150.0,
    "FEMUR": 150.0,
}
"""Trabecular bone, HU, by the first part of the label's name; 160 HU elsewhere. The cortex is drawn on top."""


def _bone(label: Label) -> Structure:
    """Row of a bone, named after its label: RIB_LEFT_3 is "left rib 3", ILIUM_RIGHT "right ilium", T4 "T4"."""
    bone, _, rest = label.name.partition("_")
    side, _, number = rest.lower().partition("_")
    words = [word for word in (side, bone.lower(), number) if word]
    name = label.name if bone[0] in "CTL" and bone[1:].isdigit() else " ".join(words)
    hu = _BONE_HU.get(bone, _BONE_HU.get(bone[0], 160.0) if bone[1:].isdigit() else 160.0)
    return Structure(label, name, Tissue.BONE, hu, Organ.BONES)


STRUCTURES: Mapping[Label, Structure] = MappingProxyType(
    {row.label: row for row in _SOFT}
    | {label: _bone(label) for label in Label if Label.SKULL <= label <= Label.RIB_RIGHT_12}
)
"""Every label and what is known of it."""

BONES = tuple(label for label, row in STRUCTURES.items() if row.tissue is Tissue.BONE)
"""Labels of all bones."""
VERTEBRAE = tuple(label for label in Label if Label.C1 <= label <= Label.L5)
"""C1 to L5, from the head down."""


def labels_of(organ: Organ) -> tuple[Label, ...]:
    """Labels that count as `organ`."""
    return tuple(label for label, row in STRUCTURES.items() if row.organ is organ)
