"""Who lies on the table: sex, age, height, weight, build and position, and the outlines of the trunk that follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Sex
from petlesion.phantom.draws import stream, truncated_normal
from petlesion.tracers import TracerName

REFERENCE_HEIGHT_M = 1.76
"""Height of the canonical frame: the reference adult man of ICRP Publication 89 (2002)."""
LOWEST_Z, HIGHEST_Z = -212.0, 836.0
"""Canonical range of the scan, mid-thigh to vertex, mm."""


@dataclass(frozen=True)
class Habitus:
    """Build of one patient.

    Attributes
    ----------
    sex, age_years, height_m, arms_up, contrast
        As in `Anatomy`.
    weight_kg
        Weight aimed at; the body's fat is fitted to it.
    scale
        Size against the canonical frame along (x, y, z).
    belly_mm
        How far visceral fat pushes the abdominal wall forward, mm.
    breast_mm
        Radius of a breast, mm; 0 in men.
    """

    sex: Sex
    age_years: int
    height_m: float
    weight_kg: float
    arms_up: bool
    contrast: bool
    scale: tuple[float, float, float]
    belly_mm: float
    breast_mm: float

    @property
    def body_mass_index(self) -> float:
        """Weight over squared height, kg/m²."""
        return self.weight_kg / self.height_m**2


def draw_habitus(
    seed: int, tracer: TracerName, sex: Sex | None, arms_up: bool | None, contrast: bool | None
) -> Habitus:
    """Draw the build of a patient.

    Heights follow the averages of European adults; the body mass index is log-normal about 26 (SD 4.5) kg/m²; ages are
    those of the patients that are sent for each tracer. These are plausible figures, not a fit to one survey.
    """
    rng = stream(seed, "habitus")
    male_share = {TracerName.GA68_PSMA11: 1.0, TracerName.F18_FDG: 0.55}.get(tracer, 0.52)
    drawn = Sex.MALE if rng.random() < male_share else Sex.FEMALE
    sex = drawn if sex is None or tracer is TracerName.GA68_PSMA11 else sex
    male = sex is Sex.MALE
    mean_age, sd_age = (69.0, 7.5) if tracer is TracerName.GA68_PSMA11 else (60.0, 12.0)
    age = truncated_normal(rng, mean_age, sd_age)
    height = truncated_normal(rng, 1.76 if male else 1.635, 0.07 if male else 0.065)
    index = float(np.clip(26.0 * np.exp(rng.normal(0.0, 0.165) - 0.0136), 18.0, 42.0))
    frame = truncated_normal(rng, 1.0, 0.03)
    tall = height / REFERENCE_HEIGHT_M
    across = tall**0.5 * (index / 24.0) ** 0.14 * frame * (1.0 if male else 0.965)
    belly = max(0.0, (index - 22.0) * (3.6 if male else 2.4) * truncated_normal(rng, 1.0, 0.3))
    breast = 0.0 if male else float(np.clip(truncated_normal(rng, 46.0, 7.0) + (index - 25.0), 30.0, 75.0))
    up = bool(rng.random() < 0.75)
    enhanced = bool(rng.random() < 0.4)
    return Habitus(
        sex=sex,
        age_years=round(age),
        height_m=round(height, 2),
        weight_kg=round(index * height**2, 1),
        arms_up=up if arms_up is None else arms_up,
        contrast=enhanced if contrast is None else contrast,
        scale=(across, across * truncated_normal(rng, 1.0, 0.02), tall * truncated_normal(rng, 1.0, 0.012)),
        belly_mm=min(belly, 70.0),
        breast_mm=breast,
    )


@dataclass(frozen=True, eq=False)
class Outline:
    """Cross-sections of the trunk: half-width, half-depth and depth of the centre as functions of canonical z, mm.

    Attributes
    ----------
    table
        (n, 4) rows of z (increasing), half-width, half-depth, centre y.
    """

    table: NDArray[np.float64]

    def at(self, z: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Half-width, half-depth and centre y at heights z, mm."""
        return tuple(np.interp(z, self.table[:, 0], self.table[:, column]).astype(np.float32) for column in (1, 2, 3))

    def grown(self, by_mm: float) -> Outline:
        """The outline moved outwards."""
        table = self.table.copy()
        table[:, 1:3] += by_mm
        return Outline(table)


# Rows of (z, half-width, half-depth, centre y), mm, drawn after axial sections of the reference man; the muscles'
# outer surface without subcutaneous fat.
_LEAN = (
    (-110, 150, 80, 16),
    (-70, 162, 94, 17),
    (0, 168, 106, 16),
    (60, 165, 107, 15),
    (110, 156, 101, 10),
    (160, 145, 97, 5),
    (210, 138, 96, 3),
    (270, 142, 102, 3),
    (330, 149, 113, 5),
    (400, 154, 118, 8),
    (450, 158, 112, 12),
    (490, 158, 96, 20),
    (525, 132, 78, 27),
    (550, 84, 66, 27),
    (575, 62, 60, 20),
    (610, 56, 58, 14),
    (665, 56, 62, 6),
    (700, 54, 60, 4),
)
_CAVITY = (
    (-45, 32, 38, 8),
    (0, 54, 58, 14),
    (40, 76, 74, 10),
    (90, 112, 84, 2),
    (140, 127, 83, -5),
    (200, 123, 84, -6),
    (260, 125, 90, -2),
    (330, 130, 98, 5),
    (380, 128, 98, 8),
)
_THORAX = (
    (200, 116, 86, 2),
    (240, 122, 92, 3),
    (290, 128, 98, 5),
    (330, 131, 101, 6),
    (390, 128, 98, 9),
    (440, 119, 91, 9),
    (490, 99, 73, 14),
    (520, 76, 56, 21),
    (545, 48, 38, 28),
    (562, 26, 20, 32),
    (572, 8, 8, 32),
)


def belly_weight(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the belly's bulge reaches height z (canonical mm), 0..1."""
    return np.asarray(np.interp(z, (20, 90, 180, 260, 360, 430), (0, 0.55, 1, 0.9, 0.3, 0)))


def lean_outline(habitus: Habitus) -> Outline:
    """Outer surface of the trunk's muscles."""
    return _bulged(np.array(_LEAN, dtype=np.float64), habitus)


def cavity_outline(habitus: Habitus) -> Outline:
    """Inner surface of the abdominal and pelvic wall."""
    return _bulged(np.array(_CAVITY, dtype=np.float64), habitus)


def thorax_outline() -> Outline:
    """Inner surface of the rib cage."""
    return Outline(np.array(_THORAX, dtype=np.float64))


def _bulged(table: NDArray[np.float64], habitus: Habitus) -> Outline:
    fine = np.arange(table[0, 0], table[-1, 0] + 1, 10.0)
    rows = np.stack([fine, *(np.interp(fine, table[:, 0], table[:, c]) for c in (1, 2, 3))], axis=1)
    bulge = habitus.belly_mm * belly_weight(fine)
    rows[:, 1] += 0.45 * bulge
    rows[:, 2] += 0.5 * bulge
    rows[:, 3] -= 0.5 * bulge
    return Outline(rows)
