"""Where in a body a lesion or focus can lie: rooms by anatomical label, centres, and neighbours to keep clear of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.phantom.anatomy import Anatomy, Block
from petlesion.phantom.blobs import Room, grow, radius_mm
from petlesion.phantom.labels import Label
from petlesion.phantom.truth import Blob, Shape
from petlesion.volume import Grid

GAP_MM = 3.0
"""Lesions of the truth keep at least about this distance, so that instances stay apart on the PET grid."""
TRIES = 14
"""Centres tried before a lesion is given up."""

_BALL = np.stack(np.meshgrid(*[np.linspace(-0.8, 0.8, 5)] * 3), axis=-1).reshape(-1, 3)
_BALL = _BALL[np.linalg.norm(_BALL, axis=1) < 0.95]


@dataclass(eq=False)
class Places:
    """Free room in one body while lesions are put into it.

    Attributes
    ----------
    anatomy
        The body.
    taken
        Shapes already placed.
    """

    anatomy: Anatomy
    taken: list[Shape] = field(default_factory=list)
    _ends: list[NDArray[np.float64]] = field(default_factory=list)

    @cached_property
    def _boxes(self) -> list[Block | None]:
        """Bounding box of each label, from label 1 on."""
        return ndimage.find_objects(self.anatomy.labels, max_label=255)  # type: ignore[no-any-return]

    @cached_property
    def _depths(self) -> dict[tuple[Label, ...], tuple[NDArray[np.intp], NDArray[np.float32]]]:
        return {}

    def box(self, labels: Iterable[Label]) -> Block | None:
        """Bounding box of some structures; None where the body has none of them."""
        boxes = [box for box in (self._boxes[label - 1] for label in labels) if box is not None]
        if not boxes:
            return None
        z, y, x = (slice(min(b[a].start for b in boxes), max(b[a].stop for b in boxes)) for a in range(3))
        return z, y, x

    def voxels(self, labels: tuple[Label, ...], depth_mm: float = 0.0) -> NDArray[np.intp]:
        """Indices (n, 3) as (z, y, x) of voxels at least `depth_mm` under the labels' surface, else the deepest."""
        if labels not in self._depths:
            box = self.box(labels)
            if box is None:
                return np.empty((0, 3), dtype=np.intp)
            wanted = np.zeros(256, dtype=np.bool_)
            wanted[list(labels)] = True
            inner = np.pad(wanted[self.anatomy.labels[box]], 1)
            depth = ndimage.distance_transform_edt(inner)[1:-1, 1:-1, 1:-1].astype(np.float32)
            self._depths[labels] = np.array([s.start for s in box]), depth * self.anatomy.grid.spacing_mm[0]
        origin, depth = self._depths[labels]
        return np.argwhere(depth >= min(max(depth_mm, 0.1), 0.9 * float(depth.max()))) + origin

    def random_point(self, rng: np.random.Generator, voxels: NDArray[np.intp]) -> NDArray[np.float64]:
        """LPS point somewhere in one of the voxels."""
        index = voxels[int(rng.integers(len(voxels)))] + rng.uniform(-0.4, 0.4, 3)
        return self.anatomy.grid.to_world(index)

    def room(self, labels: Iterable[Label], center_mm: NDArray[np.float64], reach_mm: float) -> Room:
        """Where a shape around a point may grow: inside the labels, clear of what is placed already."""
        grid = self.anatomy.grid
        spacing = grid.spacing_mm[0]
        middle = grid.to_index(center_mm)
        low = np.maximum(np.floor(middle - reach_mm / spacing - 2).astype(int), 0)
        high = np.minimum(np.ceil(middle + reach_mm / spacing + 3).astype(int), grid.shape)
        block = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        wanted = np.zeros(256, dtype=np.float32)
        wanted[list(labels)] = 1
        soft = wanted[self.anatomy.labels[block]]
        near = self._neighbours(center_mm, reach_mm)

        def inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
            index = (grid.to_index(points) - low).T
            free = ndimage.map_coordinates(soft, index, order=1, mode="constant") > 0.5
            for shape in near:
                free &= ~_within(shape, points)
            return np.asarray(free)

        return inside

    def _neighbours(self, center_mm: NDArray[np.float64], reach_mm: float) -> list[Shape]:
        """Shapes whose boxes come within reach of a point."""
        if not self.taken:
            return []
        ends = np.array(self._ends)
        gap = np.maximum(ends[:, 0] - center_mm, center_mm - ends[:, 1])
        return [self.taken[i] for i in np.flatnonzero(np.all(gap < reach_mm, axis=1))]

    def put(self, blob: Blob, labels: Iterable[Label], least_inside: float = 0.5) -> tuple[Shape, Shape | None] | None:
        """Grow a blob in the room of the labels without keeping it.

        Returns
        -------
        tuple or None
            Shape and cold core; None where less than `least_inside` of a sphere of its size lies in the room.
        """
        center, radius = np.array(blob.center_mm), radius_mm(blob.volume_ml)
        room = self.room(labels, center, 2.9 * radius)
        if least_inside and np.count_nonzero(room(center + radius * _BALL)) < least_inside * len(_BALL):
            return None
        return grow(blob, room)

    def keep(self, shape: Shape) -> None:
        """Reserve the room of a shape and the gap around it."""
        pad = int(np.ceil(GAP_MM / shape.grid.spacing_mm[0]))
        inside = np.pad(shape.inside, pad)
        distance = ndimage.distance_transform_edt(~inside)
        grown = distance * shape.grid.spacing_mm[0] <= GAP_MM
        grown[[0, -1]] = grown[:, [0, -1]] = grown[:, :, [0, -1]] = False
        origin = shape.grid.to_world((-pad, -pad, -pad))
        grid = Grid.from_geometry(grown.shape, shape.grid.spacing_mm, origin)
        self.taken.append(Shape(grid, grown))
        self._ends.append(grid.to_world(np.array([(0, 0, 0), grown.shape])))


def _within(shape: Shape, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether LPS points lie in a shape (its border voxels are empty, so that outside points are not)."""
    grid = shape.grid
    index = np.rint((points - grid.origin_mm) / grid.spacing_mm[0]).astype(np.intp)
    x, y, z = (np.clip(index[:, axis], 0, grid.shape[2 - axis] - 1) for axis in range(3))
    return np.asarray(shape.inside[z, y, x])
