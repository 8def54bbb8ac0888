"""Batches of patches by step number: the same seed and step give the same patches, whoever asks and whenever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from petlesion.networks.inputs import BODY_SUV, body_spread, tracer_code
from petlesion.networks.model_config import ModelConfig
from petlesion.study import NO_CT_HU
from petlesion.training.cache import CachedCase

WIDER = 1.3
"""Patches are cut this much larger than the network's, so that turning them leaves no empty corners."""
BODY_HU = -900
"""A voxel above this or `BODY_SUV` is taken for the body when patches are placed."""
BEYOND = 1 / 8
"""Share of a patch's side that may lie beyond the image, or that a smaller image may be cut by.

At a half, a patch of a crop around a tumour may show a corner of it alone, and air that was never there.
"""
TRIES = 20
"""To hit the body; it fills more than a tenth of most images."""


class Batch(TypedDict):
    """Patches as numpy arrays; the loader makes tensors of them."""

    suv: NDArray[np.float16]
    """(batch, z, y, x) SUVbw; 0 beyond the image."""
    ct: NDArray[np.int16]
    """(batch, z, y, x) HU; air beyond the image."""
    classes: NDArray[np.uint8]
    """(batch, z, y, x); background beyond the image."""
    threshold: NDArray[np.float32]
    """(batch,)."""
    spread: NDArray[np.float32]
    """(batch, 2), of the image that the patch is cut from."""
    tracer: NDArray[np.float32]
    """(batch, 4)."""
    known: NDArray[np.bool_]
    """(batch, class)."""


def source_size(patch: tuple[int, int, int], *, wider: bool) -> tuple[int, int, int]:
    """Size of the patches that are cut for a network's patch; as even or odd, so that voxels lie on voxels."""
    if not wider:
        return patch
    z, y, x = (int(np.ceil(side * WIDER / 2 - side / 2)) * 2 + side for side in patch)
    return z, y, x


@dataclass(frozen=True, eq=False)
class PatchBatches:
    """Training batches; item n is the batch of step n.

    Patches may lie anywhere in the image and a little beyond, and an image that is smaller anywhere in the patch, so
    that neither the centre of an image nor its border tells where a tumour is.

    A map-style data set of whole batches instead of MONAI's crop transforms and samplers: a run that is resumed at
    step n continues with the batch of step n, with no state of random generators to save, in any number of workers.

    Attributes
    ----------
    cases
        To draw from, by their weights; mirrored as often as they say.
    config
        Classes, and scaling of the SUV.
    size
        Of the patches that are cut, (z, y, x).
    batch
        Patches of this process.
    lesion_share, uptake_share
        Shares of patches around a lesion, each of a case as likely as the others, and around a voxel at or above the
        threshold outside lesions, where the case has such; the others lie anywhere in the body.
    seed, rank
        Of the run and of the process.
    """

    cases: Sequence[CachedCase]
    config: ModelConfig
    size: tuple[int, int, int]
    batch: int
    lesion_share: float
    uptake_share: float
    seed: int
    rank: int = 0

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng((self.seed, step, self.rank))
        weights = np.array([case.weight for case in self.cases])
        chosen = [self.cases[n] for n in rng.choice(len(self.cases), self.batch, p=weights / weights.sum())]
        patches = [self._patch(case, rng) for case in chosen]
        names = self.config.classes
        return Batch(
            suv=np.stack([patch[0] for patch in patches]),
            ct=np.stack([patch[1] for patch in patches]),
            classes=np.stack([patch[2] for patch in patches]),
            threshold=np.array([case.threshold for case in chosen], dtype=np.float32),
            spread=np.array([patch[3] for patch in patches], dtype=np.float32),
            tracer=np.array([tracer_code(case.tracer) for case in chosen], dtype=np.float32),
            known=np.array([[name in case.known for name in names] for case in chosen]),
        )

    def _patch(
        self, case: CachedCase, rng: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], tuple[float, float]]:
        patch = np.array(self.size) / WIDER  # of the network
        center = _place_in_body(case, rng)
        drawn = rng.random()
        if drawn < self.lesion_share + self.uptake_share:
            voxels = _of_one_lesion(case, rng) if drawn < self.lesion_share else case.array("uptake_voxels")
            if len(voxels):
                half = patch / 2 - 1
                center = voxels[rng.integers(len(voxels))] + rng.uniform(-half, half)
        corner = np.rint(_in_view(center, patch, case.shape) - np.array(self.size) / 2).astype(int)
        along_x = -1 if rng.random() < case.mirror else 1
        suv = cut_padded(case.array("suv"), corner, self.size, 0)[..., ::along_x]
        ct = cut_padded(case.array("ct"), corner, self.size, int(NO_CT_HU))[..., ::along_x]
        gamma = case.suv_gamma_range ** rng.uniform(-1, 1)
        spread = body_spread(case.array("body_quantiles") ** gamma, self.config.normalisation)
        classes = cut_padded(case.array("classes"), corner, self.size, 0)[..., ::along_x]
        return raised(suv, gamma), ct, classes, spread


def raised(suv: NDArray[np.float16], exponent: float) -> NDArray[np.float16]:
    """A power of SUV; what 16 bits do not hold becomes the highest that they do, not infinity."""
    return np.minimum(suv.astype(np.float32) ** exponent, np.finfo(np.float16).max).astype(np.float16)


def _in_view(
    center: NDArray[np.float64], patch: NDArray[np.float64], shape: tuple[int, int, int]
) -> NDArray[np.float64]:
    """The centre, moved so that the patch lies in the image, or a smaller image in the patch, but for `BEYOND`."""
    at_first, at_last = patch / 2, shape - patch / 2
    reach = BEYOND * patch
    return np.clip(center, np.minimum(at_first, at_last) - reach, np.maximum(at_first, at_last) + reach)


def _of_one_lesion(case: CachedCase, rng: np.random.Generator) -> NDArray[np.int16]:
    """Voxels (n, 3) of one lesion, each as likely as the others.

    Drawn by volume, the third of all lesions that are smaller than 1 mL got one patch in twenty-five.
    """
    voxels = case.array("lesion_voxels")
    if not len(voxels):
        return voxels[:, :3]
    numbers = voxels[:, 3]
    return np.asarray(voxels[numbers == rng.integers(1, numbers.max() + 1), :3])


def _place_in_body(case: CachedCase, rng: np.random.Generator) -> NDArray[np.float64]:
    """Position (z, y, x) anywhere in the body, in voxels; anywhere in the image if a few tries all hit air.

    Most of an image is air: one patch in six held nothing else, and such a patch teaches nothing after the first ones.
    """
    suv, ct = case.array("suv"), case.array("ct")
    for _ in range(TRIES):
        place = rng.uniform(0, case.shape)
        z, y, x = place.astype(int)
        if ct[z, y, x] > BODY_HU or suv[z, y, x] > BODY_SUV:
            break
    return place


def cut_padded(
    array: NDArray[Any], corner: NDArray[np.intp], size: tuple[int, int, int], outside: float
) -> NDArray[Any]:
    """Box of an array that may reach beyond it.

    Parameters
    ----------
    array
        (z, y, x), memory-mapped or not.
    corner
        First voxel of the box; may be negative.
    size
        Of the box.
    outside
        Value beyond the array.
    """
    result = np.full(size, outside, dtype=array.dtype)
    low = np.maximum(corner, 0)
    high = np.minimum(corner + size, array.shape)
    if np.all(low < high):
        source = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        target = tuple(slice(int(a - c), int(b - c)) for a, b, c in zip(low, high, corner, strict=True))
        result[target] = array[source]
    return result
