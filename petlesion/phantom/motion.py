"""Breathing during the PET, and the patient's shift between CT and PET."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.labels import Label
from petlesion.phantom.sampling import averaging_matrix

PHASES = 9
"""Positions in which a breathing cycle is sampled."""

_LUJAN_POWER = 3
_MOVING = (
    *(Label.LUNG_LEFT, Label.LUNG_RIGHT, Label.MYOCARDIUM, Label.HEART, Label.BLOOD_POOL, Label.OESOPHAGUS),
    *(Label.LIVER_RIGHT, Label.LIVER_LEFT, Label.LIVER_VESSELS, Label.GALLBLADDER, Label.SPLEEN),
    *(Label.PANCREAS, Label.UNCINATE, Label.ADRENAL_LEFT, Label.ADRENAL_RIGHT, Label.STOMACH, Label.STOMACH_LUMEN),
    *(Label.KIDNEY_LEFT, Label.KIDNEY_RIGHT, Label.RENAL_PELVIS_LEFT, Label.RENAL_PELVIS_RIGHT),
    *(Label.DUODENUM, Label.JEJUNUM, Label.COLON_TRANSVERSE, Label.BOWEL_GAS),
)


@dataclass(frozen=True)
class Breathing:
    """Craniocaudal motion of the organs around the diaphragm.

    Attributes
    ----------
    amplitude_mm
        Peak-to-peak motion at the dome of the liver. 16 mm (5-30) for the diaphragm and 13 mm (5-17) for the liver in
        quiet breathing (Keall et al., AAPM TG-76, Med Phys 2006, table II).
    dome_mm
        World z of the dome.
    above_mm, below_mm
        Distances over which the motion fades linearly to nothing, towards the apex of the lung and the pelvis.
    """

    amplitude_mm: float
    dome_mm: float
    above_mm: float = 120.0
    below_mm: float = 260.0

    def displacements(self) -> NDArray[np.float64]:
        """Displacement of the dome in equally likely phases, mm, with mean 0: (PHASES,).

        Position follows an even power of the cosine, which rests at end-expiration (Lujan et al., Med Phys 1999).
        """
        phase = np.linspace(0.0, np.pi / 2, PHASES)
        down = np.cos(phase) ** (2 * _LUJAN_POWER)
        return np.asarray(self.amplitude_mm * (down.mean() - down))

    def share(self, z_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of the dome's motion at heights z, 0..1."""
        above = np.clip(1.0 - (z_mm - self.dome_mm) / self.above_mm, 0.0, 1.0)
        below = np.clip(1.0 - (self.dome_mm - z_mm) / self.below_mm, 0.0, 1.0)
        return np.asarray(np.where(z_mm > self.dome_mm, above, below))

    def averaging_matrix(
        self, source: NDArray[np.float64], target: NDArray[np.float64], fwhm_mm: float
    ) -> NDArray[np.float32]:
        """Like `sampling.averaging_matrix` along z, for tissue that moves: mean over the phases, (m, n) float32."""
        share = self.share(source)
        phases = [averaging_matrix(source + share * shift, target, fwhm_mm) for shift in self.displacements()]
        return np.asarray(np.mean(phases, axis=0, dtype=np.float32))


def moving_tissue(anatomy: Anatomy) -> NDArray[np.bool_]:
    """(z, y, x) mask of the organs that move with the diaphragm; bones and the wall of the trunk stay."""
    return anatomy.mask(*_MOVING)


def liver_dome_mm(anatomy: Anatomy) -> float | None:
    """World z of the highest slice of the liver, or None when the body has no liver."""
    liver = anatomy.mask(Label.LIVER_RIGHT, Label.LIVER_LEFT).any(axis=(1, 2))
    if not liver.any():
        return None
    return float(anatomy.grid.to_world((int(np.flatnonzero(liver)[-1]), 0, 0))[2])


def draw_breathing(anatomy: Anatomy, rng: np.random.Generator) -> Breathing | None:
    """Draw the amplitude of a patient; None without a liver."""
    amplitude = float(np.clip(rng.normal(13.0, 5.0), 3.0, 28.0))
    dome = liver_dome_mm(anatomy)
    return None if dome is None else Breathing(round(amplitude, 2), dome)


def draw_misregistration(rng: np.random.Generator) -> tuple[float, float, float]:
    """Shift of the CT against the PET along (x, y, z), mm: at most 10 mm, mostly along z, often small."""
    length = 10.0 * rng.beta(1.3, 3.0)
    direction = rng.normal(size=3) * (0.5, 0.5, 1.0)
    shift = length * direction / np.linalg.norm(direction)
    return float(round(shift[0], 2)), float(round(shift[1], 2)), float(round(shift[2], 2))
