"""Upper abdomen: liver with its vessels, gall bladder, spleen, stomach, pancreas, adrenals."""

from __future__ import annotations

import numpy as np

from petlesion.phantom.anatomy import Sex
from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.chest import diaphragm
from petlesion.phantom.body.habitus import Habitus, cavity_outline, thorax_outline
from petlesion.phantom.body.implicit import (
    Floats,
    Points,
    capsule,
    curve,
    ellipsoid,
    padded,
    rotation,
    smooth_max,
    union,
)
from petlesion.phantom.body.trunk import outline_solid
from petlesion.phantom.draws import lognormal, stream, truncated_normal
from petlesion.phantom.labels import Label

LIVER_ML = (1500.0, 270.0)
"""Mean and SD of the liver's volume, mL, at 1.9 m² body surface (Vauthey et al., Liver Transpl 2002, as
remembered)."""
SPLEEN_ML = (215.0, 80.0)
"""Mean and SD of the spleen's volume, mL (Prassopoulos et al., Eur Radiol 1997: 107-315, as remembered)."""


def paint_liver(canvas: Canvas, habitus: Habitus, dome_mm: float, seed: int) -> None:
    """Paint both lobes, their veins and the gall bladder; the lower edge lies where the volume is the drawn one."""
    rng = stream(seed, "anatomy/liver")
    surface = (habitus.height_m * 100 * habitus.weight_kg / 3600) ** 0.5  # Mosteller, NEJM 1987
    volume = float(np.clip(lognormal(rng, *LIVER_ML) * (surface / 1.9) ** 1.1, 950.0, 2400.0))
    block = canvas.block(((-145, -150, 150), (95, 110, 400)))
    if block is None:
        return
    p = canvas.at(block)
    limits = _liver_limits(canvas, habitus, p, block, dome_mm, float(rng.normal(0, 9)))
    slope = truncated_normal(rng, 0.62, 0.06)
    under = (236 + slope * np.clip(p.x + 110, 0, None) + 0.2 * p.y - p.z) * np.float32(0.8)
    shift = fit_volume(under, limits, volume, canvas)
    distance = smooth_max(limits, under - np.float32(shift), 14.0) + np.float32(1.2) * canvas.roughness[block]
    canvas.fill(Label.LIVER_RIGHT, block, distance)
    cantlie = (-22 + 0.45 * p.y - p.x).astype(np.float32)
    canvas.fill(Label.LIVER_LEFT, block, np.maximum(distance, cantlie))
    _paint_liver_vessels(canvas, dome_mm)
    edge = 236 + slope * 60 - 10 - shift / 0.8
    size = truncated_normal(rng, 1.0, 0.15)
    axes = rotation((0.25, -0.55, -0.8))
    canvas.paint(Label.GALLBLADDER, ellipsoid((-50, -48, edge - 2), np.array((32, 13, 13)) * size, axes))
    canvas.mark(Label.GALLBLADDER.name, [(-50, -48, edge - 2)])


def _liver_limits(
    canvas: Canvas, habitus: Habitus, p: Points, block: tuple[slice, slice, slice], dome_mm: float, left_mm: float
) -> Floats:
    """Distance to what bounds the liver everywhere but below: wall, diaphragm, spine, stomach, right kidney."""
    cage = canvas.distance(outline_solid(thorax_outline(), 2.2, (0.0, 420.0))[0], block) + 4
    wall = canvas.distance(outline_solid(cavity_outline(habitus), 2.3, (0.0, 420.0))[0], block) + 2
    roof = (p.z - diaphragm(p, dome_mm) + 4) * np.float32(0.75)
    left = (p.x - (46 + left_mm - 0.5 * (p.y + 20))) * np.float32(0.9)
    spine = (p.y - (16 + 1.3 * np.clip(-p.x - 24, 0, 60))) * np.float32(0.7)
    kidney = -ellipsoid((-60, 50, 244), (38, 36, 62))[0](p)
    bound = smooth_max(np.maximum(cage, wall), roof, 8.0)
    return smooth_max(smooth_max(bound, np.maximum(left, spine), 16.0), kidney, 10.0)


def fit_volume(free: Floats, limits: Floats, volume_ml: float, canvas: Canvas) -> float:
    """Shift by which `free` must be lowered for the solid max(limits, free - shift) to have a volume, mm."""
    inside = np.sort(free[limits < 0])
    wanted = int(volume_ml / canvas.grid.voxel_ml)
    return float(inside[min(wanted, inside.size - 1)])


def _paint_liver_vessels(canvas: Canvas, dome_mm: float) -> None:
    z = 288 + 0.5 * dome_mm
    trunk = [(-6, -32, 256, 6.5), (-18, -18, 270, 6.5), (-34, -6, z, 6.5)]
    right = [(-34, -6, z, 5.5), (-58, 4, z + 4, 4.5), (-84, 10, z - 2, 3)]
    front = [(-52, 2, z + 3, 4), (-68, -26, z + 14, 3)]
    upper = [(-58, 4, z + 4, 4), (-76, 20, z + 28, 2.5)]
    left = [(-34, -6, z, 5), (-14, -22, z + 22, 4), (14, -36, z + 32, 2.5)]
    join = (-25, 2, 340 + 0.7 * dome_mm, 6)
    veins = [
        [join, (-48, 8, 324 + 0.7 * dome_mm, 4.5), (-86, 22, 304, 3)],
        [join, (-40, -22, 322 + 0.7 * dome_mm, 4), (-56, -48, 296, 2.5)],
        [join, (-8, -18, 334 + 0.7 * dome_mm, 4), (22, -44, 324, 2.5)],
    ]
    for rows in (trunk, right, front, upper, left, *veins):
        canvas.paint(Label.LIVER_VESSELS, canvas.tube(np.array(rows, dtype=np.float64)))
    canvas.mark("hepatic hilum", [(-30, -10, z - 10), (-16, -10, 264)])


def paint_spleen(canvas: Canvas, habitus: Habitus, dome_mm: float, seed: int) -> None:
    """Paint the spleen against the left chest wall, its volume the drawn one."""
    rng = stream(seed, "anatomy/spleen")
    volume = float(np.clip(lognormal(rng, *SPLEEN_ML) * (0.88 if habitus.sex is Sex.FEMALE else 1.0), 85.0, 420.0))
    axes = rotation((0.25, -0.62, -0.72))
    center = np.array((90.0, 50.0, 316.0)) + rng.normal(0, 4, 3)
    solid, box = ellipsoid(center, (58, 42, 24), axes)
    block = canvas.block(padded(box, 40))
    if block is None:
        return
    p = canvas.at(block)
    cage = canvas.distance(outline_solid(thorax_outline(), 2.2, (150.0, 420.0))[0], block) + 4
    roof = (p.z - diaphragm(p, dome_mm) + 4) * np.float32(0.75)
    kidney = -ellipsoid((61, 50, 252), (36, 34, 60))[0](p)
    limits = smooth_max(smooth_max(cage, roof, 6.0), kidney, 8.0)
    free = canvas.distance(solid, block, 1.0)
    shift = fit_volume(free, limits, volume, canvas)
    canvas.fill(Label.SPLEEN, block, np.maximum(limits, free - np.float32(shift)))
    canvas.mark(Label.SPLEEN.name, center)
    canvas.mark("splenic hilum", np.add(center, (-30, -14, -8)))


_STOMACH = (
    (14, 10, 334, 12), (46, 24, 338, 32), (64, 4, 312, 31), (64, -32, 280, 25),
    (40, -54, 256, 21), (4, -56, 254, 17), (-22, -48, 266, 11),
)  # fmt: skip
_DUODENUM = (
    (-22, -48, 266, 11), (-44, -34, 270, 12), (-56, -20, 252, 12), (-54, -16, 222, 12),
    (-24, -30, 203, 11), (8, -32, 206, 11), (28, -28, 238, 11),
)  # fmt: skip


_PANCREAS = (
    (-38, -26, 232, 11), (-32, -30, 250, 14), (-10, -42, 262, 9), (22, -32, 274, 9.5), (52, 0, 286, 9),
    (76, 22, 298, 8),
)  # fmt: skip


def paint_stomach(canvas: Canvas, seed: int) -> None:
    """Paint wall, content and air bubble of the stomach."""
    rng = stream(seed, "anatomy/stomach")
    filled = truncated_normal(rng, 0.9, 0.1)
    rows = np.array(_STOMACH, dtype=np.float64)
    rows[:, 3] *= filled
    rows[1:-1, :3] += rng.normal(0, 4, (len(rows) - 2, 3))
    wall = truncated_normal(rng, 5.5, 0.8)
    solid, box = canvas.tube(rows)
    block = canvas.block(box)
    if block is not None:
        distance = canvas.distance(solid, block, 1.0)
        canvas.fill(Label.STOMACH, block, distance)
        canvas.fill(Label.STOMACH_LUMEN, block, distance + np.float32(wall))
        if rng.random() < 0.7:
            level = truncated_normal(rng, -36, 12)
            p = canvas.at(block)
            air = np.maximum(distance + np.float32(wall), p.y - np.float32(level))
            canvas.fill(Label.BOWEL_GAS, block, air)
    canvas.mark(Label.STOMACH.name, rows[:, :3])


def paint_duodenum(canvas: Canvas, seed: int) -> None:
    """Paint the duodenum around the head of the pancreas."""
    rng = stream(seed, "anatomy/duodenum")
    loop = np.array(_DUODENUM, dtype=np.float64)
    loop[1:-1, :3] += rng.normal(0, 2.5, (len(loop) - 2, 3))
    canvas.paint(Label.DUODENUM, canvas.tube(loop), rough_mm=0.8)
    canvas.mark(Label.DUODENUM.name, loop[:, :3])


def paint_pancreas(canvas: Canvas, habitus: Habitus, seed: int) -> None:
    """Paint head, body and tail, and the uncinate process behind the mesenteric vein."""
    rng = stream(seed, "anatomy/pancreas")
    size = truncated_normal(rng, 1.12, 0.1) * (1.0 - 0.004 * max(0, habitus.age_years - 50))
    lift = float(rng.normal(0, 5))
    rows = np.array(_PANCREAS)
    rows[:, 3] *= size
    rows[2:, 2] += lift * np.linspace(0.2, 1, 4)
    canvas.paint(Label.PANCREAS, canvas.tube(rows), rough_mm=1.2)
    canvas.paint(Label.UNCINATE, ellipsoid((-20, -28, 232), np.array((14, 7.5, 14)) * size))
    canvas.paint(Label.VESSELS, canvas.tube([(-6, -32, 258, 5.5), (-3, -40, 232, 5), (-2, -40, 190, 3)]))
    canvas.mark(Label.UNCINATE.name, [(-20, -28, 232)])
    canvas.mark(Label.PANCREAS.name, curve(rows[:, :3]))


def paint_adrenals(canvas: Canvas, seed: int) -> None:
    """Paint the two limbs and body of each adrenal gland."""
    rng = stream(seed, "anatomy/adrenals")
    for side, label in ((1, Label.ADRENAL_LEFT), (-1, Label.ADRENAL_RIGHT)):
        s = mirrored(side)
        center = np.array((42.0, 24.0, 292.0) if side > 0 else (36.0, 32.0, 306.0)) + rng.normal(0, 2, 3)
        thick = truncated_normal(rng, 3.1, 0.35)
        tip = s(np.add(center, (0, -7, 4)))
        ends = (s(np.add(center, (-8, 12, -8))), s(np.add(center, (8, 11, -10))))
        crest = s(np.add(center, (1, -2, 16)))
        gland = union(
            capsule(tip, ends[0], thick + 0.6, thick),
            capsule(tip, ends[1], thick + 0.6, thick),
            capsule(tip, crest, thick + 0.4, thick),
            capsule(crest, ends[1], thick, thick),
        )
        canvas.paint(label, gland)
        canvas.mark(label.name, s(center))
