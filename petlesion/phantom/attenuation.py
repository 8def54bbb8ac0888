"""CT of the body in HU: tissue values of this patient, contrast medium, texture of tissues; no scanner noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Anatomy, Layer, Part
from petlesion.phantom.draws import smooth_noise, stream, truncated_normal
from petlesion.phantom.labels import STRUCTURES, Label, Tissue
from petlesion.phantom.render import Value, composite

_ENHANCED: dict[Label, float] = {
    # Portal venous phase, 70 s after injection, HU; plausible mid-range values.
    Label.AORTA: 150,
    Label.VENA_CAVA: 130,
    Label.VESSELS: 140,
    Label.HEART: 145,
    Label.BLOOD_POOL: 150,
    Label.MYOCARDIUM: 105,
    Label.LIVER_RIGHT: 108,
    Label.LIVER_LEFT: 108,
    Label.LIVER_VESSELS: 165,
    Label.SPLEEN: 122,
    Label.PANCREAS: 95,
    Label.UNCINATE: 95,
    Label.KIDNEY_LEFT: 180,
    Label.KIDNEY_RIGHT: 180,
    Label.ADRENAL_LEFT: 70,
    Label.ADRENAL_RIGHT: 70,
    Label.THYROID: 165,
    Label.STOMACH: 85,
    Label.DUODENUM: 75,
    Label.JEJUNUM: 80,
    Label.ILEUM: 70,
    Label.PROSTATE: 75,
    Label.UTERUS: 100,
    Label.MUSCLE: 66,
    Label.BRAIN: 42,
}
_CORTEX_HU = {"SKULL": 1250.0, "MANDIBLE": 1250.0, "FEMUR": 1250.0, "HUMERUS": 1200.0, "FOREARM": 1200.0}
_TEXTURE_HU = {
    Tissue.FAT: 9.0,
    Tissue.MUSCLE: 10.0,
    Tissue.LUNG: 38.0,
    Tissue.BONE: 45.0,
    Tissue.ORGAN: 6.0,
    Tissue.BLOOD: 3.0,
    Tissue.TABLE: 40.0,
}
"""SD of the tissue's own unevenness, HU."""
STRAND_HU = -70.0
"""CT value of the thin fat layers between muscle bundles as far as the grid resolves them, HU."""


def tissue_hu(anatomy: Anatomy, seed: int) -> dict[Label, float]:
    """CT value of each structure of this patient, HU."""
    rng = stream(seed, "ct")
    steatosis = rng.random() < 0.2
    liver = truncated_normal(rng, 34.0, 7.0) if steatosis else truncated_normal(rng, 57.0, 5.0)
    age = float(np.clip(1 - 0.009 * (anatomy.age_years - 60), 0.6, 1.4)) * truncated_normal(rng, 1.0, 0.12)
    dose = truncated_normal(rng, 1.0, 0.1)
    values = {}
    for label, row in STRUCTURES.items():
        hu = row.hu * age if row.tissue is Tissue.BONE else row.hu
        if label in (Label.LIVER_RIGHT, Label.LIVER_LEFT):
            hu = liver
        if anatomy.contrast and label in _ENHANCED:
            hu += (_ENHANCED[label] - row.hu) * dose
        values[label] = hu
    return values


def render_ct(anatomy: Anatomy, seed: int) -> NDArray[np.float32]:
    """HU (z, y, x) float32 of the body and table without lesions; -1000 in air."""
    shape, spacing = anatomy.grid.shape, anatomy.grid.spacing_mm[0]
    fine = smooth_noise(stream(seed, "ct/fine"), shape, spacing, max(5.0, 1.2 * spacing))
    coarse = smooth_noise(stream(seed, "ct/coarse"), shape, spacing, 18.0)
    values = tissue_hu(anatomy, seed)

    def value(part: Part) -> Value:
        row = STRUCTURES[part.label]
        hu = values[part.label]
        if part.layer is Layer.CORTEX:
            return _CORTEX_HU.get(part.label.name.partition("_")[0], 650.0)
        spread = _TEXTURE_HU.get(row.tissue, 0.0)
        if part.label is Label.MUSCLE:
            # Fat planes run where the coarse noise changes sign.
            n = coarse[part.block]
            strand = np.exp(-((n / np.float32(0.12)) ** 2)) * np.float32(0.4)
            muscle = (hu + spread * fine[part.block]) * (1 - strand)
            return np.asarray(muscle + STRAND_HU * strand, dtype=np.float32)
        if spread == 0:
            return hu
        return np.float32(hu) + np.float32(spread) * fine[part.block]

    return np.maximum(composite(anatomy.parts, shape, value, -1000.0), np.float32(-1000.0))
