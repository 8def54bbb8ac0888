"""Outer layers: skin, fat, muscles of trunk and limbs, breasts, and the abdominal cavity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.habitus import Habitus, Outline, cavity_outline, lean_outline
from petlesion.phantom.body.implicit import Box, Floats, Points, Solid, capsule, ellipsoid, padded
from petlesion.phantom.body.ribcage import arm_points
from petlesion.phantom.labels import Label

FAT_REACH_MM = 60.0
"""Subcutaneous fat is fitted up to this distance from the muscles, mm."""
SKIN_MM = 2.0
"""Thickness of the skin, mm (ICRP Publication 89 gives 1.6 mm as adult mean of trunk and limbs)."""


def outline_solid(outline: Outline, power: float, heights: tuple[float, float] | None = None) -> tuple[Solid, Box]:
    """Trunk between two heights (default: all of the outline), its sections superellipses of the given power."""
    low, high = heights or (float(outline.table[0, 0]), float(outline.table[-1, 0]))
    reach = outline.table[:, 1:].max(axis=0)
    front = float((outline.table[:, 3] - outline.table[:, 2]).min())
    back = float((outline.table[:, 3] + outline.table[:, 2]).max())

    def solid(p: Points) -> Floats:
        half_width, half_depth, center = outline.at(np.asarray(p.z))
        u, v = np.abs(p.x) / half_width, np.abs(p.y - center) / half_depth
        norm = (u**power + v**power) ** np.float32(1 / power)
        across = (norm - 1) * (half_width * half_depth) / np.hypot(half_width * v, half_depth * u).clip(1) * norm
        across = np.where(norm < 1e-3, -half_depth, across)
        along = np.maximum(np.float32(low) - p.z, p.z - np.float32(high))
        return np.asarray(np.maximum(across, along), dtype=np.float32)

    return solid, ((-float(reach[0]), front, low), (float(reach[0]), back, high))


def body_layers(canvas: Canvas, habitus: Habitus) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Distance to the lean body, and the same per unit of subcutaneous fat.

    Returns
    -------
    lean
        (z, y, x) float32 signed distance to the muscles' outer surface, mm.
    level
        (z, y, x) float32: the body with a fat layer of t mm at the waist is where `level` < t.
    """
    lean = np.full(canvas.grid.shape, 1e3, dtype=np.float32)
    level = np.full(canvas.grid.shape, 1e3, dtype=np.float32)
    for (solid, box), share in _lean_parts(habitus):
        block = canvas.block(padded(box, FAT_REACH_MM))
        if block is None:
            continue
        distance = canvas.distance(solid, block)
        lean[block] = np.minimum(lean[block], distance)
        level[block] = np.minimum(level[block], (distance - SKIN_MM) / np.float32(share))
    return lean, level


def _lean_parts(habitus: Habitus) -> list[tuple[tuple[Solid, Box], float]]:
    """Solids that make up the lean body, each with its share of the subcutaneous fat."""
    female = habitus.breast_mm > 0
    hips = 1.25 if female else 0.95
    parts: list[tuple[tuple[Solid, Box], float]] = [
        (outline_solid(lean_outline(habitus), 2.3), 0.95),
        (ellipsoid((0, 0, 753), (82, 102, 87)), 0.06),
        (ellipsoid((0, -46, 690), (66, 60, 72)), 0.22),
        (ellipsoid((0, -58, 650), (54, 52, 46)), 0.3),
        (capsule((0, -96, 690), (0, -106, 674), 10, 12), 0.05),
    ]
    thigh = 1.0 + 0.006 * (habitus.body_mass_index - 24)
    for side in (1, -1):
        s = mirrored(side)
        p = s([(94, 22, 10), (92, 16, -70), (100, 8, -250), (64, 56, 10)])
        parts.append((capsule(p[0], p[1], 84 * thigh, 82 * thigh), hips))
        parts.append((capsule(p[1], p[2], 84 * thigh, 66 * thigh), hips * 0.8))
        parts.append((ellipsoid(p[3], (62, 62, 78)), hips))
        parts.append((ellipsoid(s((50, -10, 674)), (26, 36, 44)), 0.3))
        if habitus.arms_up:
            parts.append((ellipsoid(s((100, 78, 540)), (44, 30, 50)), 0.4))
        arm = arm_points(side, habitus.arms_up)
        joint, elbow = arm[0], arm[1]
        near_neck = s((46, 34, 590))
        parts.append((capsule(joint, joint + 0.35 * (elbow - joint), 50, 43), 0.5))
        parts.append((capsule(near_neck, np.add(joint, (0, 4, 8)), 22, 36), 0.4))
        parts.append((capsule(s((96, -20, 470)), joint, 46, 44), 0.5))
        parts.append((capsule(joint, elbow, 44, 35), 0.55))
        if not habitus.arms_up:
            parts.append((capsule(elbow, arm[2], 35, 24), 0.35))
            parts.append((capsule(arm[2], arm[3], 24, 15), 0.1))
        if female:
            r = habitus.breast_mm
            parts.append((ellipsoid(s((78, -92 - 0.1 * r, 415)), (1.15 * r, 0.85 * r, r)), 0.35))
    if not female:
        parts.append((ellipsoid((0, -62, -92), (34, 26, 32)), 0.1))
    return parts


def paint_muscle_and_cavity(canvas: Canvas, habitus: Habitus, lean: NDArray[np.float32]) -> None:
    """Paint the lean body as muscle, the breasts, and the fat of the abdominal and pelvic cavity."""
    whole = (slice(None), slice(None), slice(None))
    full = tuple(slice(0, n) for n in lean.shape)
    canvas.fill(Label.MUSCLE, (full[0], full[1], full[2]), lean[whole])
    if habitus.breast_mm:
        for side in (1, -1):
            r = habitus.breast_mm
            center = mirrored(side)((78, -90 - 0.1 * r, 415))
            canvas.paint(Label.FAT, ellipsoid(center, (1.15 * r, 0.85 * r, r)))
            canvas.paint(Label.BREASTS, ellipsoid(np.add(center, (0, -0.2 * r, 0)), (0.7 * r, 0.5 * r, 0.62 * r)), 3.0)
            canvas.mark(f"breast {'left' if side > 0 else 'right'}", center)
    _paint_fat_planes(canvas)
    canvas.paint(Label.VISCERAL_FAT, outline_solid(cavity_outline(habitus), 2.3))


def _paint_fat_planes(canvas: Canvas) -> None:
    """Fat between muscle groups: armpits, groins, gluteal plane, neck."""
    for side in (1, -1):
        s = mirrored(side)
        planes = (
            ellipsoid(s((132, 10, 470)), (20, 30, 34)),
            ellipsoid(s((72, -62, -16)), (26, 16, 36)),
            capsule(s((60, 84, 10)), s((112, 62, -20)), 8),
            capsule(s((92, 22, -90)), s((88, 24, -230)), 12, 9),
            capsule(s((36, 8, 585)), s((58, 12, 556)), 12, 14),
            ellipsoid(s((34, -28, 640)), (16, 16, 30)),
        )
        for plane in planes:
            canvas.paint(Label.FAT, plane, rough_mm=2.0)
        canvas.mark(f"axilla {'left' if side > 0 else 'right'}", s([(132, 4, 480), (126, 14, 455)]))
        canvas.mark(f"groin {'left' if side > 0 else 'right'}", s([(72, -66, -6), (74, -60, -30)]))
        canvas.mark(f"lower neck {'left' if side > 0 else 'right'}", s([(50, 10, 566), (60, 14, 556)]))


def paint_trunk_muscles(canvas: Canvas) -> None:
    """Paint the muscles that lie against the spine inside the cavity: psoas, quadratus lumborum, erector spinae."""
    for side in (1, -1):
        s = mirrored(side)
        back = s([(34, 92, 80), (36, 80, 160), (36, 78, 230), (36, 92, 320), (32, 96, 420)])
        rows = np.column_stack([back, (22, 26, 27, 22, 18)])
        canvas.paint(Label.MUSCLE, canvas.tube(rows))
        psoas = s([(28, 34, 265), (38, 26, 200), (50, 10, 120), (76, -22, 55), (98, -26, 10), (102, -4, -50)])
        canvas.paint(Label.MUSCLE, canvas.tube(np.column_stack([psoas, (9, 17, 21, 20, 17, 12)])))
        flank = s([(72, 52, 265), (78, 50, 200), (84, 46, 150)])
        canvas.paint(Label.MUSCLE, canvas.tube(np.column_stack([flank, (10, 13, 14)])))
        wing = s([(86, 22, 130), (92, 12, 90), (92, -6, 50)])
        canvas.paint(Label.MUSCLE, canvas.tube(np.column_stack([wing, (12, 18, 18)])))
        wall = s([(52, 46, 40), (74, 26, 10), (62, 20, -25)])
        canvas.paint(Label.MUSCLE, canvas.tube(np.column_stack([wall, (9, 10, 10)])))
