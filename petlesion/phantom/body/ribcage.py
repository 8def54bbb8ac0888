"""Ribs with their cartilages, sternum, clavicles, scapulae and arms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.habitus import Outline
from petlesion.phantom.body.implicit import Box, Solid, capsule, curve, ellipsoid, plate, union
from petlesion.phantom.labels import Label

# Of each rib: how far round the chest its bone reaches (degrees from the back) and how far its front end lies below
# its head (canonical mm).
_REACH = (146, 148, 148, 147, 145, 143, 140, 134, 125, 114, 82, 58)
_DROP = (34, 58, 78, 92, 104, 114, 122, 124, 120, 108, 72, 44)


def paint_ribs(canvas: Canvas, thorax: Outline, spine: dict[Label, NDArray[np.float64]]) -> None:
    """Paint twelve pairs of ribs and the cartilages of the upper ten."""
    for side, first in ((1, Label.RIB_LEFT_1), (-1, Label.RIB_RIGHT_1)):
        s = mirrored(side)
        ends: dict[int, NDArray[np.float64]] = {}
        for number in range(1, 13):
            path = _rib_path(thorax, spine[Label(Label.T1 + number - 1)], number)
            ends[number] = path[-1]
            path[:, 0] *= side
            label = Label(first + number - 1)
            canvas.paint_bone(label, canvas.chain(path), cortex_mm=1.2)
            canvas.mark(label.name, path[:, :3])
        for number in range(1, 11):
            target = (16.0, -66.0 - 4.6 * number, 508.0 - 19.5 * min(number, 7))
            end = ends[number]
            if number > 7:
                x, y, z, _ = ends[number - 1]
                target = (x - 6.0, y - 4.0, z - 8.0)
            bow = (0.45 * end[0] + 0.55 * target[0], min(end[1], target[1]) - 3, 0.6 * end[2] + 0.4 * target[2] - 4)
            cartilage = np.array([(*end[:3], 6), (*bow, 6), (*target, 6)], dtype=np.float64)
            cartilage[:, :3] = s(cartilage[:, :3])
            canvas.paint(Label.CARTILAGE, canvas.tube(cartilage))


def _rib_path(thorax: Outline, vertebra: NDArray[np.float64], number: int) -> NDArray[np.float64]:
    """Samples (x, y, z, radius) of a left rib from its head to its bony end, canonical mm."""
    angle = np.radians(np.linspace(10, _REACH[number - 1], 26))
    part = np.linspace(0, 1, 26)
    z = vertebra[2] + 8 - _DROP[number - 1] * (0.35 * part + 0.65 * part**1.6)
    half_width, half_depth, center = thorax.at(z.astype(np.float32))
    x = (half_width + 6.5) * np.sin(angle)
    y = center + (half_depth + 6.5) * np.cos(angle)
    # Near the spine the rib leaves the joint of its vertebra and swings back before it turns round the chest.
    joint = np.array([20.0, vertebra[1] + 18, vertebra[2] + 8])
    blend = np.clip(1 - part / 0.16, 0, 1) ** 1.3
    x, y, z = ((1 - blend) * a + blend * j for a, j in zip((x, y, z), joint, strict=True))
    radius = np.full(26, 5.2 if number not in (11, 12) else 4.2)
    radius[:2] = 6.0
    return np.stack([x, y, z, radius], axis=1)


def paint_sternum(canvas: Canvas) -> None:
    """Paint manubrium, body and xiphoid."""
    parts = union(
        plate([(-26, -64, 520), (26, -64, 520), (0, -84, 468)], 13),
        plate([(-17, -80, 478), (17, -80, 478), (18, -99, 376)], 11),
        plate([(-17, -80, 478), (-18, -99, 376), (18, -99, 376)], 11),
        capsule((0, -99, 376), (0, -97, 346), 7, 4),
    )
    canvas.paint_bone(Label.STERNUM, parts, cortex_mm=1.0)
    canvas.mark(Label.STERNUM.name, [(0, -70, 505), (0, -86, 450), (0, -98, 385)])


def paint_shoulders(canvas: Canvas, arms_up: bool) -> None:
    """Paint clavicles, scapulae and the bones of the arms as far as they are in the field of view."""
    for side in (1, -1):
        s = mirrored(side)
        left = side > 0
        lift = 22.0 if arms_up else 0.0
        clavicle = Label.CLAVICLE_LEFT if left else Label.CLAVICLE_RIGHT
        collar = curve([(20, -62, 524), (60, -52, 536), (108, -6, 548 + 0.6 * lift), (150, 22, 550 + lift)])
        rows = np.column_stack([s(collar), np.full(len(collar), 6.2)])
        canvas.paint_bone(clavicle, canvas.chain(rows), cortex_mm=2.0)
        canvas.mark(clavicle.name, s(collar))
        scapula = Label.SCAPULA_LEFT if left else Label.SCAPULA_RIGHT
        canvas.paint_bone(scapula, _scapula(side, arms_up), cortex_mm=1.0)
        canvas.mark(scapula.name, s([(142, 44, 512 + lift), (112, 84, 520 + lift), (106, 92, 450 + lift)]))
        humerus = Label.HUMERUS_LEFT if left else Label.HUMERUS_RIGHT
        joint, elbow = arm_points(side, arms_up)[:2]
        shaft = joint + 0.16 * (elbow - joint)
        head = union(ellipsoid(joint, (24, 24, 24)), capsule(joint, shaft, 20, 14))
        canvas.paint_bone(humerus, head, cortex_mm=1.5)
        canvas.paint_bone(humerus, capsule(shaft, elbow, 12.5, 13), cortex_mm=4.5)
        canvas.mark(humerus.name, [joint, shaft, (joint + elbow) / 2])
        if not arms_up:
            wrist = arm_points(side, arms_up)[2]
            forearm = Label.FOREARM_LEFT if left else Label.FOREARM_RIGHT
            gap = np.array([9.0, 9.0, 0.0])
            bones = union(capsule(elbow + gap, wrist + gap, 8, 6), capsule(elbow - gap, wrist - gap, 9, 7))
            canvas.paint_bone(forearm, bones, cortex_mm=3.0)


def arm_points(side: int, arms_up: bool) -> NDArray[np.float64]:
    """Shoulder joint, elbow, wrist and fingertips of one side, (4, 3) canonical mm."""
    if arms_up:
        points = [(158, 36, 532), (196, 10, 812), (120, 0, 990), (60, 0, 1100)]
    else:
        points = [(168, 30, 516), (222, 46, 232), (226, -6, -20), (214, -24, -150)]
    return mirrored(side)(points)


def _scapula(side: int, arms_up: bool) -> tuple[Solid, Box]:
    """Blade, spine with acromion, coracoid."""
    s = mirrored(side)
    if arms_up:
        corners = [(140, 50, 530), (88, 92, 560), (128, 84, 428)]
        ridge = [(96, 98, 545), (150, 62, 562), (164, 34, 572)]
    else:
        corners = [(142, 46, 512), (76, 88, 540), (88, 102, 400)]
        ridge = [(84, 102, 514), (146, 66, 538), (166, 32, 552)]
    v, r = s(corners), s(ridge)
    return union(
        plate(v, 6.0),
        capsule(v[0], v[2], 6.0, 5.0),
        ellipsoid(v[0], (11, 15, 18)),
        capsule(r[0], r[1], 4.5, 6.0),
        capsule(r[1], r[2], 7.0, 6.5),
        capsule(np.add(v[0], (0, -6, 14)), s([(132, 6, 532)])[0], 6.0, 5.0),
    )
