"""Redrawing at the threshold: the same as over the whole image, at the cost of the lesions alone."""

from __future__ import annotations

import tracemalloc

import numpy as np
from scipy import ndimage

from petlesion.segment.refinement import refine_to_threshold

SPACING_MM = (3.0, 4.0, 4.0)


def test_lesions_far_apart_take_no_memory_for_what_is_between() -> None:
    rng = np.random.default_rng(0)
    suv = rng.normal(3.0, 1.0, (60, 100, 100)).astype(np.float32)
    lesion, physiological = np.zeros(suv.shape, dtype=bool), rng.random(suv.shape) < 0.1
    for place in (np.s_[:3, :3, :3], np.s_[55:, 95:, 95:], np.s_[30:32, 50:52, 50:53], np.s_[33:34, 53:54, 50:53]):
        lesion[place] = True
    tracemalloc.start()
    found = refine_to_threshold(lesion, physiological, suv, 3.0, SPACING_MM)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    near = ndimage.distance_transform_edt(~lesion, sampling=SPACING_MM) <= 7.0
    np.testing.assert_array_equal(found, near & (suv >= 3.0) & ~physiological)
    assert most < 8 * suv.size
