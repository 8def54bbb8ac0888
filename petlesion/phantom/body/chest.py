"""Chest: lungs under their diaphragm, airways, heart and great vessels, oesophagus."""

from __future__ import annotations

import numpy as np

from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.habitus import Outline
from petlesion.phantom.body.implicit import Floats, Points, ellipsoid, rotation, smooth_max, union
from petlesion.phantom.body.trunk import outline_solid
from petlesion.phantom.draws import stream, truncated_normal
from petlesion.phantom.labels import Label

DOME_Z = 366.0
"""Height of the right dome of the diaphragm in quiet breathing, canonical mm (eighth to ninth thoracic vertebra)."""
LEFT_DOME_LOWER_MM = 14.0
"""How much lower the left dome stands, mm."""


def diaphragm(p: Points, dome_mm: float) -> Floats:
    """Height of the diaphragm above a point, canonical mm; `dome_mm` shifts both domes (breath)."""
    side = np.where(p.x < 0, np.float32(0), np.float32(LEFT_DOME_LOWER_MM))
    u = (np.abs(p.x) - 62) / np.float32(74)
    v = (p.y - 2) / np.float32(108)
    r = np.sqrt(u * u + v * v)
    fall = 6 * r * r + 88 * np.clip(r - 0.42, 0, None) ** 1.7 + 26 * np.clip(v, 0, None)
    return np.asarray(np.float32(DOME_Z + dome_mm) - side - fall, dtype=np.float32)


def draw_dome(seed: int) -> float:
    """Shift of the diaphragm against the canonical height, mm."""
    return truncated_normal(stream(seed, "anatomy/diaphragm"), 0.0, 9.0)


def paint_lungs(canvas: Canvas, thorax: Outline, dome_mm: float) -> None:
    """Paint both lungs; the mediastinum between them is fat until heart and vessels are painted."""
    cage, box = outline_solid(thorax, 2.2)
    block = canvas.block(box)
    if block is None:
        return
    p = canvas.at(block)
    inside = canvas.distance(cage, block)
    floor = (diaphragm(p, dome_mm) + 3 - p.z) * np.float32(0.75)
    pleura = smooth_max(inside + 2, floor, 6.0)
    canvas.fill(Label.VISCERAL_FAT, block, np.maximum(inside + 3, (diaphragm(p, dome_mm) - p.z) * np.float32(0.75)))
    # The mediastinum is narrow in front, wide around the spine and the heart.
    spine = 30 * np.exp(-(((p.y - 62) / 34) ** 2))
    heart = np.where(p.x > 0, 36.0, 16.0) * np.exp(-(((p.z - 392) / 46) ** 2)) * np.exp(-(((p.y + 30) / 52) ** 2))
    hilum = 8 * np.exp(-(((p.z - 455) / 30) ** 2) - ((p.y - 10) / 26) ** 2)
    upper = 12 * np.clip((p.z - 470) / 60, 0, 1)
    width = (9 + spine + heart + hilum + upper).astype(np.float32)
    for label, side in ((Label.LUNG_LEFT, 1.0), (Label.LUNG_RIGHT, -1.0)):
        canvas.fill(label, block, np.maximum(pleura, width - np.float32(side) * p.x))
    for k, name in ((1, "left"), (-1, "right")):
        canvas.mark(f"hilum {name}", mirrored(k)([(42, 14, 452), (50, 12, 438)]))


def paint_airways(canvas: Canvas) -> None:
    """Paint trachea and bronchi with their walls, vessels of the lung hila, and the oesophagus."""
    tubes = [
        [(0, -24, 582, 9), (0, 0, 530, 9), (2, 12, 478, 9)],
        [(2, 12, 480, 7), (24, 14, 458, 6), (48, 16, 444, 4.5)],
        [(2, 12, 480, 7.5), (-22, 14, 462, 6.5), (-46, 16, 444, 5)],
    ]
    for k in (1, -1):
        s = mirrored(k)
        for end in ((88, 20, 480), (86, -14, 430), (84, 40, 408), (70, 30, 385)):
            branch = np.array([(*s((38, 10, 446)), 8), (*s(end), 2.0)])
            canvas.paint(Label.VESSELS, canvas.tube(branch))
    for rows in tubes:
        lumen = np.array(rows, dtype=np.float64)
        canvas.paint(Label.MUSCLE, canvas.tube(np.add(lumen, (0, 0, 0, 2.0))))
        canvas.paint(Label.TRACHEA, canvas.tube(lumen))
    gullet = [(0, 6, 595, 6), (2, 22, 530, 6.5), (3, 27, 480, 7), (6, 24, 420, 7), (14, 16, 352, 8), (20, 8, 330, 8)]
    canvas.paint(Label.OESOPHAGUS, canvas.tube(gullet))
    canvas.mark("oesophagus", np.array(gullet)[:, :3])
    canvas.mark("trachea", [(0, 0, 530), (2, 12, 478)])


def paint_heart(canvas: Canvas, seed: int) -> None:
    """Paint atria and right ventricle as one blood space, the left ventricle's wall around its cavity."""
    rng = stream(seed, "anatomy/heart")
    size = truncated_normal(rng, 1.0, 0.06)
    wall = truncated_normal(rng, 10.5, 1.2)
    axis = np.array([0.74, -0.52, -0.43]) + rng.normal(0, 0.06, 3)
    frame = rotation(tuple(axis))
    center = np.array([30.0, -26.0, 394.0])
    chambers = union(
        ellipsoid((2, -44, 388), np.array((50, 27, 36)) * size, rotation((0.95, -0.1, -0.3))),
        ellipsoid((-34, -12, 402), np.array((26, 28, 33)) * size),
        ellipsoid((4, 12, 424), np.array((32, 22, 24)) * size),
        ellipsoid((6, -38, 438), np.array((20, 16, 28)) * size),
    )
    canvas.paint(Label.HEART, chambers, rough_mm=1.0)
    outer = ellipsoid(center, np.array((52, 34, 34)) * size, frame)
    cavity = ellipsoid(center - 9 * frame[0], np.array((52, 34 - wall, 34 - wall)) * size, frame)
    block = canvas.block(outer[1])
    if block is not None:
        p = canvas.at(block)
        f = frame[0].astype(np.float32)
        # The valve plane cuts the base off.
        base = -(p.x - np.float32(center[0])) * f[0] - (p.y - np.float32(center[1])) * f[1]
        base = base - (p.z - np.float32(center[2])) * f[2] - np.float32(28 * size)
        shell = np.maximum(canvas.distance(outer[0], block), base)
        canvas.fill(Label.MYOCARDIUM, block, shell)
        canvas.fill(Label.BLOOD_POOL, block, np.maximum(canvas.distance(cavity[0], block), base))
    canvas.mark(Label.BLOOD_POOL.name, center)


_AORTA = (
    (2, -14, 422, 15), (-16, -22, 452, 15.5), (-14, -16, 482, 15), (4, 2, 502, 14), (22, 26, 490, 13),
    (24, 36, 450, 12.5), (18, 34, 390, 12), (9, 18, 320, 11.5), (6, 0, 270, 10), (5, -12, 220, 9), (3, -16, 168, 8.5),
)  # fmt: skip
_CAVA = (
    (-14, -14, 158, 10), (-19, -10, 220, 11), (-23, 0, 280, 12), (-25, 4, 330, 12), (-27, -2, 368, 12),
    (-32, -8, 392, 12),
)  # fmt: skip


def paint_great_vessels(canvas: Canvas) -> None:
    """Paint the great vessels, and those of neck, arms and pelvis; mark the courses that node stations follow."""
    canvas.paint(Label.AORTA, canvas.tube(_AORTA))
    canvas.paint(Label.VENA_CAVA, canvas.tube(_CAVA))
    canvas.paint(Label.VENA_CAVA, canvas.tube([(-26, -18, 420, 10), (-27, -20, 470, 9.5), (-24, -26, 510, 8)]))
    canvas.paint(Label.VESSELS, canvas.tube([(8, -40, 450, 14), (18, -12, 466, 13), (36, 4, 458, 10)]))
    canvas.paint(Label.VESSELS, canvas.tube([(14, -10, 462, 12), (-12, -2, 456, 10), (-38, 4, 448, 9)]))
    canvas.mark("aorta", np.array(_AORTA)[:, :3])
    canvas.mark("vena cava", np.array(_CAVA)[:, :3])
    for k, name in ((1, "left"), (-1, "right")):
        s = mirrored(k)
        common = s([(4, -16, 168), (20, -2, 138), (38, 14, 108)])
        external = s([(38, 14, 108), (54, -8, 70), (66, -36, 30), (72, -58, -8), (70, -50, -60), (76, -20, -200)])
        internal = s([(38, 14, 108), (44, 34, 84), (52, 44, 56), (56, 36, 30)])
        obturator = s([(46, 30, 78), (66, 12, 40), (70, -12, 16), (62, -22, 0)])
        for course, radii in ((common, (7, 6.5, 6)), (external, (6, 5.5, 5, 4.5, 4, 3.5)), (internal, (5, 4, 3.5, 3))):
            canvas.paint(Label.VESSELS, canvas.tube(np.column_stack([course, radii])))
            vein = course + s((-7.0, 7.0, -3.0))
            canvas.paint(Label.VESSELS, canvas.tube(np.column_stack([vein, np.array(radii) + 1.0])))
        canvas.mark(f"common iliac {name}", common)
        canvas.mark(f"external iliac {name}", external[:4])
        canvas.mark(f"internal iliac {name}", internal)
        canvas.mark(f"obturator {name}", obturator)
        neck = s([(10, -14, 504), (20, -18, 540), (26, -8, 580), (28, -4, 640), (28, 4, 690)])
        canvas.paint(Label.VESSELS, canvas.tube(np.column_stack([neck, (5, 4, 4, 3.5, 3)])))
        jugular = s([(22, -34, 525), (34, -14, 570), (37, -2, 640), (36, 10, 685)])
        canvas.paint(Label.VESSELS, canvas.tube(np.column_stack([jugular, (7, 6, 5.5, 4.5)])))
        canvas.mark(f"jugular {name}", jugular)
        arm = s([(22, -34, 525), (70, -24, 536), (120, 0, 520), (150, 14, 500)])
        canvas.paint(Label.VESSELS, canvas.tube(np.column_stack([arm, (7, 6, 5, 4.5)])))
