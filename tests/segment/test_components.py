"""Numbering of components: order, smallest volume, limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from petlesion.errors import SegmentationError
from petlesion.segment import components
from petlesion.segment.components import goes_on_beyond, grow_box, label_components, margin_voxels, number_by_volume

MASKS = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7)).flatmap(lambda s: arrays(np.bool_, s))


@given(MASKS, st.floats(0.0, 0.2))
def test_labels_are_components_by_decreasing_volume(mask: np.ndarray, min_volume_ml: float) -> None:
    labels = label_components(mask, 0.03, min_volume_ml)
    sizes = np.bincount(labels.ravel())[1:]
    assert labels.dtype == np.uint16
    assert (sizes > 0).all()
    assert (np.diff(sizes) <= 0).all()
    assert (sizes * 0.03 >= min_volume_ml - 1e-6).all()
    truth, count = ndimage.label(mask, structure=ndimage.generate_binary_structure(3, 2))
    kept = [n for n in range(1, count + 1) if (truth == n).sum() * 0.03 >= min_volume_ml - 1e-9]
    assert len(kept) == len(sizes)
    assert np.array_equal(labels > 0, np.isin(truth, kept) & mask)
    for n in kept:
        assert len(np.unique(labels[truth == n])) == 1


def test_edges_connect_and_corners_do_not() -> None:
    edge, corner = np.zeros((2, 2, 2), dtype=bool), np.zeros((2, 2, 2), dtype=bool)
    edge[0, 0, 0] = edge[0, 1, 1] = True
    corner[0, 0, 0] = corner[1, 1, 1] = True
    assert label_components(edge, 1.0, 0.0).max() == 1
    assert label_components(corner, 1.0, 0.0).max() == 2


def test_volume_at_the_limit_is_kept() -> None:
    mask = np.zeros((1, 1, 10), dtype=bool)
    mask[0, 0, :3] = mask[0, 0, 5:7] = True
    assert label_components(mask, 0.1, 0.3).max() == 1  # 3 x 0.1 is 0.30000000000000004 or less
    assert label_components(mask, 0.1, 0.2).max() == 2


def test_slabs_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.random.default_rng(0).integers(0, 50, (20, 6, 5), dtype=np.int32)
    whole = number_by_volume(labels, 1.0, 10.0)
    monkeypatch.setattr(components, "SLAB_VOXELS", 40)
    assert np.array_equal(number_by_volume(labels, 1.0, 10.0), whole)


def test_more_regions_than_labels_is_an_error() -> None:
    mask = np.zeros((2, 520, 520), dtype=bool)
    mask[0, ::2, ::2] = True
    with pytest.raises(SegmentationError, match=r"67600 separate regions .* 65535 .*raise the threshold"):
        label_components(mask, 0.001, 0.0)


def test_boxes_grow_within_the_image() -> None:
    box = (slice(2, 4), slice(0, 1), slice(5, 9))
    assert margin_voxels(10.0, (3.0, 5.0, 20.0)) == (4, 2, 1)
    grown = grow_box(box, (1, 2, 3), (10, 2, 10))
    assert grown == (slice(1, 5), slice(0, 2), slice(2, 10))
    mask = np.zeros((4, 2, 8), dtype=bool)
    mask[:, :, 7] = True  # ends at the border of the image along x, at that of the box along z
    assert goes_on_beyond(mask, grown, (10, 2, 10))
    mask[[0, 3]] = False
    assert not goes_on_beyond(mask, grown, (10, 2, 10))
