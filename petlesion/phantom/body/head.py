"""Head and neck: skull, brain, eyes, glands, tonsils, airway, larynx, thyroid."""

from __future__ import annotations

import numpy as np

from petlesion.phantom.anatomy import Layer
from petlesion.phantom.body.canvas import Canvas, mirrored
from petlesion.phantom.body.implicit import capsule, ellipsoid, rotation, union
from petlesion.phantom.draws import stream, truncated_normal
from petlesion.phantom.labels import Label

_PAIRED = (
    (Label.EYE_LEFT, Label.EYE_RIGHT, (32, -72, 716), (12, 12, 12), 0.0),
    (Label.LACRIMAL_LEFT, Label.LACRIMAL_RIGHT, (45, -66, 726), (4.5, 7, 5), 0.3),
    (Label.SUBMANDIBULAR_LEFT, Label.SUBMANDIBULAR_RIGHT, (29, -44, 630), (9, 14, 12), 0.15),
)


def paint_head(canvas: Canvas, seed: int) -> None:
    """Paint the structures of the head and neck except the cervical spine."""
    rng = stream(seed, "anatomy/head")
    _paint_skull(canvas)
    _paint_brain(canvas)
    canvas.paint(Label.PITUITARY, ellipsoid((0, -10, 705), (6.5, 5, 4.2)))
    canvas.mark(Label.PITUITARY.name, [(0, -10, 705)])
    for left, right, place, radii, spread in _PAIRED:
        for side, label in ((1, left), (-1, right)):
            size = truncated_normal(rng, 1.0, spread / 2)
            center = mirrored(side)(np.array(place, dtype=np.float64))
            canvas.paint(label, ellipsoid(center, np.array(radii) * size))
            canvas.mark(label.name, center)
    for side, label in ((1, Label.PAROTID_LEFT), (-1, Label.PAROTID_RIGHT)):
        s = mirrored(side)
        size = truncated_normal(rng, 1.0, 0.05)
        gland = union(
            ellipsoid(s((57, -12, 676)), np.array((11, 17, 26)) * size),
            ellipsoid(s((47, -2, 672)), np.array((11, 10, 17)) * size),
        )
        canvas.paint(label, gland, rough_mm=0.8)
        canvas.mark(label.name, s((56, -12, 676)))
    canvas.paint(Label.SUBLINGUAL, union(*(ellipsoid(mirrored(k)((11, -66, 634)), (5, 13, 6)) for k in (1, -1))))
    canvas.paint(Label.TONSILS, union(*(ellipsoid(mirrored(k)((17, -26, 656)), (6, 7, 11)) for k in (1, -1))))
    _paint_neck(canvas, truncated_normal(rng, 1.0, 0.12))


def _paint_skull(canvas: Canvas) -> None:
    skull = union(
        ellipsoid((0, 2, 754), (76, 96, 80)),
        ellipsoid((0, 22, 706), (58, 62, 22)),
        ellipsoid((0, -58, 700), (48, 34, 44)),
        *(capsule(mirrored(k)((58, -48, 704)), mirrored(k)((70, 6, 700)), 5, 5) for k in (1, -1)),
        *(ellipsoid(mirrored(k)((56, 26, 698)), (15, 18, 20)) for k in (1, -1)),
    )
    canvas.paint_bone(Label.SKULL, skull, cortex_mm=2.5)
    canvas.mark(Label.SKULL.name, [(0, 97, 760), (70, 20, 780), (-70, 20, 780), (0, -84, 775), (20, 30, 832)])
    # Inside the vault: dura and liquor, then the brain; air in the paranasal sinuses, nose and mastoid cells.
    canvas.paint(
        Label.SPINAL_CORD, union(ellipsoid((0, 3, 755), (69.5, 89.5, 73)), capsule((0, 26, 700), (0, 28, 672), 13, 9))
    )
    for k in (1, -1):
        s = mirrored(k)
        canvas.paint(Label.FAT, ellipsoid(s((31, -60, 715)), (19, 28, 18)))
        canvas.paint(Label.TRACHEA, ellipsoid(s((28, -64, 684)), (12, 14, 15)))
    canvas.paint(Label.TRACHEA, union(ellipsoid((0, -28, 700), (12, 12, 9)), ellipsoid((0, -88, 742), (20, 5, 12))))
    canvas.paint(Label.NASAL_MUCOSA, ellipsoid((0, -66, 688), (15, 32, 19)))
    canvas.paint(
        Label.TRACHEA, union(*(capsule(mirrored(k)((5, -90, 680)), mirrored(k)((5, -40, 684)), 3) for k in (1, -1)))
    )
    for k in (1, -1):
        s = mirrored(k)
        jaw = s([(52, -8, 694), (48, -18, 644), (40, -50, 630), (12, -86, 622), (0, -90, 622)])
        rows = np.column_stack([jaw, (6, 8, 8, 9, 9)])
        canvas.paint_bone(Label.MANDIBLE, canvas.chain(rows), cortex_mm=2.5)
    canvas.mark(Label.MANDIBLE.name, [(44, -30, 638), (-44, -30, 638), (0, -89, 623)])


def _paint_brain(canvas: Canvas) -> None:
    """Two hemispheres with a folded cortex, white matter, deep grey matter; cerebellum and brain stem."""
    for k in (1, -1):
        s = mirrored(k)
        half = ellipsoid((0, 0, 762), (67, 82, 65))
        block = canvas.block(half[1])
        if block is None:
            continue
        points = canvas.at(block)
        distance = np.maximum(canvas.distance(half[0], block), np.float32(1.5) - np.float32(k) * points.x)
        canvas.fill(Label.BRAIN, block, distance)
        # Sulci: the white matter reaches out between the folds.
        folds = np.sin(points.x / 5.5 + points.y / 7.5) * np.sin(points.z / 6.5 - points.y / 9.0)
        canvas.fill(Label.BRAIN, block, distance + 9.0 + 5.0 * folds.astype(np.float32), Layer.CORE)
        canvas.paint(Label.BRAIN, ellipsoid(s((13, 6, 752)), (9, 15, 10)), layer=Layer.NUCLEUS)
        canvas.paint(Label.BRAIN, ellipsoid(s((22, -14, 754)), (8, 17, 12)), layer=Layer.NUCLEUS)
        canvas.paint(Label.SPINAL_CORD, canvas.chain(np.array([(*s((5, -24, 764)), 4), (*s((8, 22, 770)), 5)], float)))
        canvas.paint(Label.CEREBELLUM, ellipsoid(s((24, 46, 707)), (26, 30, 22)), rough_mm=1.0)
    stem = capsule((0, 12, 728), (0, 24, 690), 13, 9)
    canvas.paint(Label.CEREBELLUM, stem, layer=Layer.CORE)
    canvas.mark(Label.BRAIN.name, [(33, -40, 790), (-33, -40, 790), (33, 40, 785), (-33, 40, 785)])


def _paint_neck(canvas: Canvas, thyroid: float) -> None:
    """Tongue, airway, larynx, thyroid."""
    canvas.paint(Label.TONGUE, ellipsoid((0, -54, 648), (22, 30, 19)))
    airway = canvas.tube([(0, -28, 692, 7), (0, -22, 668, 7), (0, -20, 640, 8), (0, -30, 606, 7), (0, -24, 580, 9.5)])
    canvas.paint(Label.LARYNX, ellipsoid((0, -30, 604), (19, 18, 20)))
    canvas.paint(Label.TRACHEA, airway)
    for k in (1, -1):
        s = mirrored(k)
        axes = rotation((0.18 * k, 0.1, 1))
        canvas.paint(Label.THYROID, ellipsoid(s((19, -22, 576)), np.array((23, 8.5, 9.5)) * thyroid, axes))
    canvas.paint(Label.THYROID, capsule((-12, -33, 570), (12, -33, 570), 4))
    canvas.mark(Label.THYROID.name, [(19, -22, 576), (-19, -22, 576)])
