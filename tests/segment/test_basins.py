"""Basins: unions of basins are the connected components of every level."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from petlesion.lesions import CONNECTIVITY
from petlesion.segment.basins import Basins

IMAGES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.integers(0, 12).map(float))
)


@settings(max_examples=150)
@given(IMAGES, st.integers(0, 4), st.integers(1, 10))
def test_connected_basins_are_the_component_at_a_level(image: np.ndarray, floor: int, level: int) -> None:
    mask = image >= floor
    basins = Basins.of(image, mask)
    assert np.array_equal(basins.voxels, np.flatnonzero(mask))
    for start in range(len(basins.peaks)):
        height = float(basins.values[basins.peaks[start]])
        threshold = max(float(floor), min(float(level), height))
        members = list(basins.connected(start, threshold, np.ones(len(basins.peaks), dtype=bool)))
        found = np.zeros(image.shape, dtype=bool)
        chosen = np.isin(basins.basin, members) & (basins.values >= threshold)
        found.ravel()[basins.voxels[chosen]] = True
        labels, _ = ndimage.label(image >= threshold, structure=CONNECTIVITY)
        peak = np.unravel_index(basins.voxels[basins.peaks[start]], image.shape)
        assert np.array_equal(found, labels == labels[peak])


@given(IMAGES)
def test_peaks_are_the_maxima_of_their_basins(image: np.ndarray) -> None:
    basins = Basins.of(image, image > 0)
    for number, peak in enumerate(basins.peaks):
        assert basins.basin[peak] == number
        assert basins.values[peak] == basins.values[basins.basin == number].max()


def test_taken_basins_block_the_way() -> None:
    image = np.array([[[5, 3, 4, 3, 6]]], dtype=np.float32)
    basins = Basins.of(image, image > 0)
    free = np.ones(3, dtype=bool)
    assert list(basins.connected(1, 3.5, free)) == [1]
    assert sorted(basins.connected(0, 1.0, free)) == [0]
    assert not free[0]
    assert free[2]


def test_empty_mask_has_no_basins() -> None:
    basins = Basins.of(np.zeros((2, 3, 4), dtype=np.float32), np.zeros((2, 3, 4), dtype=bool))
    assert len(basins.peaks) == len(basins.neighbours) == 0
