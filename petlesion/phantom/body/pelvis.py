"""Hip bones and femora."""

from __future__ import annotations

import numpy as np

from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.implicit import Box, Floats, Points, Solid, capsule, ellipsoid, union
from petlesion.phantom.labels import Label

_BONES = {
    1: (Label.ILIUM_LEFT, Label.ISCHIUM_LEFT, Label.PUBIS_LEFT, Label.FEMUR_LEFT),
    -1: (Label.ILIUM_RIGHT, Label.ISCHIUM_RIGHT, Label.PUBIS_RIGHT, Label.FEMUR_RIGHT),
}


def paint_pelvis(canvas: Canvas) -> None:
    """Paint ilium, ischium, pubis and femur of both sides, and mark places in them."""
    for side, (ilium, ischium, pubis, femur) in _BONES.items():
        s = mirrored(side)
        canvas.paint_bone(ilium, union(_blade(side), ellipsoid(s((90, 2, 16)), (26, 26, 24))), cortex_mm=1.5)
        seat = s([(86, 18, -2), (72, 38, -38), (58, 36, -68), (42, 10, -74)])
        canvas.paint_bone(
            ischium, union(capsule(seat[0], seat[1], 15, 11), capsule(seat[1], seat[2], 12, 14)), cortex_mm=1.5
        )
        canvas.paint_bone(ischium, capsule(seat[2], seat[3], 8, 6), cortex_mm=1.2)
        ramus = s([(78, -14, 2), (42, -38, -14), (12, -48, -34), (14, -42, -46), (42, 10, -74)])
        canvas.paint_bone(
            pubis,
            union(
                capsule(ramus[0], ramus[1], 12, 8),
                capsule(ramus[1], ramus[2], 8, 9),
                ellipsoid(s((12, -46, -40)), (10, 9, 17)),
                capsule(ramus[3], ramus[4], 6, 5),
            ),
            cortex_mm=1.2,
        )
        # The joint: the femoral head and its cartilage take their room from the socket.
        canvas.paint(Label.MUSCLE, ellipsoid(s((92, 1, 0)), (27, 27, 27)))
        hip = s([(91, 0, 0), (132, 6, -26), (146, 14, -12), (136, 4, -62), (112, -8, -250)])
        canvas.paint_bone(
            femur,
            union(
                ellipsoid(hip[0], (23.5, 23.5, 23.5)),
                capsule(hip[0], hip[1], 15, 17),
                capsule(hip[1], hip[2], 17, 13),
                capsule(hip[1], hip[3], 19, 16),
            ),
            cortex_mm=2.0,
        )
        canvas.paint_bone(femur, capsule(hip[3], hip[4], 15.5, 13.5), cortex_mm=6.0)
        canvas.mark(ilium.name, s([(52, 56, 78), (92, 40, 108), (118, -8, 112), (92, 6, 26)]))
        canvas.mark(ischium.name, seat[:3])
        canvas.mark(pubis.name, ramus[:3])
        canvas.mark(femur.name, hip[[0, 1, 3]])


def _blade(side: int) -> tuple[Solid, Box]:
    """Wing of the ilium: a slice of a bowl that widens upwards, thick at crest and joint."""
    sign = np.float32(side)

    def solid(p: Points) -> Floats:
        x = p.x * sign
        up = p.z / np.float32(100)
        half_width, half_depth = 90 + 38 * up, 84 + 20 * up
        y = p.y + np.float32(4)
        u, v = x / half_width, y / half_depth
        # Angle around the bowl: 0 at the back, pi at the front.
        around = np.arctan2(u, v)
        rim = 148 - 56 * np.abs((around - 1.2) / 0.78) ** 2.2
        notch = np.where(around < 1.2, 62 - 38 * around, 16 + 34 * np.clip(around - 1.5, 0, None))
        thick = 4.0 + 4.0 * np.exp(-(((p.z - rim) / 14) ** 2)) + 5 * np.exp(-(((around - 0.55) / 0.2) ** 2))
        wall = np.abs(np.sqrt(u * u + v * v) - 1) * half_depth - thick
        edge = np.maximum(p.z - rim, notch - p.z) * np.float32(0.8)
        sector = np.maximum(0.4 - around, around - 1.98) * half_depth
        return np.asarray(np.maximum(np.maximum(wall, edge), sector), dtype=np.float32)

    low, high = (24.0, -85.0, 5.0), (165.0, 105.0, 152.0)
    if side < 0:
        low, high = (-high[0], low[1], low[2]), (-24.0, high[1], high[2])
    return solid, (low, high)
