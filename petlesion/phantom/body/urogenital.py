"""Kidneys, ureters, bladder and genital organs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Layer, Sex
from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.habitus import Habitus
from petlesion.phantom.body.implicit import Floats, capsule, curve, ellipsoid, rotation, union
from petlesion.phantom.draws import lognormal, stream, truncated_normal
from petlesion.phantom.labels import Label

KIDNEY_ML = (165.0, 32.0)
"""Mean and SD of one kidney's volume: 160-190 mL in living donors (Emamian et al., AJR 1993, as remembered)."""
BLADDER_ML = (170.0, 110.0)
"""Mean and SD of the bladder's volume at the scan; patients void before it and are hydrated."""


def paint_kidneys(canvas: Canvas, habitus: Habitus, seed: int) -> None:
    """Paint cortex, medulla, pelvis with calyces and ureter of both sides, and mark the ureters' courses."""
    rng = stream(seed, "anatomy/kidneys")
    for side in (1, -1):
        s = mirrored(side)
        left = side > 0
        volume = np.clip(lognormal(rng, *KIDNEY_ML) * (habitus.height_m / 1.72) ** 1.5, 90.0, 290.0)
        size = (volume / 196.0) ** (1 / 3)
        top = 252.0 if left else 240.0
        center = np.array((61.0, 50.0, top)) + rng.normal(0, (2, 2, 8))
        axes = rotation((0.2, -0.12, -1.0))
        frame = axes * (side, 1, 1)
        place = s(center)
        canvas.paint(Label.VISCERAL_FAT, ellipsoid(place, np.array((67, 42, 42)) * size, frame), rough_mm=2.0)
        body = ellipsoid(place, np.array((56, 30, 28)) * size, frame)
        block = canvas.block(body[1])
        if block is None:
            continue
        kidney, pelvis = (
            (Label.KIDNEY_LEFT, Label.RENAL_PELVIS_LEFT) if left else (Label.KIDNEY_RIGHT, Label.RENAL_PELVIS_RIGHT)
        )
        hollow = ellipsoid(s(np.add(center, (-27 * size, -8, 0))), np.array((15, 17, 24)) * size)
        distance: Floats = np.maximum(canvas.distance(body[0], block, 0.8), -canvas.distance(hollow[0], block))
        canvas.fill(kidney, block, distance)
        canvas.fill(kidney, block, distance + np.float32(9), Layer.CORE)
        canvas.paint(
            Label.VISCERAL_FAT, ellipsoid(s(np.add(center, (-15 * size, -6, 0))), np.array((11, 11, 24)) * size)
        )
        wide = truncated_normal(rng, 1.0, 0.2)
        basin = s(np.add(center, (-17 * size, -6, 0)))
        calyces = [
            capsule(basin, s(np.add(center, (-5 * size, -2, dz * size))), 4 * wide, 3 * wide) for dz in (30, 6, -24)
        ]
        canvas.paint(pelvis, union(ellipsoid(basin, np.array((8, 6, 11)) * wide), *calyces))
        canvas.mark(pelvis.name, basin)
        canvas.mark(kidney.name, place)
        _paint_ureter(canvas, side, center, size, rng)


def _paint_ureter(
    canvas: Canvas, side: int, center: NDArray[np.float64], size: float, rng: np.random.Generator
) -> None:
    s = mirrored(side)
    start = np.add(center, (-24 * size, -6, -6))
    course = np.array([
        start, (35, 24, 205), (35, 12, 165), (36, -2, 125), (42, 16, 95),
        (58, 36, 58), (46, 30, 20), (22, 14, -4), (14, 6, -8),
    ], dtype=np.float64)  # fmt: skip
    course[1:-2, 0] += rng.normal(0, 2.5, 6)
    rows = np.column_stack([s(course), np.full(len(course), 2.2)])
    label = Label.URETER_LEFT if side > 0 else Label.URETER_RIGHT
    canvas.paint(label, canvas.tube(rows))
    canvas.mark(label.name, curve(rows, 5.0))


def paint_pelvic_organs(canvas: Canvas, habitus: Habitus, seed: int) -> None:
    """Paint bladder, prostate with urethra and seminal vesicles and testes, or uterus and ovaries."""
    rng = stream(seed, "anatomy/pelvic organs")
    volume = float(np.clip(lognormal(rng, *BLADDER_ML), 45.0, 520.0))
    r = (volume * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    half = np.array((1.16, 0.98, 0.88)) * r
    female = habitus.sex is Sex.FEMALE
    if female:
        small = 0.72 if habitus.age_years > 52 else 1.0
        size = truncated_normal(rng, 1.0, 0.12) * small
        tilt = rotation((float(rng.normal(0, 0.1)), -0.7, 0.75))
        place = np.array((float(rng.normal(0, 6)), 16.0, 26.0 + 0.25 * half[2]))
        canvas.paint(Label.UTERUS, ellipsoid(place, np.array((40, 26, 22)) * size, tilt), rough_mm=1.0)
        canvas.paint(
            Label.OVARIES,
            union(*(ellipsoid(mirrored(k)((42, 18, 44)), np.array((8, 10, 14)) * small) for k in (1, -1))),
        )
        canvas.mark(Label.UTERUS.name, place)
    else:
        _paint_male_organs(canvas, habitus, rng)
    center = np.array((0.0, -20.0 + 0.12 * half[1], -24.0 + half[2]))
    canvas.paint(Label.MUSCLE, ellipsoid(center, half + 3))
    canvas.paint(Label.BLADDER, ellipsoid(center, half))
    canvas.mark(Label.BLADDER.name, center)
    outlet = [(0, -12, -22, 3), (0, -8, -40, 3), (0, -12, -56, 3)]
    canvas.paint(Label.URETHRA, canvas.tube(outlet if female else [*outlet, (0, -44, -74, 3), (0, -78, -86, 3)]))


def _paint_male_organs(canvas: Canvas, habitus: Habitus, rng: np.random.Generator) -> None:
    volume = float(np.clip(lognormal(rng, 38 + 0.5 * (habitus.age_years - 65), 16.0), 17.0, 110.0))
    r = (volume * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    center = np.array((0.0, -7.0, -24.0 - 0.86 * r))
    canvas.paint(Label.PROSTATE, ellipsoid(center, np.array((1.18, 0.94, 0.9)) * r), rough_mm=0.6)
    canvas.mark(Label.PROSTATE.name, center)
    vesicles = [capsule(mirrored(k)((6, 16, -20)), mirrored(k)((32, 24, -4)), 5.5, 4.5) for k in (1, -1)]
    canvas.paint(Label.SEMINAL_VESICLES, union(*vesicles))
    for k in (1, -1):
        size = truncated_normal(rng, 1.0, 0.08)
        canvas.paint(Label.TESTES, ellipsoid(mirrored(k)((16, -64, -96)), np.array((11, 13, 18)) * size))
