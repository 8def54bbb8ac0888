from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.tracers import TracerName
from petlesion.training.cache import CachedCase
from petlesion.training.validation import validation_sample

TRACERS = (TracerName.CU64_DOTATATE, TracerName.GA68_PSMA11, TracerName.F18_FDG)


def case(patient_id: str, tracer: TracerName) -> CachedCase:
    return CachedCase(patient_id, patient_id, tracer, 4.0, ("background", "lesion"), "", (8, 8, 8), Path(patient_id))


def cohort(*counts: int) -> list[CachedCase]:
    return [case(f"{tracer}-{n}", tracer) for tracer, count in zip(TRACERS, counts, strict=True) for n in range(count)]


def test_few_cases_stand_for_all_tracers() -> None:
    sample = validation_sample(cohort(30, 9, 5), 6)
    assert Counter(found.tracer for found in sample) == dict.fromkeys(TRACERS, 2)


def test_a_tracer_that_runs_out_leaves_its_turns_to_the_others() -> None:
    sample = validation_sample(cohort(30, 1, 0), 5)
    assert Counter(found.tracer for found in sample) == {TRACERS[0]: 4, TRACERS[1]: 1}


@given(st.lists(st.integers(0, 12), min_size=3, max_size=3), st.integers(1, 40), st.randoms())
def test_neither_order_nor_twins_matter(counts: list[int], most: int, random: object) -> None:
    cases = cohort(*counts)
    shuffled = cases.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    sample = validation_sample(cases, most)
    assert validation_sample(shuffled, most) == sample
    assert len({found.name for found in sample}) == len(sample) == min(most, sum(counts))
