"""True activity of the normal body: uptake of each structure with the unevenness it has inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from petlesion.phantom.anatomy import Anatomy, Part, mass_out_of_view
from petlesion.phantom.draws import smooth_noise, stream
from petlesion.phantom.labels import STRUCTURES, Label, Tissue
from petlesion.phantom.render import Value, composite
from petlesion.phantom.uptake import Uptake

FINE_MM, COARSE_MM = 11.0, 30.0
"""Knot distances of the two noises that make uptake uneven, mm."""
RETAINED = 0.95
"""Largest fraction of the injected activity that can be in the body at the scan."""
_PATCHY = frozenset(
    {
        Label.STOMACH,
        Label.DUODENUM,
        Label.JEJUNUM,
        Label.ILEUM,
        Label.COLON_ASCENDING,
        Label.COLON_TRANSVERSE,
        Label.COLON_DESCENDING,
        Label.SIGMOID,
        Label.RECTUM,
    }
)
_DEFAULT_TEXTURE = {Tissue.MUSCLE: 0.1, Tissue.BONE: 0.12, Tissue.FAT: 0.15, Tissue.LUNG: 0.1}


def render_activity(anatomy: Anatomy, uptake: Uptake, seed: int, visit: int) -> NDArray[np.float32]:
    """True SUVbw (z, y, x) float32 of the body without lesions and foci.

    Parameters
    ----------
    anatomy
        The body.
    uptake
        Drawn uptake of its structures.
    seed, visit
        Which patient's scan; the pattern of bowel and muscle differs from visit to visit.
    """
    shape, spacing = anatomy.grid.shape, anatomy.grid.spacing_mm[0]
    fine = smooth_noise(stream(seed, f"activity/fine/{visit}"), shape, spacing, FINE_MM)
    coarse = smooth_noise(stream(seed, f"activity/coarse/{visit}"), shape, spacing, COARSE_MM)

    def value(part: Part) -> Value:
        mean = uptake.of(part.label, part.layer)
        spread = uptake.texture.get(part.label, _DEFAULT_TEXTURE.get(STRUCTURES[part.label].tissue, 0.0))
        if mean <= 0 or spread == 0:
            return mean
        if part.label in _PATCHY:
            # Patches along the bowel: log-normal about the same mean.
            sigma = float(np.sqrt(np.log1p(spread**2)))
            patches = np.exp(np.float32(sigma) * coarse[part.block] - np.float32(sigma**2 / 2))
            return np.asarray(np.float32(mean) * patches)
        mix = np.float32(0.92) * fine[part.block] + np.float32(0.39) * coarse[part.block]
        return np.float32(mean) * np.maximum(1 + np.float32(spread) * mix, np.float32(0.2))

    return composite(anatomy.parts, shape, value)


def conserve(activity: NDArray[np.float32], anatomy: Anatomy, uptake: Uptake, tumour_share: float) -> Uptake:
    """Scale the body's activity down, in place, where with the lesions it would exceed what was injected.

    The mean SUVbw of the whole body is the fraction of the injected activity still inside, so it cannot exceed 1;
    `RETAINED` leaves a little for what was voided before. What lies outside the field of view counts as muscle and
    fat.

    Returns
    -------
    Uptake
        The uptake that the scaled activity has.
    """
    limbs = mass_out_of_view(anatomy.arms_up) * (0.55 * uptake.of(Label.MUSCLE) + 0.3 * uptake.of(Label.FAT))
    body = float(activity.sum(dtype=np.float64)) * anatomy.grid.voxel_ml / (1000 * anatomy.weight_kg) + limbs
    factor = min(1.0, (RETAINED - tumour_share) / body)
    if factor < 1:
        activity *= np.float32(factor)
        uptake = uptake.scaled(factor)
    return uptake
