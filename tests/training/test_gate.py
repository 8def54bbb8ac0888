from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlesion.errors import UsageError
from petlesion.evaluate.voxels import VoxelScores
from petlesion.tracers import TracerName
from petlesion.training.gate import EVERYONE, Decision, HeldOutCase, Margins, Measure, judge

FDG, PSMA = TracerName.F18_FDG, TracerName.GA68_PSMA11


def scores(
    dice: float, false_positive: float = 0.0, false_negative: float = 0.0, predicted: float = 20.0, truth: float = 20.0
) -> VoxelScores:
    return VoxelScores(dice, dice / (2 - dice), dice, dice, truth, predicted, false_positive, false_negative)


def case(n: int, champion: VoxelScores | None, challenger: VoxelScores, tracer: TracerName = FDG) -> HeldOutCase:
    return HeldOutCase(f"case-{n}", f"patient-{n}", tracer, champion, challenger)


def noisy(seed: int, champion: float, challenger: float, n: int = 12, tracer: TracerName = FDG) -> list[HeldOutCase]:
    """Patients of differing difficulty, the same for both models."""
    rng = np.random.default_rng(seed)
    result = []
    for number in range(n):
        ease = rng.normal(0, 0.1)
        both = [float(np.clip(dice + ease + rng.normal(0, 0.02), 0, 1)) for dice in (champion, challenger)]
        result.append(case(number, scores(both[0]), scores(both[1]), tracer))
    return result


_SCORES = st.builds(
    scores,
    dice=st.floats(0, 1),
    false_positive=st.floats(0, 50),
    false_negative=st.floats(0, 20),
    predicted=st.floats(0, 100),
)
_CASES = st.lists(st.tuples(_SCORES, _SCORES, st.sampled_from([FDG, PSMA])), min_size=5, max_size=10).map(
    lambda rows: [case(n, one, other, tracer) for n, (one, other, tracer) in enumerate(rows)]
)


@given(st.lists(st.tuples(_SCORES, st.sampled_from([FDG, PSMA])), max_size=12))
def test_identical_models_are_never_better(rows: list[tuple[VoxelScores, TracerName]]) -> None:
    decision = judge([case(n, one, one, tracer) for n, (one, tracer) in enumerate(rows)])
    assert not decision.accepted
    assert not any(one.better or one.worse for one in decision.comparisons)


def improved(cases: list[HeldOutCase]) -> list[HeldOutCase]:
    """Challengers that differ from their champions in a Dice of 1; accepted unless the champions have that already."""
    return [replace(one, challenger=replace(one.champion, dice=1.0)) for one in cases if one.champion]


@given(_CASES)
def test_the_reverse_of_an_accepted_exchange_is_refused(cases: list[HeldOutCase]) -> None:
    better = improved(cases)
    assert judge(better).accepted or any((one.champion.dice or 0) > 0.9 for one in better if one.champion)
    turned = [replace(one, champion=one.challenger, challenger=one.champion) for one in better]
    assert not judge(turned).accepted


@given(_CASES, st.integers(0, 4), st.floats(0, 1))
def test_a_better_challenger_is_not_refused_where_a_worse_one_was_accepted(
    cases: list[HeldOutCase], which: int, gain: float
) -> None:
    """More Dice and less false volume in one case never turns acceptance into refusal."""
    if not judge(cases).accepted:
        cases = improved(cases)
    before = judge(cases)
    old = cases[which].challenger
    better = replace(
        old,
        dice=(old.dice or 0) + gain * (1 - (old.dice or 0)),
        false_positive_ml=old.false_positive_ml * (1 - gain),
        false_negative_ml=old.false_negative_ml * (1 - gain),
    )
    after = judge([replace(one, challenger=better) if n == which else one for n, one in enumerate(cases)])
    assert after.accepted or not before.accepted


@given(_CASES)
def test_the_order_of_cases_and_names_of_patients_decide_nothing(cases: list[HeldOutCase]) -> None:
    assert judge(list(reversed(cases))).comparisons == judge(cases).comparisons


def test_accepts_an_improvement_and_says_which() -> None:
    decision = judge(noisy(1, 0.5, 0.65))
    assert decision.accepted
    assert decision.verdict.startswith("accepted: Dice 0.49 → 0.642")
    assert "12 held-out patients" in decision.verdict
    (dice,) = [one for one in decision.comparisons if one.measure is Measure.DICE]
    assert dice.better
    assert dice.lower is not None
    assert dice.lower < dice.worsening < 0


@pytest.mark.parametrize("seed", range(5))
def test_refuses_what_differs_by_noise_alone(seed: int) -> None:
    assert not judge(noisy(seed, 0.6, 0.6, n=30)).accepted


def test_refuses_a_poisoned_model_by_every_measure() -> None:
    good = [scores(0.7) for _ in range(8)]
    for poisoned, measure in (
        (scores(0.1), "Dice"),
        (scores(0.9, false_positive=30), "false-positive volume"),
        (scores(0.9, false_negative=8), "false-negative volume"),
        (scores(0.9, predicted=60), "bias of the total volume"),
    ):
        decision = judge([case(n, one, poisoned) for n, one in enumerate(good)])
        assert not decision.accepted
        assert decision.verdict.startswith(f"refused: {measure}")


def test_one_tracer_that_gets_worse_refuses_all() -> None:
    better = noisy(1, 0.5, 0.8, n=20)
    worse = [replace(one, patient_id=f"psma-{one.case}") for one in noisy(2, 0.6, 0.5, n=6, tracer=PSMA)]
    assert judge(better).accepted
    decision = judge([*better, *worse])
    assert not decision.accepted
    assert "of ga68-psma11" in decision.verdict
    few = judge([*better, *worse[:2]])  # too few for an interval: the estimate counts
    assert not few.accepted
    assert {one.upper for one in few.comparisons if one.group == PSMA} == {None}
    assert {one.group for one in few.comparisons} == {EVERYONE, FDG, PSMA}


def test_too_few_patients_decide_nothing() -> None:
    rows = [case(n, scores(0.1), scores(0.9)) for n in range(4)]
    decision = judge(rows)
    assert (decision.accepted, decision.patients) == (False, 4)
    assert "4 held-out patients, 5 are needed" in decision.verdict
    assert judge([*rows, case(4, scores(0.1), scores(0.9))]).accepted
    assert judge(rows, min_patients=4).accepted
    assert "0 held-out patients" in judge([]).verdict
    scans = [replace(one, patient_id="the same") for one in rows]
    assert "1 held-out patient," in judge([*scans, *scans]).verdict


def test_uncertainty_refuses_where_the_estimate_alone_would_accept() -> None:
    rows = [case(n, scores(0.5), scores(0.9 if n else 0.1)) for n in range(6)]
    decision = judge(rows)
    (dice,) = [one for one in decision.comparisons if one.measure is Measure.DICE]
    assert dice.worsening < 0
    assert not decision.accepted


def test_scans_of_a_patient_are_one_observation() -> None:
    rows = [case(n, scores(0.5), scores(0.6 if n % 2 else 0.55)) for n in range(40)]
    few = [replace(one, patient_id=f"patient-{n % 5}") for n, one in enumerate(rows)]
    wide, narrow = (judge(cases).comparisons[0] for cases in (few, rows))
    assert (wide.patients, narrow.patients) == (5, 40)


def test_controls_count_in_false_volume_alone() -> None:
    empty = VoxelScores(None, None, None, None, 0.0, 0.0, 0.0, 0.0)
    noise = replace(empty, dice=0.0, predicted_ml=9.0, false_positive_ml=9.0)
    decision = judge([case(n, noise, empty) for n in range(6)])
    assert decision.accepted
    assert not [one for one in decision.comparisons if one.measure is Measure.DICE]
    assert not judge([case(n, empty, noise) for n in range(6)]).accepted


def test_one_patient_with_lesions_among_controls_shows_no_improvement() -> None:
    nothing = scores(1.0, predicted=0.0, truth=0.0)
    controls = [case(n, nothing, nothing) for n in range(1, 8)]
    decision = judge([case(0, scores(0.500), scores(0.501)), *controls])
    assert not decision.accepted
    dice = next(one for one in decision.comparisons if one.measure is Measure.DICE)
    assert (dice.patients, dice.lower, dice.upper) == (1, None, None)
    first = judge([case(0, None, scores(0.5)), *(case(n, None, nothing) for n in range(1, 8))])
    assert first.verdict == "refused: 1 of the patients have lesions, 5 are needed, on 8 held-out patients"


def test_the_first_model_must_find_something() -> None:
    def first(dice: float) -> Decision:
        return judge([case(n, None, scores(dice)) for n in range(6)])

    assert first(0.3).accepted
    assert not first(0.0).accepted
    with pytest.raises(UsageError, match="not scored on every case"):
        judge([case(0, None, scores(0.1)), case(1, scores(0.1), scores(0.1))])
    with pytest.raises(UsageError, match="1 patients cannot"):
        judge([], min_patients=1)


def test_margins_grow_with_the_disease() -> None:
    margins = Margins()
    assert margins.of(Measure.FALSE_POSITIVE, 10.0) == 1.0
    assert margins.of(Measure.FALSE_POSITIVE, 500.0) == 10.0
    assert margins.of(Measure.DICE, 500.0) == 0.02


def test_the_record_is_json_without_patients() -> None:
    text = json.dumps(judge(noisy(1, 0.5, 0.65)).record(), allow_nan=False)
    record = json.loads(text)
    assert record["accepted"] is True
    assert record["cases"][0]["challenger"]["truth_ml"] == 20.0
    assert record["comparisons"][0]["better"] is True
    assert "patient-" not in text
