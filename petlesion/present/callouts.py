"""Numbers of lesions in the margins of a projection, without overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from petlesion.present.projection import Outline


@dataclass(frozen=True)
class Callout:
    """A number in a margin and the point of the outline that it belongs to.

    Attributes
    ----------
    number
        Number of the lesion.
    on_left
        Whether it stands in the left margin.
    height_mm
        Vertical position v of the middle of the number, mm.
    anchor_mm
        Point (u, v) on the outline, mm.
    """

    number: int
    on_left: bool
    height_mm: float
    anchor_mm: tuple[float, float]


def place_callouts(
    outlines: Sequence[Outline], middle_mm: float, bottom_mm: float, top_mm: float, line_mm: float
) -> tuple[Callout, ...]:
    """Place numbers to the left and right of a projection, each as near to the height of its lesion as possible.

    Lesions go to the nearer margin while it has room, then to the other one. Once both are full, further lesions get
    no number.

    Parameters
    ----------
    outlines
        Lesions, the most important first.
    middle_mm
        Position u that divides left from right, mm.
    bottom_mm, top_mm
        Range of v that numbers may fill, mm.
    line_mm
        Least distance between two numbers, mm.
    """
    capacity = int((top_mm - bottom_mm) / line_mm)
    sides: dict[bool, list[tuple[int, tuple[float, float]]]] = {True: [], False: []}
    for outline in outlines[: 2 * capacity]:
        points = np.concatenate(outline.contours)
        on_left = bool((points[:, 0].min() + points[:, 0].max()) / 2 < middle_mm)
        on_left = on_left if len(sides[on_left]) < capacity else not on_left
        u, v = points[points[:, 0].argmin() if on_left else points[:, 0].argmax()]
        sides[on_left].append((outline.number, (float(u), float(v))))
    return tuple(
        Callout(number, on_left, float(height), anchor)
        for on_left, side in sides.items()
        for (number, anchor), height in _stacked(side, bottom_mm, top_mm, line_mm)
    )


def spread(wanted: NDArray[np.float64], gap: float, low: float, high: float) -> NDArray[np.float64]:
    """Positions in rising order, at least `gap` apart and within bounds, with the least squared distance to `wanted`.

    Parameters
    ----------
    wanted
        (n,) rising positions.
    gap
        Least distance between neighbours.
    low, high
        Bounds, at least (n - 1) x `gap` apart.

    Notes
    -----
    Isotonic regression of the positions less their share of the gaps, clipped to the bounds.
    """
    from scipy.optimize import isotonic_regression

    shares = gap * np.arange(len(wanted))
    fitted = isotonic_regression(wanted - shares).x
    return np.asarray(np.clip(fitted, low, high - gap * (len(wanted) - 1)) + shares)


def _stacked(
    side: list[tuple[int, tuple[float, float]]], bottom_mm: float, top_mm: float, line_mm: float
) -> list[tuple[tuple[int, tuple[float, float]], float]]:
    if not side:
        return []
    rising = sorted(side, key=lambda entry: entry[1][1])
    wanted = np.array([anchor[1] for _, anchor in rising])
    heights = spread(wanted, line_mm, bottom_mm + line_mm / 2, top_mm - line_mm / 2)
    return list(zip(rising, heights.tolist(), strict=True))
