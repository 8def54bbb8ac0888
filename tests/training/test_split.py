from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("yaml", reason="needs PyYAML (pip install petlesion[network])")

from petlesion.training.config import SplitConfig
from petlesion.training.split import position, validates

IDS = [f"patient-{n}" for n in range(4000)]


def test_positions_never_change() -> None:
    # a change of these numbers would move patients of published models between training and validation
    assert [round(position(name), 6) for name in ("STS_001", "STS_002", "")] == [0.667079, 0.983093, 0.741077]


@given(st.text(max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_keeps_who_validated(patient_id: str, first: float, second: float) -> None:
    small, large = sorted((first, second))
    if validates(patient_id, SplitConfig(validation=small)):
        assert validates(patient_id, SplitConfig(validation=large))


@given(st.text(max_size=30), st.integers(2, 10))
def test_every_patient_validates_in_exactly_one_fold(patient_id: str, folds: int) -> None:
    assert sum(validates(patient_id, SplitConfig(fold=fold, folds=folds)) for fold in range(folds)) == 1


def test_shares_are_met() -> None:
    assert not any(validates(name, SplitConfig(validation=0.0)) for name in IDS)
    assert all(validates(name, SplitConfig(validation=1.0)) for name in IDS)
    assert abs(np.mean([validates(name, SplitConfig(validation=0.15)) for name in IDS]) - 0.15) < 0.02
    sizes = [sum(validates(name, SplitConfig(fold=fold)) for name in IDS) for fold in range(5)]
    assert max(sizes) < 1.15 * min(sizes)
