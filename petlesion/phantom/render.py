"""From painted parts to volumes: each voxel takes the value of its structures in proportion to what they fill."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Part
from petlesion.phantom.labels import Label

Value = float | NDArray[np.float32]

THIN = {
    Label.URETER_LEFT: 0.3,
    Label.URETER_RIGHT: 0.3,
    Label.ADRENAL_LEFT: 0.4,
    Label.ADRENAL_RIGHT: 0.4,
    Label.URETHRA: 0.3,
    Label.PITUITARY: 0.4,
    Label.LACRIMAL_LEFT: 0.4,
    Label.LACRIMAL_RIGHT: 0.4,
}
"""Structures thinner than a voxel of the fine grid: they carry their label from this occupancy, all others from
0.5."""


def composite(
    parts: Iterable[Part], shape: tuple[int, int, int], value: Callable[[Part], Value], background: float = 0.0
) -> NDArray[np.float32]:
    """Lay parts over each other in order.

    Parameters
    ----------
    parts
        Structures; a later one covers an earlier one in proportion to its occupancy.
    shape
        Shape (z, y, x) of the grid.
    value
        Value of a part: a number, or an array over its block.
    background
        Value where nothing is painted.

    Returns
    -------
    numpy.ndarray
        float32 (z, y, x).
    """
    out = np.full(shape, background, dtype=np.float32)
    for part in parts:
        view = out[part.block]
        view += (np.asarray(value(part), dtype=np.float32) - view) * (part.occupancy * np.float32(1 / 255))
    return out


def label_map(parts: Iterable[Part], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Label (z, y, x) uint8 of the last part that fills at least half of each voxel (see `THIN`)."""
    labels = np.zeros(shape, dtype=np.uint8)
    for part in parts:
        limit = round(255 * THIN.get(part.label, 0.5))
        np.copyto(labels[part.block], np.uint8(part.label), where=part.occupancy >= limit)
    return labels
