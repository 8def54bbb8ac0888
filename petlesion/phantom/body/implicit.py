"""Signed distances of simple solids, negative inside, in mm, vectorised over points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


class Points(NamedTuple):
    """Coordinates in the canonical frame, mm: x to the left, y to posterior, z to the head; arrays of one shape."""

    x: Floats
    y: Floats
    z: Floats


Solid = Callable[[Points], Floats]
"""A signed distance (approximate, exact near the surface) of points, mm."""
Box = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Lower and upper corner (x, y, z) of a canonical bounding box, mm."""


def ellipsoid(center: ArrayLike, radii: ArrayLike, axes: ArrayLike | None = None) -> tuple[Solid, Box]:
    """Ellipsoid, and its bounding box.

    Parameters
    ----------
    center
        (3,) centre (x, y, z), mm.
    radii
        (3,) semi-axes, mm.
    axes
        (3, 3) rows are the unit vectors of the semi-axes; default the coordinate axes.

    Notes
    -----
    The distance is the first-order estimate k0 (k0 - 1) / k1 with k0 = |p / r| and k1 = |p / r²|, right to first order
    at the surface.
    """
    c, r = np.asarray(center, dtype=np.float64), np.asarray(radii, dtype=np.float64)
    rows = np.eye(3) if axes is None else np.asarray(axes, dtype=np.float64)
    half = np.sqrt(((rows * r[:, None]) ** 2).sum(axis=0))

    def solid(p: Points) -> Floats:
        x, y, z = p.x - np.float32(c[0]), p.y - np.float32(c[1]), p.z - np.float32(c[2])
        k0 = np.float32(1e-6)
        k1 = np.float32(1e-8)
        for row, radius in zip(rows.astype(np.float32), r.astype(np.float32), strict=True):
            if axes is None:
                u = (x, y, z)[int(np.argmax(row))] / radius
            else:
                u = (x * row[0] + y * row[1] + z * row[2]) / radius
            k0 = k0 + u * u
            u = u / radius
            k1 = k1 + u * u
        k0 = np.sqrt(k0)
        return np.asarray(k0 * (k0 - 1) / np.sqrt(k1), dtype=np.float32)

    return solid, box_of(np.array([c - half, c + half]))


def box_of(points: NDArray[np.float64], margin: float = 0.0) -> Box:
    """Bounding box of (n, 3) points, grown by `margin` mm."""
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    return (float(low[0]), float(low[1]), float(low[2])), (float(high[0]), float(high[1]), float(high[2]))


def padded(box: Box, by_mm: float) -> Box:
    """A box grown on all sides."""
    return box_of(np.array(box), by_mm)


def hull(*boxes: Box) -> Box:
    """Smallest box that holds all boxes."""
    return box_of(np.array([corner for box in boxes for corner in box]))


def union(*parts: tuple[Solid, Box]) -> tuple[Solid, Box]:
    """Points that lie in any of the parts."""
    solids = [solid for solid, _ in parts]

    def solid(p: Points) -> Floats:
        distance = solids[0](p)
        for other in solids[1:]:
            distance = np.minimum(distance, other(p))
        return distance

    return solid, hull(*(box for _, box in parts))


def capsule(a: ArrayLike, b: ArrayLike, radius_a: float, radius_b: float | None = None) -> tuple[Solid, Box]:
    """Rounded cone between two points (x, y, z) with a radius at each, mm."""
    start, end = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    last = radius_a if radius_b is None else radius_b

    def solid(p: Points) -> Floats:
        return segment_distance(p, start, end, radius_a, last)

    return solid, box_of(np.array([start, end]), max(radius_a, last))


def segment_distance(
    p: Points, a: NDArray[np.float64], b: NDArray[np.float64], radius_a: float, radius_b: float
) -> Floats:
    """Distance to a segment from `a` to `b` less a radius that changes linearly along it, mm."""
    d = (b - a).astype(np.float32)
    x, y, z = p.x - np.float32(a[0]), p.y - np.float32(a[1]), p.z - np.float32(a[2])
    t = np.clip((x * d[0] + y * d[1] + z * d[2]) / np.float32(max(float(d @ d), 1e-6)), 0, 1)
    x, y, z = x - t * d[0], y - t * d[1], z - t * d[2]
    distance = np.sqrt(x * x + y * y + z * z) - np.float32(radius_a)
    if radius_a != radius_b:
        distance -= t * np.float32(radius_b - radius_a)
    return np.asarray(distance, dtype=np.float32)


def plate(vertices: ArrayLike, thickness: float) -> tuple[Solid, Box]:
    """Triangular plate with rounded rim.

    Parameters
    ----------
    vertices
        (3, 3) corners (x, y, z), mm.
    thickness
        Full thickness, mm.
    """
    v = np.asarray(vertices, dtype=np.float64)
    normal = np.cross(v[1] - v[0], v[2] - v[0])
    normal /= np.linalg.norm(normal)
    # In the plane, outward normal of each edge.
    edges = [(v[i], np.cross(v[(i + 1) % 3] - v[i], normal)) for i in range(3)]

    def solid(p: Points) -> Floats:
        n = normal.astype(np.float32)
        off = (p.x - np.float32(v[0, 0])) * n[0] + (p.y - np.float32(v[0, 1])) * n[1]
        off = off + (p.z - np.float32(v[0, 2])) * n[2]
        outside = np.zeros_like(off)
        for corner, direction in edges:
            m = (direction / np.linalg.norm(direction)).astype(np.float32)
            s = (p.x - np.float32(corner[0])) * m[0] + (p.y - np.float32(corner[1])) * m[1]
            outside = np.maximum(outside, s + (p.z - np.float32(corner[2])) * m[2])
        return np.asarray(np.sqrt(off * off + outside * outside) - np.float32(thickness / 2), dtype=np.float32)

    return solid, box_of(v, thickness)


def smooth_max(a: Floats, b: Floats, width: float) -> Floats:
    """Maximum of two distances with its edge rounded over about `width` mm (polynomial blend)."""
    h = np.maximum(np.float32(width) - np.abs(a - b), 0) / np.float32(width)
    return np.asarray(np.maximum(a, b) + h * h * np.float32(width / 4), dtype=np.float32)


def curve(points: ArrayLike, step_mm: float = 8.0) -> NDArray[np.float64]:
    """Smooth curve through control points, sampled about every `step_mm`.

    Parameters
    ----------
    points
        (n, k) control points; further columns (a radius) are carried along.
    step_mm
        Distance of the samples, mm.

    Returns
    -------
    numpy.ndarray
        (m, k) samples, the first and last of them the first and last control point.
    """
    from scipy.interpolate import PchipInterpolator, make_interp_spline

    p = np.asarray(points, dtype=np.float64)
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p[:, :3], axis=0), axis=1) ** 0.7)])
    length = float(np.linalg.norm(np.diff(p[:, :3], axis=0), axis=1).sum())
    at = np.linspace(0.0, chord[-1], max(2, round(length / step_mm) + 1))
    order = min(3, len(p) - 1)
    place = make_interp_spline(chord, p[:, :3], k=order)(at)
    # Radii must not overshoot, so they follow a monotone interpolant.
    rest = PchipInterpolator(chord, p[:, 3:])(at) if p.shape[1] > 3 else np.empty((len(at), 0))
    return np.hstack([place, rest])


def rotation(direction: Sequence[float], roll: float = 0.0) -> NDArray[np.float64]:
    """(3, 3) rows of a right-handed frame whose first axis points along `direction`, turned by `roll` radians."""
    first = np.asarray(direction, dtype=np.float64)
    first = first / np.linalg.norm(first)
    other = np.eye(3)[int(np.argmin(np.abs(first)))]
    second = np.cross(first, other)
    second /= np.linalg.norm(second)
    third = np.cross(first, second)
    c, s = np.cos(roll), np.sin(roll)
    return np.array([first, c * second + s * third, c * third - s * second])
