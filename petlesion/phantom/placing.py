"""Where in a body a lesion or focus can lie: rooms by anatomical label, centres, and neighbours to keep clear of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.phantom.anatomy import Anatomy
from petlesion.phantom.blobs import Room, grow, radius_mm
from petlesion.phantom.labels import Label
from petlesion.phantom.truth import Blob, Shape

GAP_MM = 3.0
"""Lesions of the truth keep at least about this distance, so that instances stay apart on the PET grid."""
TRIES = 30
"""Centres tried before a lesion is given up."""


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

    def voxels(self, labels: Iterable[Label], depth_mm: float = 0.0) -> NDArray[np.intp]:
        """Indices (n, 3) as (z, y, x) of voxels of the labels at least `depth_mm` from their border, else the deepest."""
        mask = self.anatomy.mask(*labels)
        where = ndimage.find_objects(mask.astype(np.uint8))
        if not where:
            return np.empty((0, 3), dtype=np.intp)
        inner = mask[where[0]]
        origin = np.array([s.start for s in where[0]])
        if depth_mm <= 0:
            return np.argwhere(inner) + origin
        depth = ndimage.distance_transform_edt(np.pad(inner, 1))[1:-1, 1:-1, 1:-1] * self.anatomy.grid.spacing_mm[0]
        return np.argwhere(depth >= min(depth_mm, 0.9 * float(depth.max()))) + origin

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
        near = [s for s in self.taken if self._reaches(s, center_mm, reach_mm)]

        def inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
            index = (grid.to_index(points) - low).T
            free = ndimage.map_coordinates(soft, index, order=1, mode="constant") > 0.5
            for shape in near:
                free &= ~_within(shape, points)
            return np.asarray(free)

        return inside

    def _reaches(self, shape: Shape, center_mm: NDArray[np.float64], reach_mm: float) -> bool:
        ends = shape.grid.to_world([(0, 0, 0), np.array(shape.grid.shape) - 1])
        gap = np.maximum(ends.min(axis=0) - center_mm, center_mm - ends.max(axis=0))
        return bool(np.all(gap < reach_mm + GAP_MM))

    def put(self, blob: Blob, labels: Iterable[Label]) -> tuple[Shape, Shape | None]:
        """Grow a blob in the room of the labels without keeping it."""
        reach = 2.9 * radius_mm(blob.volume_ml)
        return grow(blob, self.room(labels, np.array(blob.center_mm), reach))

    def keep(self, shape: Shape) -> None:
        """Reserve the room of a shape and the gap around it."""
        pad = int(np.ceil(GAP_MM / shape.grid.spacing_mm[0]))
        inside = np.pad(shape.inside, pad)
        distance = ndimage.distance_transform_edt(~inside)
        grown = distance * shape.grid.spacing_mm[0] <= GAP_MM
        grown[[0, -1]] = grown[:, [0, -1]] = grown[:, :, [0, -1]] = False
        origin = shape.grid.to_world((-pad, -pad, -pad))
        self.taken.append(Shape(type(shape.grid).from_geometry(grown.shape, shape.grid.spacing_mm, origin), grown))


def _within(shape: Shape, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether LPS points lie in a shape (its border voxels are empty, so that outside points are not)."""
    index = np.rint(shape.grid.to_index(points)).astype(np.intp)
    index = np.clip(index, 0, np.array(shape.grid.shape) - 1)
    return np.asarray(shape.inside[tuple(index.T)])
