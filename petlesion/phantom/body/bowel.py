"""Small and large bowel, with gas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.body.canvas import Canvas
from petlesion.phantom.body.habitus import Habitus, belly_weight
from petlesion.phantom.body.implicit import curve
from petlesion.phantom.draws import stream, truncated_normal
from petlesion.phantom.labels import Label

# Control points (x, y, z, radius), canonical mm.
_COLON: dict[Label, tuple[tuple[float, float, float, float], ...]] = {
    Label.COLON_ASCENDING: (
        (-72, -26, 96, 24), (-84, -12, 130, 24), (-90, 2, 170, 22),
        (-92, 6, 205, 21), (-78, -18, 228, 20),
    ),
    Label.COLON_TRANSVERSE: (
        (-78, -18, 228, 20), (-52, -56, 214, 19), (0, -68, 198, 18),
        (48, -60, 222, 17), (84, -12, 272, 17), (98, 14, 284, 17),
    ),
    Label.COLON_DESCENDING: (
        (98, 14, 284, 17), (104, 28, 250, 15), (103, 24, 190, 14),
        (98, 10, 135, 14), (88, -8, 100, 14),
    ),
    Label.SIGMOID: (
        (88, -8, 100, 14), (62, -26, 66, 14), (20, -14, 84, 15),
        (-22, 4, 72, 15), (-10, 30, 66, 15), (0, 48, 66, 15),
    ),
    Label.RECTUM: (
        (0, 48, 66, 15), (0, 46, 30, 17), (0, 32, -8, 16),
        (0, 28, -42, 10), (0, 38, -64, 8),
    ),
}  # fmt: skip


def settle(points: NDArray[np.float64], habitus: Habitus) -> NDArray[np.float64]:
    """Move canonical points of the bowel forward and outward with the belly; columns after the third stay."""
    moved = points.copy()
    bulge = habitus.belly_mm * belly_weight(points[:, 2])
    moved[:, 1] -= 0.55 * bulge
    moved[:, 0] *= 1 + 0.35 * bulge / 110
    return moved


def paint_bowel(canvas: Canvas, habitus: Habitus, seed: int) -> None:
    """Paint jejunum, ileum and colon, and mark their courses."""
    _paint_small_bowel(canvas, habitus, seed)
    rng = stream(seed, "anatomy/colon")
    size = truncated_normal(rng, 0.95, 0.08)
    sag = float(rng.normal(0, 14))
    swing = rng.normal(0, 10, 3)
    for label, rows in _COLON.items():
        points = np.array(rows, dtype=np.float64)
        points[:, 3] *= size
        if label is Label.COLON_TRANSVERSE:
            points[1:4, 2] += sag * np.array((0.6, 1.0, 0.7))
        if label is Label.SIGMOID:
            points[1:4, :3] += swing * np.array(((0.5,), (1.0,), (0.6,)))
        samples = curve(settle(points, habitus), 6.0)
        # Haustra: the colon is drawn in every four centimetres.
        samples[:, 3] *= 1 + (0.0 if label is Label.RECTUM else 0.13) * np.sin(np.arange(len(samples)) * 0.95)
        canvas.paint(label, canvas.chain(samples), rough_mm=1.0)
        canvas.mark(label.name, samples[:, :3])
        _paint_gas(canvas, samples, rng, share=0.3 if label is not Label.RECTUM else 0.15)


def _paint_gas(canvas: Canvas, samples: NDArray[np.float64], rng: np.random.Generator, share: float) -> None:
    """Gas in a random part of a bowel segment; it lies in front, as the patient lies on his back."""
    start = 0
    while start < len(samples) - 4:
        length = int(rng.integers(4, 9))
        piece = samples[start : start + length].copy()
        if rng.random() < share and len(piece) > 2:
            piece[:, 3] *= rng.uniform(0.45, 0.75)
            piece[:, 1] -= 0.3 * piece[:, 3]
            canvas.paint(Label.BOWEL_GAS, canvas.chain(piece))
        start += length


def _paint_small_bowel(canvas: Canvas, habitus: Habitus, seed: int) -> None:
    rng = stream(seed, "anatomy/small bowel")
    jejunum = _loops(rng, center=(22, -42, 176), half=(66, 26, 44), rows=4, radius=13.0)
    ileum = _loops(rng, center=(-6, -34, 92), half=(66, 28, 42), rows=4, radius=12.5)
    for label, points in ((Label.JEJUNUM, jejunum), (Label.ILEUM, ileum)):
        samples = curve(settle(points, habitus), 9.0)
        canvas.paint(label, canvas.chain(samples), rough_mm=1.2)
        canvas.mark(label.name, samples[:, :3])
        _paint_gas(canvas, samples, rng, share=0.06)
    canvas.landmarks["mesentery"] = canvas.world(
        settle(np.array([(6.0, -14, 200), (4, -16, 160), (0, -14, 120)]), habitus)
    )


def _loops(
    rng: np.random.Generator,
    center: tuple[float, float, float],
    half: tuple[float, float, float],
    rows: int,
    radius: float,
) -> NDArray[np.float64]:
    """Control points of a tube that folds to and fro through a box in three layers, canonical mm."""
    points = []
    direction = 1.0
    for layer in (-1.0, 0.0, 1.0):
        for row in range(rows):
            height = (1 - 2 * row / (rows - 1)) * (1.0 if layer == 0 else -1.0)
            bow = np.sqrt(max(0.15, 1 - (0.75 * height) ** 2))
            for along in (-0.85, -0.3, 0.3, 0.85):
                x = direction * along * bow
                points.append((x, 0.9 * layer, height))
            direction = -direction
    path = np.array(points) * np.array(half) + np.array(center)
    path += rng.normal(0, (6.0, 5.0, 5.0), path.shape)
    return np.column_stack([path, rng.normal(radius, 0.8, len(path)).clip(8, 15)])
