"""Spine: the vertebrae one by one, sacrum and coccyx, spinal cord."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.implicit import Box, Floats, Points, Solid, capsule, curve, ellipsoid, union
from petlesion.phantom.draws import stream, truncated_normal
from petlesion.phantom.labels import VERTEBRAE, Label

# Depth of the middle of the vertebral bodies and height, canonical mm: lordosis, kyphosis, cervical lordosis.
_CURVE_Z = (60, 100, 160, 220, 280, 350, 430, 500, 553, 600, 640, 675)
_CURVE_Y = (52, 36, 16, 16, 28, 42, 54, 52, 42, 28, 20, 22)
_LEVELS = {"C": (553.0, 673.0, 7), "T": (278.0, 553.0, 12), "L": (100.0, 278.0, 5)}


def spine_centers(seed: int) -> dict[Label, NDArray[np.float64]]:
    """Middle of each vertebral body and its height with the disc: (x, y, z, height), canonical mm."""
    rng = stream(seed, "anatomy/spine")
    bend = rng.normal(0.0, 3.0, 2)
    stoop = truncated_normal(rng, 1.0, 0.15)
    edges: list[float] = []
    for region in ("L", "T", "C"):
        low, high, count = _LEVELS[region]
        taper = np.linspace(1.12, 0.88, count) if region != "C" else np.ones(count)
        edges.extend(low + np.concatenate([[0.0], np.cumsum(taper / taper.sum() * (high - low))[:-1]]))
    edges.append(_LEVELS["C"][1])
    centers = {}
    for label, low, high in zip(reversed(VERTEBRAE), edges[:-1], edges[1:], strict=True):
        z = (low + high) / 2
        y = 30 + stoop * (float(np.interp(z, _CURVE_Z, _CURVE_Y)) - 30)
        x = bend[0] * np.sin((z - 100) / 180) + bend[1] * np.sin((z - 100) / 90) * 0.5
        centers[label] = np.array([x, y, z, high - low])
    return centers


def paint_spine(canvas: Canvas, centers: dict[Label, NDArray[np.float64]]) -> None:
    """Paint vertebrae, sacrum, coccyx and spinal cord, and mark each vertebra."""
    for label, center in centers.items():
        canvas.paint_bone(label, _vertebra(label, center), cortex_mm=1.0)
        canvas.mark(label.name, center[:3])
    x, y = centers[Label.L5][:2]
    sacrum = union(
        ellipsoid((x * 0.5, y + 18, 76), (50, 17, 30), _tilt(0.5)),
        ellipsoid((0, y + 33, 46), (38, 13, 32), _tilt(0.2)),
        ellipsoid((0, y + 34, 24), (22, 8, 18), _tilt(-0.3)),
    )
    canvas.paint_bone(Label.SACRUM, sacrum, cortex_mm=1.0)
    canvas.mark(Label.SACRUM.name, [(x * 0.5, y + 18, 80), (0, y + 34, 50), (0, y + 34, 24)])
    coccyx = np.array([(0, y + 33, 8, 6), (0, y + 26, -4, 5), (0, y + 14, -14, 3.5)], dtype=np.float64)
    canvas.paint_bone(Label.COCCYX, canvas.chain(coccyx), cortex_mm=1.0)
    canal = [(c[0], c[1] + _body_depth(label) + 9, c[2], 5.0) for label, c in centers.items() if label <= Label.L1]
    canvas.paint(Label.SPINAL_CORD, canvas.tube(np.array(canal)))
    canvas.landmarks["spine"] = canvas.world(curve([c[:3] for c in centers.values()], 10.0))


def _body_depth(label: Label) -> float:
    """Half the depth of a vertebral body from front to back, mm."""
    return 9.0 if label <= Label.C7 else (13.0 if label <= Label.T6 else (15.0 if label <= Label.T12 else 17.0))


def _vertebra(label: Label, center: NDArray[np.float64]) -> tuple[Solid, Box]:
    """Body, arch with its joints, transverse and spinous processes."""
    x, y, z, height = center
    depth = _body_depth(label)
    cervical, lumbar = label <= Label.C7, label >= Label.L1
    width = depth * (1.15 if cervical else (1.45 if lumbar else 1.18))
    out = 24.0 if cervical else (38.0 if lumbar else 30.0)
    back = y + depth + 18
    drop = 2.0 if cervical else (4.0 if lumbar else 16.0)
    tip = back + (16.0 if cervical else (26.0 if lumbar else 22.0))
    parts = [
        _drum((x, y, z), (width, depth, 0.43 * height)),
        capsule((x, back, z - 2), (x, tip, z - drop), 3.5, 3.0 if not lumbar else 5.0),
    ]
    for side in (1, -1):
        s = mirrored(side)
        joint = np.add(s([(13.0, depth + 9, 0), (out, depth + 8, 1)]), (x, y, z))
        parts.append(capsule(joint[0], joint[1], 5.0 if not cervical else 4.0, 3.5))
        parts.append(capsule(joint[0], (x, back, z - 2), 3.5))
        parts.append(capsule((x + side * 0.7 * width, y + 0.6 * depth, z + 2), joint[0], 4.0))
    return union(*parts)


def _drum(center: tuple[float, float, float], half: tuple[float, float, float]) -> tuple[Solid, Box]:
    """Elliptic cylinder standing on its end, waist slightly drawn in."""
    cx, cy, cz = (np.float32(c) for c in center)
    hx, hy, hz = (np.float32(h) for h in half)

    def solid(p: Points) -> Floats:
        u, v, w = (p.x - cx) / hx, (p.y - cy) / hy, (p.z - cz) / hz
        radial = (np.sqrt(u * u + v * v) - (0.93 + 0.07 * w * w)) * hy
        return np.asarray(np.maximum(radial, (np.abs(w) - 1) * hz), dtype=np.float32)

    low = (center[0] - half[0] - 2, center[1] - half[1] - 2, center[2] - half[2] - 2)
    high = (center[0] + half[0] + 2, center[1] + half[1] + 2, center[2] + half[2] + 2)
    return solid, (low, high)


def _tilt(angle: float) -> NDArray[np.float64]:
    """Frame turned about the x axis: positive angles bring the top forward."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, s], [0, -s, c]])
