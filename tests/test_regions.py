from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic_dicom import axial_grid

from petlesion.errors import UsageError
from petlesion.regions import Region, disjoint, empty_region

GRID = axial_grid((5, 6, 7))


def box(name: str, *sides: tuple[int, int], file_ml: float | None = None) -> Region:
    """Region that fills the voxels from start to end, end excluded, of each axis."""
    return Region(
        name, tuple(start for start, _ in sides), np.ones([end - start for start, end in sides], dtype=bool), file_ml
    )


@st.composite
def boxes(draw: st.DrawFn) -> Region:
    sides = []
    for size in GRID.shape:
        start = draw(st.integers(0, size - 1))
        sides.append((start, draw(st.integers(start + 1, size))))
    return box("a", *sides)


@given(st.lists(boxes(), max_size=6))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_labels_cover_all_regions_in_order_of_volume(regions: list[Region]) -> None:
    result = disjoint(regions, GRID)
    union = np.zeros(GRID.shape, dtype=bool)
    for region in regions:
        union[region.box] |= region.mask
    np.testing.assert_array_equal(result.labels > 0, union)
    sizes = np.bincount(result.labels.ravel(), minlength=1)[1:].tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == len(result.names)
    assert 0 not in sizes
    smallest = min(regions, key=lambda region: region.voxels, default=None)
    if smallest is not None:
        assert len(np.unique(result.labels[smallest.box])) == 1, "the smallest region keeps all its voxels"


def test_names_follow_their_region() -> None:
    result = disjoint([box("small", (0, 1), (0, 1), (0, 2)), box("large", (2, 5), (2, 5), (2, 5))], GRID)
    assert result.names == ("large", "small")
    assert result.labels[0, 0, 0] == 2
    assert result.warnings == ()


def test_what_is_lost_is_told() -> None:
    whole, left, right = (
        box(name, (0, 1), (0, 1), side) for name, side in zip("abc", [(0, 4), (0, 2), (2, 4)], strict=True)
    )
    result = disjoint([whole, left, right, empty_region("d", None)], GRID)
    assert result.names == ("b", "c")
    assert result.warnings == (
        "region 'd' has no voxel on the PET; left out",
        "regions overlap in 4 voxels; the smaller region keeps them",
        "region 'a' lies wholly under smaller ones; left out",
    )


@pytest.mark.parametrize(
    ("file_ml", "told"), [(None, False), (8 * 0.06, False), (9.5 * 0.06, False), (12 * 0.06, True)]
)
def test_changed_volume_is_told(file_ml: float | None, told: bool) -> None:
    result = disjoint([box("a", (0, 2), (0, 2), (0, 2), file_ml=file_ml)], GRID)
    assert bool(result.warnings) is told


def test_too_many_regions() -> None:
    one = box("a", (0, 1), (0, 1), (0, 1))
    with pytest.raises(UsageError, match="mask has 65536 regions"):
        disjoint([one] * 65536, GRID)
