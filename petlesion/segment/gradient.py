"""Boundaries at the edge of uptake: a watershed on the gradient magnitude, free of the bias of curved edges.

The gradient of a blurred sphere is steepest inside its true edge, by about sigma^2 / R (sigma of the point spread, R
the radius): a sphere of 15 mm loses a third of its volume. The zero of *Laplacian + second derivative along the
gradient* has no such bias (Verbeek and van Vliet, IEEE Trans Pattern Anal Mach Intell 1994;16:726). For a closed
surface that operator vanishes where the gradient times the square root of the surface's area is greatest among parallel
surfaces. So the watershed gives the shape, and its surface is then moved, as a whole, to that place: noise averages
out over the surface, and the point spread need not be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from petlesion.segment.components import goes_on_beyond, grow_box, margin_voxels
from petlesion.segment.peaks import PROMINENCE, prominent_peaks
from petlesion.volume import Box

CROP_MARGINS_MM = (25.0, 50.0, 100.0)
"""Surroundings looked at beyond the detected region, mm: the next ones where the lesion goes on beyond the first, as
where the threshold detects only its tip."""
RING_MM = 25.0
"""Outer radius of the surroundings whose uptake is the background, mm."""
FINE_MM = 1.5
"""Voxel edge at which edges are sought, mm."""
MAX_FINE_VOXELS = 500_000
"""Larger crops are sampled less finely: large lesions need it less."""
GRADIENT_SIGMA_MM = 2.5
"""Gaussian scale of the derivatives, mm: below the resolution of PET, above that of interpolation."""
CORE_FRACTION = 0.6
"""Certain lesion: above this fraction of the way from background to a peak."""
EDGE_FRACTION = 0.5
"""Near the edge: this fraction of the way from background to a peak (half of a wide lesion's edge)."""
EDGE_REACH_MM = 8.0
"""Certain background: farther than this from where uptake has fallen to `EDGE_FRACTION`, mm."""
SHIFT_MM = (-3.0, 5.0)
"""How far the watershed's surface may be moved inwards and outwards, mm."""
SHELL_MM = 0.1
"""Step at which the offset of the surface is sought, mm."""
SHELL_SIGMA_MM = 1.5
"""Half thickness of the shells in which the gradient across the surface is measured, mm (Gaussian scale)."""


@dataclass(frozen=True, eq=False)
class Edges:
    """Regions within gradient edges.

    Attributes
    ----------
    labels
        (z, y, x) int32, numbered as the detected regions.
    without_edge
        Detected regions around which no edge was found; they stand as detected.
    """

    labels: NDArray[np.int32]
    without_edge: tuple[int, ...]


def gradient_edges(
    suv: NDArray[np.float32],
    detected: NDArray[np.uint16],
    spacing_mm: tuple[float, float, float],
    margins_mm: tuple[float, ...] = CROP_MARGINS_MM,
) -> Edges:
    """Replace each detected region by the region within its gradient edge.

    Parameters
    ----------
    suv
        (z, y, x).
    detected
        (z, y, x) regions 1..n.
    spacing_mm
        Of the voxels (z, y, x), mm.
    margins_mm
        Surroundings to look at, one after the other, as long as the lesion goes on beyond them.

    Returns
    -------
    Edges
        As many voxels a region as the sub-voxel volume within its edge amounts to.
    """
    labels = np.zeros(suv.shape, dtype=np.int32)
    without_edge = []
    for label, box in enumerate(ndimage.find_objects(detected), start=1):
        crop, inside = _region(suv, detected, label, box, spacing_mm, margins_mm)
        if not inside.any():
            without_edge.append(label)
            inside = detected[crop] == label
        labels[crop][inside & (labels[crop] == 0)] = label
    return Edges(labels, tuple(without_edge))


def _region(
    suv: NDArray[np.float32],
    detected: NDArray[np.uint16],
    label: int,
    box: Box,
    spacing_mm: tuple[float, float, float],
    margins_mm: tuple[float, ...],
) -> tuple[Box, NDArray[np.bool_]]:
    """A crop around a detected region and its voxels within the edge; none where there is no edge."""
    for margin_mm in margins_mm:
        crop = grow_box(box, margin_voxels(margin_mm, spacing_mm), suv.shape)
        own = detected[crop] == label
        surroundings = _Surroundings.of(suv[crop], own, (detected[crop] != 0) & ~own, spacing_mm)
        if surroundings is None:
            break
        if not goes_on_beyond(surroundings.near, crop, suv.shape):
            return crop, _within_edge(suv[crop], surroundings, spacing_mm)
    return crop, np.zeros_like(own)


@dataclass(frozen=True, eq=False)
class _Surroundings:
    """A lesion among its neighbours, on the voxels of a crop of the PET.

    Attributes
    ----------
    near
        Voxels at or above `EDGE_FRACTION` of the way from the background to their peak.
    background
        Uptake around the lesion, SUV.
    rise
        Height above `background` of each peak; infinite for 0 (none) and for the last (other lesions).
    territory
        Which peak each voxel belongs to: 0 none, then the lesion's peaks, the last one other lesions.
    others
        Detected voxels of other lesions.
    """

    near: NDArray[np.bool_]
    background: float
    rise: NDArray[np.float32]
    territory: NDArray[np.int32]
    others: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        suv: NDArray[np.float32],
        own: NDArray[np.bool_],
        others: NDArray[np.bool_],
        spacing_mm: tuple[float, float, float],
    ) -> _Surroundings | None:
        """None when the lesion does not stand out of its background."""
        from skimage.segmentation import watershed

        peaks = prominent_peaks(suv, own)
        count = int(peaks.max(initial=0))
        background = _background(suv, own, others, spacing_mm)
        heights = np.asarray(ndimage.maximum(suv, peaks, np.arange(1, count + 1)))
        rise = np.full(count + 2, np.inf, dtype=np.float32)
        rise[1:-1] = heights - background
        if count == 0 or (rise[1:-1] < PROMINENCE * heights).any():
            return None
        seeds = np.where(others, count + 1, peaks)
        lowest = background + EDGE_FRACTION * float(rise.min())
        territory = watershed(-suv, seeds, mask=(suv >= lowest) | (seeds > 0))
        near = suv - background >= EDGE_FRACTION * rise[territory]
        return cls(near, background, rise, territory, others)


_LESION, _BACKGROUND, _OTHER = 1, 2, 3


def _within_edge(
    suv: NDArray[np.float32], surroundings: _Surroundings, spacing_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """The voxels of the crop within the lesion's edge."""
    from skimage.segmentation import watershed

    box = ndimage.find_objects(surroundings.near.astype(np.int8))[0]
    box = grow_box(box, margin_voxels(EDGE_REACH_MM + SHIFT_MM[1], spacing_mm), suv.shape)
    factors = _fine_factors(suv[box].shape, spacing_mm)
    step = (spacing_mm[0] / factors[0], spacing_mm[1] / factors[1], spacing_mm[2] / factors[2])
    fine = ndimage.zoom(suv[box], factors, order=3, mode="nearest", grid_mode=True)
    territory, others = (_repeat(part[box], factors) for part in (surroundings.territory, surroundings.others))
    markers = _markers(fine - surroundings.background, surroundings.rise[territory], others, step)
    if not (markers == _BACKGROUND).any():
        return np.zeros(suv.shape, dtype=bool)
    undecided = ndimage.binary_dilation(markers == 0)
    regions = watershed(_gradient(fine, step), markers, mask=undecided | (markers == _LESION))
    offset = _signed_distance(regions == _LESION, step)
    own_side = markers != _OTHER
    inside = np.zeros(suv.shape, dtype=bool)
    inside[box] = _fullest_voxels((offset <= _best_shift(fine, offset, own_side)) & own_side, factors)
    return inside


def _markers(
    above: NDArray[np.float32],
    rise: NDArray[np.float32],
    others: NDArray[np.bool_],
    step: tuple[float, float, float],
) -> NDArray[np.int32]:
    """Certain lesion, certain background, other lesions; 0 where the edge may run."""
    markers = np.zeros(above.shape, dtype=np.int32)
    outside = above < EDGE_FRACTION * rise
    markers[ndimage.distance_transform_edt(outside, sampling=step) > EDGE_REACH_MM] = _BACKGROUND
    markers[above >= CORE_FRACTION * rise] = _LESION
    markers[others] = _OTHER
    return markers


def _background(
    suv: NDArray[np.float32],
    own: NDArray[np.bool_],
    others: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> float:
    """Uptake around a lesion: the lower quartile, which neighbours' skirts do not raise."""
    distance = ndimage.distance_transform_edt(~own, sampling=spacing_mm)
    ring = (distance > EDGE_REACH_MM) & (distance <= RING_MM) & ~others
    return float(np.percentile(suv[ring], 25)) if ring.any() else float(suv.min())


def _gradient(fine: NDArray[np.float32], step: tuple[float, float, float]) -> NDArray[np.float32]:
    sigma = [GRADIENT_SIGMA_MM / s for s in step]
    squares = np.zeros_like(fine)
    for axis in range(3):
        order = [int(other == axis) for other in range(3)]
        squares += (ndimage.gaussian_filter(fine, sigma, order=order) / step[axis]) ** 2
    return np.sqrt(squares)


def _signed_distance(inside: NDArray[np.bool_], step: tuple[float, float, float]) -> NDArray[np.float32]:
    """Distance from the surface of a region, mm, negative inside."""
    half = float(np.mean(step)) / 2  # the surface runs between voxel centres
    outwards = ndimage.distance_transform_edt(~inside, sampling=step) - half
    inwards = ndimage.distance_transform_edt(inside, sampling=step) - half
    # smooth, or the few distances that a grid has make the shells uneven
    signed = np.where(inside, -inwards, outwards).astype(np.float32)
    return np.asarray(ndimage.gaussian_filter(signed, 1.0))


def _best_shift(
    fine: NDArray[np.float32],
    offset: NDArray[np.float32],
    usable: NDArray[np.bool_],
) -> float:
    """Offset of the parallel surface whose gradient, weighted by its area, is greatest, mm."""
    shift = np.arange(SHIFT_MM[0] - 2 * SHELL_SIGMA_MM, SHIFT_MM[1] + 2 * SHELL_SIGMA_MM, SHELL_MM)
    near = usable & (offset >= shift[0]) & (offset <= shift[-1])
    distance, value = offset[near].astype(np.float64), fine[near].astype(np.float64)
    shell = np.rint((distance - shift[0]) / SHELL_MM).astype(int)

    def around(moment: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of a quantity near each shift, Gaussian weights."""
        sums = np.bincount(shell, weights=moment, minlength=len(shift))[: len(shift)]
        return np.asarray(ndimage.gaussian_filter1d(sums, SHELL_SIGMA_MM / SHELL_MM, mode="constant"))

    number, mean = around(np.ones_like(distance)), around(distance)
    # slope of the regression of uptake on distance near each shift: no matter how unevenly a grid fills the shells
    spread = number * around(distance**2) - mean**2
    fall = mean * around(value) - number * around(distance * value)
    known = (shift >= SHIFT_MM[0]) & (shift <= SHIFT_MM[1]) & (number > 1) & (spread > 0)
    known &= (shift >= distance.min(initial=np.inf)) & (shift <= distance.max(initial=-np.inf))
    if np.count_nonzero(known) < _AREA_DEGREE + 1:
        return 0.0
    place = mean[known] / number[known]  # beyond `shift`, because shells grow outwards
    area = np.polyval(np.polyfit(shift[known], number[known], _AREA_DEGREE), place)
    weighted = fall[known] / spread[known] * np.sqrt(np.maximum(area, 0.0))
    return float(place[int(np.argmax(weighted))])


_AREA_DEGREE = 2
"""The area of parallel surfaces is quadratic in their offset (Steiner)."""


def _fine_factors(shape: tuple[int, ...], spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
    """Fine voxels per voxel along (z, y, x)."""
    fine_mm = FINE_MM
    while True:
        z, y, x = (max(1, round(spacing / fine_mm)) for spacing in spacing_mm)
        if z * y * x == 1 or z * y * x * np.prod(shape) <= MAX_FINE_VOXELS:
            return z, y, x
        fine_mm *= 1.25


def _repeat(coarse: NDArray[Any], factors: tuple[int, int, int]) -> NDArray[Any]:
    """Each voxel as a block of fine voxels."""
    for axis, factor in enumerate(factors):
        coarse = coarse.repeat(factor, axis=axis)
    return coarse


def _fullest_voxels(inside: NDArray[np.bool_], factors: tuple[int, int, int]) -> NDArray[np.bool_]:
    """As many voxels as the fine volume amounts to, those that lie inside most."""
    z, y, x = (size // factor for size, factor in zip(inside.shape, factors, strict=True))
    share = inside.reshape(z, factors[0], y, factors[1], x, factors[2]).mean(axis=(1, 3, 5))
    wanted = round(float(share.sum()))
    chosen = np.zeros(share.size, dtype=bool)
    chosen[np.argsort(-share, axis=None, kind="stable")[:wanted]] = True
    return chosen.reshape(share.shape)
