"""From a seed to a whole body: draws the build, paints every structure in order, fits the fat to the weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Anatomy, Part, mass_out_of_view
from petlesion.phantom.body.abdomen import (
    paint_adrenals,
    paint_duodenum,
    paint_liver,
    paint_pancreas,
    paint_spleen,
    paint_stomach,
)
from petlesion.phantom.body.bowel import paint_bowel
from petlesion.phantom.body.canvas import Canvas
from petlesion.phantom.body.chest import draw_dome, paint_airways, paint_great_vessels, paint_heart, paint_lungs
from petlesion.phantom.body.habitus import HIGHEST_Z, LOWEST_Z, Habitus, draw_habitus, thorax_outline
from petlesion.phantom.body.head import paint_head
from petlesion.phantom.body.pelvis import paint_pelvis
from petlesion.phantom.body.ribcage import paint_ribs, paint_shoulders, paint_sternum
from petlesion.phantom.body.spine import paint_spine, spine_centers
from petlesion.phantom.body.trunk import SKIN_MM, body_layers, paint_muscle_and_cavity, paint_trunk_muscles
from petlesion.phantom.body.urogenital import paint_kidneys, paint_pelvic_organs
from petlesion.phantom.cohort import CohortOptions
from petlesion.phantom.labels import STRUCTURES, Label, Tissue
from petlesion.phantom.render import composite, label_map
from petlesion.tracers import TracerName
from petlesion.volume import Grid

COVER_MM = 4.0
"""Least thickness of skin and soft tissue over a bone, mm."""
DENSITY = {
    Tissue.AIR: 0.001,
    Tissue.FAT: 0.93,
    Tissue.SKIN: 1.09,
    Tissue.MUSCLE: 1.05,
    Tissue.LUNG: 0.26,
    Tissue.BONE: 1.35,
    Tissue.BLOOD: 1.06,
    Tissue.FLUID: 1.01,
    Tissue.ORGAN: 1.05,
    Tissue.TABLE: 0.0,
}
"""Mass density of tissues, g/mL (ICRU Report 44; bone: compact and spongy bone together)."""


@dataclass(frozen=True, eq=False)
class Body:
    """An anatomy and how it was drawn."""

    anatomy: Anatomy
    habitus: Habitus


def build_body(seed: int, tracer: TracerName, options: CohortOptions) -> Body:
    """Draw the body of a patient.

    The subcutaneous fat is as thick as the weight demands; a drawn weight that would leave no fat at all is raised.
    """
    habitus = draw_habitus(seed, tracer, options.sex, options.arms_up, options.contrast)
    canvas = Canvas(_grid(habitus, options.spacing_mm), habitus.scale, seed)
    lean, level = body_layers(canvas, habitus)
    _paint_inside(canvas, habitus, lean, seed)
    level = np.minimum(level, canvas.envelope - np.float32(COVER_MM))
    missing = mass_out_of_view(habitus.arms_up)
    thickness, mass = fit_fat(canvas, level, habitus.weight_kg * (1 - missing))
    skin = level - np.float32(thickness)
    whole = (slice(0, lean.shape[0]), slice(0, lean.shape[1]), slice(0, lean.shape[2]))
    inside = canvas.parts
    canvas.parts = []
    canvas.fill(Label.SKIN, whole, skin)
    canvas.fill(Label.FAT, whole, skin + np.float32(SKIN_MM))
    canvas.parts.extend(inside)
    _paint_table(canvas, skin < 0)
    anatomy = Anatomy(
        sex=habitus.sex,
        age_years=habitus.age_years,
        height_m=habitus.height_m,
        weight_kg=round(mass / (1 - missing), 1),
        arms_up=habitus.arms_up,
        contrast=habitus.contrast,
        grid=canvas.grid,
        labels=label_map(canvas.parts, canvas.grid.shape),
        parts=tuple(canvas.parts),
        landmarks=canvas.landmarks,
    )
    return Body(anatomy, habitus)


def _grid(habitus: Habitus, spacing: float) -> Grid:
    """Fine grid that holds the patient and the table."""
    sx, sy, sz = habitus.scale
    fat = 12.0 + 2.6 * max(0.0, habitus.body_mass_index - 20)
    half = (218.0 if habitus.arms_up else 268.0) * sx + 0.6 * fat + 18
    front = 124.0 * sy + 1.05 * habitus.belly_mm + habitus.breast_mm * 0.9 + fat + 8
    back = 134.0 * sy + fat + 46
    low, high = LOWEST_Z * sz, (HIGHEST_Z + 8) * sz + 16
    shape = (int((high - low) / spacing) + 1, int((front + back) / spacing) + 1, 2 * int(half / spacing) + 1)
    return Grid.from_geometry(shape, (spacing,) * 3, (-spacing * (shape[2] // 2), -front, low))


def _paint_inside(canvas: Canvas, habitus: Habitus, lean: NDArray[np.float32], seed: int) -> None:
    """Paint everything under the subcutaneous fat; what comes later covers what came before."""
    spine, thorax, dome = spine_centers(seed), thorax_outline(), draw_dome(seed)
    paint_muscle_and_cavity(canvas, habitus, lean)
    paint_trunk_muscles(canvas)
    paint_lungs(canvas, thorax, dome)
    paint_stomach(canvas, seed)
    paint_bowel(canvas, habitus, seed)
    paint_kidneys(canvas, habitus, seed)
    paint_liver(canvas, habitus, dome, seed)
    paint_spleen(canvas, habitus, dome, seed)
    paint_duodenum(canvas, seed)
    paint_pancreas(canvas, habitus, seed)
    paint_adrenals(canvas, seed)
    paint_heart(canvas, seed)
    paint_airways(canvas)
    paint_great_vessels(canvas)
    paint_ribs(canvas, thorax, spine)
    paint_spine(canvas, spine)
    paint_sternum(canvas)
    paint_shoulders(canvas, habitus.arms_up)
    paint_pelvis(canvas)
    paint_pelvic_organs(canvas, habitus, seed)
    paint_head(canvas, seed)


def density_of(part: Part) -> float:
    """Mass density of a part, g/mL."""
    return DENSITY[STRUCTURES[part.label].tissue]


def fit_fat(canvas: Canvas, level: NDArray[np.float32], mass_kg: float) -> tuple[float, float]:
    """Thickness of the subcutaneous fat at the waist for which the body in view has a mass.

    Returns
    -------
    thickness_mm, mass_kg
        The thickness, at least 1 mm, and the mass reached.
    """
    shape = canvas.grid.shape
    inside = composite(canvas.parts, shape, density_of)
    free = 1 - composite(canvas.parts, shape, lambda _: 1.0)
    litre = canvas.grid.voxel_ml / 1000
    lean_kg = float(inside.sum(dtype=np.float64)) * litre
    near = (free > 0.01) & (level < 90)
    order = np.argsort(level[near])
    levels = level[near][order]
    fat_kg = np.cumsum(free[near][order], dtype=np.float64) * litre * DENSITY[Tissue.FAT]
    thickness = float(np.interp(mass_kg - lean_kg, fat_kg, levels))
    thickness = max(thickness, 1.0)
    return thickness, lean_kg + float(np.interp(thickness, levels, fat_kg))


def _paint_table(canvas: Canvas, body: NDArray[np.bool_]) -> None:
    """Paint the table: a shallow trough of foam under the back."""
    rows = np.flatnonzero(body.any(axis=(0, 2)))
    back = canvas.grid.to_world((0, float(rows[-1]), 0))[1]
    nx = canvas.grid.shape[2]
    x = canvas.grid.to_world(np.stack([np.zeros(nx), np.zeros(nx), np.arange(nx)], axis=1))[:, 0]
    y = canvas.grid.to_world(
        np.stack([np.zeros(len(body[0])), np.arange(len(body[0])), np.zeros(len(body[0]))], axis=1)
    )[:, 1]
    top = back + 4 - 14 * (x / 215) ** 2 + 4
    section = np.maximum(np.abs(y[:, None] - top[None, :] - 11) - 11, np.abs(x)[None, :] - 215)
    distance = np.broadcast_to(section.astype(np.float32), body.shape)
    distance = np.where(body, np.float32(10), distance)
    whole = (slice(0, body.shape[0]), slice(0, body.shape[1]), slice(0, body.shape[2]))
    canvas.fill(Label.TABLE, whole, distance)
