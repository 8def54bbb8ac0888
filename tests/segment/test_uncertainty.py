from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from petlesion.lesions import Lesions
from petlesion.organs import Organs
from petlesion.report import NO_REFERENCE, MethodRecord, Review
from petlesion.segment.network import NetworkResult
from petlesion.segment.uncertainty import NEAR_PROBABILITY, study_uncertainty
from petlesion.volume import Grid, Volume

GRID = Grid.from_geometry((20, 20, 20), (4.0, 4.0, 4.0))
SURE, UNSURE = (slice(2, 6),) * 3, (slice(12, 16),) * 3


def result(*, found: tuple[tuple[slice, ...], ...], probability: float = 0.9) -> NetworkResult:
    """A certain and an uncertain cube, of which some were found."""
    labels = np.zeros(GRID.shape, dtype=np.uint16)
    probabilities, entropy = np.full(GRID.shape, 0.01, np.float32), np.full(GRID.shape, 0.02, np.float32)
    for number, box in enumerate(found, start=1):
        labels[box] = number
        probabilities[box] = probability
    entropy[SURE], entropy[UNSURE] = 0.1, 0.8
    method = MethodRecord("unet", "0", None, {})
    lesions = Lesions(labels, GRID, method, NO_REFERENCE, Review.FILTERED)
    organs = Organs(np.zeros(GRID.shape, np.uint8), GRID, {})
    return NetworkResult(lesions, organs, Volume(probabilities, GRID), Volume(entropy, GRID))


def test_lesions_count_alike_whatever_their_number() -> None:
    both = study_uncertainty(result(found=(SURE, UNSURE)))
    assert both.lesions == 2
    assert sorted(both.lesion_entropies) == pytest.approx([0.1, 0.8])
    assert both.entropy == pytest.approx(0.45)
    assert study_uncertainty(result(found=(SURE,))).entropy == pytest.approx(0.1)


def test_a_lesion_that_was_just_missed_counts() -> None:
    missed = result(found=())
    assert missed.probability is not None
    missed.probability.array[UNSURE] = NEAR_PROBABILITY
    unsure = study_uncertainty(missed)
    assert (unsure.lesions, len(unsure.lesion_entropies)) == (0, 1)
    assert unsure.entropy == pytest.approx(0.8)


def test_nothing_found_is_certain_and_maps_are_needed() -> None:
    assert study_uncertainty(result(found=())).entropy == 0.0
    with pytest.raises(ValueError, match="needs maps"):
        study_uncertainty(replace(result(found=()), entropy=None))
