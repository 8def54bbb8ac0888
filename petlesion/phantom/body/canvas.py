"""Painting implicit solids of the canonical frame onto the fine grid of one patient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import map_coordinates

from petlesion.phantom.anatomy import Block, Layer, Part
from petlesion.phantom.body.implicit import Box, Floats, Points, Solid, box_of, curve, segment_distance
from petlesion.phantom.draws import smooth_noise, stream
from petlesion.phantom.labels import Label
from petlesion.volume import Grid

WARP_LENGTH_MM = 130.0
"""Distance of the knots of the random deformation of a patient, mm."""
WARP_SD_MM = 4.0
"""Standard deviation of that deformation along each axis, mm."""
ROUGHNESS_LENGTH_MM = 28.0
"""Distance of the knots of the noise that makes organ surfaces uneven, mm."""


class Canvas:
    """The fine grid of one patient, and the parts painted on it so far.

    The canonical frame is that of a man of 1.76 m: origin midway between the hip joints, x to the left, y to
    posterior, z to the head, mm. The patient's frame is the canonical one times `scale`, plus a smooth random
    displacement.

    Parameters
    ----------
    grid
        Fine grid of the patient, axial, LPS mm.
    scale
        Size of the patient against the canonical frame along (x, y, z).
    seed
        Seed of the patient.
    """

    def __init__(self, grid: Grid, scale: tuple[float, float, float], seed: int) -> None:
        self.grid = grid
        self.scale = scale
        self.spacing_mm = float(np.mean(grid.spacing_mm))
        self.parts: list[Part] = []
        self.landmarks: dict[str, NDArray[np.float64]] = {}
        self.envelope: Floats = np.full(grid.shape, 1e3, dtype=np.float32)
        """Distance to the bones painted so far, mm: skin has to stay outside them."""
        shape = grid.shape
        self._shift = [
            smooth_noise(stream(seed, f"anatomy/warp/{axis}"), shape, self.spacing_mm, WARP_LENGTH_MM)
            * np.float32(WARP_SD_MM)
            for axis in "xyz"
        ]
        self.roughness = smooth_noise(stream(seed, "anatomy/roughness"), shape, self.spacing_mm, ROUGHNESS_LENGTH_MM)
        ox, oy, oz = grid.origin_mm
        sz, sy, sx = grid.spacing_mm
        axes = (
            (ox + sx * np.arange(shape[2]))[None, None, :],
            (oy + sy * np.arange(shape[1]))[None, :, None],
            (oz + sz * np.arange(shape[0]))[:, None, None],
        )
        self.points = Points(
            *(
                (world.astype(np.float32) - shift) / np.float32(factor)
                for world, shift, factor in zip(axes, self._shift, scale, strict=True)
            )
        )

    def block(self, box: Box) -> Block | None:
        """Part of the grid that may hold a canonical box, or None when the box lies outside."""
        reach = 3.5 * WARP_SD_MM + self.spacing_mm
        corners = np.array(box) * self.scale
        ends = self.grid.to_index(np.array([corners[0] - reach, corners[1] + reach]))
        low = np.maximum(np.floor(ends.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(ends.max(axis=0)).astype(int) + 1, self.grid.shape)
        if np.any(low >= high):
            return None
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))

    def at(self, block: Block) -> Points:
        """Canonical coordinates of the voxels of a block."""
        return Points(self.points.x[block], self.points.y[block], self.points.z[block])

    def world(self, points: ArrayLike) -> NDArray[np.float64]:
        """LPS points (n, 3) of the patient that canonical points (n, 3) have gone to, mm."""
        canonical = np.atleast_2d(np.asarray(points, dtype=np.float64))[:, :3] * self.scale
        found = canonical.copy()
        for _ in range(3):
            index = self.grid.to_index(found).T
            shift = [map_coordinates(s, index, order=1, mode="nearest") for s in self._shift]
            found = canonical + np.stack(shift, axis=1)
        return found

    def mark(self, name: str, points: ArrayLike) -> None:
        """Keep canonical points as a named landmark of the patient."""
        self.landmarks[name] = self.world(points)

    def distance(self, solid: Solid, block: Block, rough_mm: float = 0.0) -> Floats:
        """Signed distance of a block's voxels in the patient's own mm, its surface uneven by `rough_mm` (SD)."""
        distance = solid(self.at(block)) * np.float32(np.prod(self.scale) ** (1 / 3))
        if rough_mm:
            distance = distance + np.float32(rough_mm) * self.roughness[block]
        return distance

    def fill(self, label: Label, block: Block, distance: Floats, layer: Layer = Layer.WHOLE) -> None:
        """Paint where `distance` (mm, over `block`) is negative, edges in proportion."""
        occupancy = np.clip(0.5 - distance / np.float32(self.spacing_mm), 0, 1)
        part = trim(Part(label, block, np.rint(occupancy * 255).astype(np.uint8), layer))
        if part is not None:
            self.parts.append(part)

    def paint(self, label: Label, shape: tuple[Solid, Box], rough_mm: float = 0.0, layer: Layer = Layer.WHOLE) -> None:
        """Paint a solid."""
        block = self.block(shape[1])
        if block is not None:
            self.fill(label, block, self.distance(shape[0], block, rough_mm), layer)

    def paint_bone(self, label: Label, shape: tuple[Solid, Box], cortex_mm: float = 2.0) -> None:
        """Paint a bone: compact bone of the given thickness around a marrow space."""
        block = self.block(shape[1])
        if block is None:
            return
        distance = self.distance(shape[0], block, rough_mm=0.4)
        self.fill(label, block, distance, Layer.CORTEX)
        self.fill(label, block, distance + np.float32(cortex_mm))
        self.envelope[block] = np.minimum(self.envelope[block], distance)

    def tube(self, points: ArrayLike) -> tuple[Solid, Box]:
        """Tube through control points (n, 4) of (x, y, z, radius), mm, as a solid that is quick on a small block."""
        samples = curve(points)
        return self.chain(samples)

    def chain(self, samples: NDArray[np.float64]) -> tuple[Solid, Box]:
        """Rounded cones joined end to end through (n, 4) samples of (x, y, z, radius), mm.

        Painting with soft edges adds spacing² / 12 to the squared radius of a cylinder; it is taken off here, so that a
        tube thinner than a voxel keeps its volume.
        """
        samples = samples.copy()
        samples[:, 3] = np.sqrt(np.maximum(samples[:, 3] ** 2 - self.spacing_mm**2 / 12, 0.3 * samples[:, 3] ** 2))
        reach = float(samples[:, 3].max())

        def solid(p: Points) -> Floats:
            far = np.full(p.x.shape, 4 * reach + 50, dtype=np.float32)
            for a, b in pairwise(samples):
                near = _near(p, a, b, max(a[3], b[3]) + 1.5 * self.spacing_mm + 3)
                if near is not None:
                    some = Points(p.x[near], p.y[near], p.z[near])
                    far[near] = np.minimum(far[near], segment_distance(some, a[:3], b[:3], a[3], b[3]))
            return far

        return solid, box_of(samples[:, :3], reach)


def _near(p: Points, a: NDArray[np.float64], b: NDArray[np.float64], reach: float) -> Block | None:
    """Sub-block of points (nearly an axial lattice) within `reach` of a segment, judged on the block's middle lines.

    The deformation bends the lattice by a few millimetres across a block; the margin pays for that.
    """
    nz, ny, nx = p.x.shape
    margin = reach + WARP_SD_MM
    lines = (p.z[:, ny // 2, nx // 2], p.y[nz // 2, :, nx // 2], p.x[nz // 2, ny // 2, :])
    found = []
    for line, axis in zip(lines, (2, 1, 0), strict=True):
        low, high = min(a[axis], b[axis]) - margin, max(a[axis], b[axis]) + margin
        first, last = np.searchsorted(line, (low, high))
        if first >= last:
            return None
        found.append(slice(int(first), int(last)))
    return found[0], found[1], found[2]


def trim(part: Part) -> Part | None:
    """Cut empty margins off; None when nothing is left."""
    filled = part.occupancy > 0
    cuts = []
    for axis in range(3):
        other = tuple(a for a in range(3) if a != axis)
        where = np.flatnonzero(filled.any(axis=other))
        if where.size == 0:
            return None
        cuts.append(slice(int(where[0]), int(where[-1]) + 1))
    block = tuple(
        slice(whole.start + cut.start, whole.start + cut.stop) for whole, cut in zip(part.block, cuts, strict=True)
    )
    occupancy = np.ascontiguousarray(part.occupancy[tuple(cuts)])
    return Part(part.label, (block[0], block[1], block[2]), occupancy, part.layer)


def mirrored(side: int) -> Callable[[ArrayLike], NDArray[np.float64]]:
    """Put points written for the left side (x > 0) on the left (+1) or right (-1) side."""

    def place(points: ArrayLike) -> NDArray[np.float64]:
        p = np.array(points, dtype=np.float64)
        p[..., 0] *= side
        return p

    return place
