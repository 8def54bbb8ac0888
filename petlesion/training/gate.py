"""Whether a new model may take the place of the one in service: both on the same held-out patients.

The challenger is accepted if it is nowhere worse by more than a margin and somewhere better, for all patients together
and for every tracer. Evidence is a paired bootstrap by patient: the same patients are drawn for both models, and all
scans of a patient together. Where the cases are too few to tell, the model in service stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from petlesion.errors import UsageError
from petlesion.evaluate.resampling import RESAMPLES, Interval, patient_interval
from petlesion.evaluate.voxels import VoxelScores
from petlesion.tracers import TracerName

SCHEMA: Final = "petlesion-gate/1"
LEVEL = 0.90
"""Of the two-sided intervals, whose upper ends are one-sided 95 % bounds."""
MIN_PATIENTS = 5
"""Fewer held-out patients decide nothing: by luck alone four of four improve in 6 % of cases, five of five in 3 %."""
EVERYONE = "all"
"""Name of the group of all patients."""


class Measure(StrEnum):
    """What is compared; of each, less is better."""

    DICE = "dice"
    """1 - mean Dice, over scans with lesions."""
    FALSE_POSITIVE = "false_positive_ml"
    """Mean volume of predicted components that touch no lesion (autoPET), mL."""
    FALSE_NEGATIVE = "false_negative_ml"
    """Mean volume of lesions that no prediction touches (autoPET), mL."""
    TTV_BIAS = "ttv_bias_ml"
    """Absolute value of the mean of predicted minus true total tumour volume, mL."""


_TITLES: Final = {
    Measure.DICE: "Dice",
    Measure.FALSE_POSITIVE: "false-positive volume",
    Measure.FALSE_NEGATIVE: "false-negative volume",
    Measure.TTV_BIAS: "bias of the total volume",
}


_Margin = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Margins:
    """How much worse than the model in service is still as good.

    Attributes
    ----------
    dice
        A choice: less than can be seen in a contour.
    false_positive_ml
        Mean a patient, mL: a ball of 12 mm, which an annotator removes with one click.
    false_negative_ml
        Mean a patient, mL: a ball of 10 mm; half of the other, because what is missed is not seen.
    ttv_bias_ml
        Mean, mL.
    share
        Margins of volumes are at least this share of the group's mean true volume: 1 mL means little beside 500 mL.
    """

    dice: _Margin = 0.02
    false_positive_ml: _Margin = 1.0
    false_negative_ml: _Margin = 0.5
    ttv_bias_ml: _Margin = 1.0
    share: Annotated[float, Field(ge=0)] = 0.02

    def of(self, measure: Measure, mean_truth_ml: float) -> float:
        """Margin of a measure in a group of patients."""
        absolute = float(getattr(self, measure.value))
        return absolute if measure is Measure.DICE else max(absolute, self.share * mean_truth_ml)


@dataclass(frozen=True)
class HeldOutCase:
    """One scan that neither model was trained on, and how well both do on it.

    Attributes
    ----------
    case
        Name.
    patient_id
        Scans of a patient are drawn together. Not part of the record.
    tracer
        Of the scan.
    champion
        Of the model in service; None where there is none.
    challenger
        Of the new model.
    """

    case: str
    patient_id: str
    tracer: TracerName
    champion: VoxelScores | None
    challenger: VoxelScores


@dataclass(frozen=True)
class Comparison:
    """One measure in one group of patients.

    Attributes
    ----------
    group
        A tracer, or `EVERYONE`.
    measure, patients
        What was compared, on how many.
    champion, challenger
        Values of the measure as a reader expects them: Dice itself, volumes in mL.
    worsening
        How much worse the challenger is, with its interval; negative means better. The interval is None with fewer than
        the least number of patients, where the estimate alone counts.
    margin
        Largest worsening that is still as good.
    """

    group: str
    measure: Measure
    patients: int
    champion: float
    challenger: float
    worsening: float
    lower: float | None
    upper: float | None
    margin: float

    @property
    def worse(self) -> bool:
        """Whether a worsening by more than the margin cannot be ruled out."""
        return (self.worsening if self.upper is None else self.upper) > self.margin

    @property
    def better(self) -> bool:
        """Whether the improvement is more than chance."""
        return self.upper is not None and self.upper < 0

    def describe(self) -> str:
        """In words, for a verdict."""
        where = "" if self.group == EVERYONE else f" of {self.group}"
        unit = "" if self.measure is Measure.DICE else " mL"
        text = f"{_TITLES[self.measure]}{where} {self.champion:.3g} → {self.challenger:.3g}{unit}"
        if self.worse and self.upper is not None:
            return f"{text}, may be worse by {self.upper:.2g}, more than the margin of {self.margin:.2g}"
        if self.worse:
            return f"{text}, worse by more than the margin of {self.margin:.2g}"
        return text


@dataclass(frozen=True)
class Decision:
    """The outcome.

    Attributes
    ----------
    accepted
        Whether the challenger may go into service.
    verdict
        Why, in one line.
    patients, cases
        How many, and both models' scores on each.
    comparisons
        Every measure in every group.
    margins, min_patients
        The rule.
    """

    accepted: bool
    verdict: str
    patients: int
    cases: tuple[HeldOutCase, ...]
    comparisons: tuple[Comparison, ...]
    margins: Margins
    min_patients: int

    def record(self) -> dict[str, Any]:
        """JSON values, without ids of patients."""
        cases = [asdict(case) for case in self.cases]
        for case in cases:
            del case["patient_id"]
        return {
            "schema": SCHEMA,
            "accepted": self.accepted,
            "verdict": self.verdict,
            "patients": self.patients,
            "comparisons": [{**asdict(one), "worse": one.worse, "better": one.better} for one in self.comparisons],
            "cases": cases,
            "margins": asdict(self.margins),
            "min_patients": self.min_patients,
            "level": LEVEL,
            "resamples": RESAMPLES,
        }


def judge(
    cases: Sequence[HeldOutCase], margins: Margins | None = None, *, min_patients: int = MIN_PATIENTS
) -> Decision:
    """Decide whether the challenger takes the champion's place.

    - With fewer than `min_patients` held-out patients: refused, whatever the scores. Dice is judged by those with
      lesions alone.
    - Refused if, for all patients or for one tracer, a measure may be worse by more than its margin: if the upper end
      of its interval is above it. A tracer with fewer than `min_patients` patients is judged by the estimates alone.
    - Accepted if then one measure is better in one group: if its interval lies below zero.
    - Without a champion: accepted if the interval of Dice lies above zero.

    Equal models are never accepted. With four measures a false "better" is likelier than 5 %, but only models that are
    not worse can profit from it.

    Parameters
    ----------
    cases
        Held-out scans with the scores of both models, or of the challenger alone in all of them.
    margins
        How much worse is still as good.
    min_patients
        Fewest patients that intervals are computed from.

    Raises
    ------
    UsageError
        If some cases have scores of a champion and others have none, or `min_patients` is below 2.
    """
    margins = margins or Margins()
    if min_patients < 2:
        raise UsageError(
            f"{min_patients} patients cannot show a difference", remedy="ask for 2 held-out patients or more"
        )
    if len({case.champion is None for case in cases}) > 1:
        raise UsageError("the champion was not scored on every case", remedy="score both models on the same cases")
    patients = len({case.patient_id for case in cases})
    comparisons: tuple[Comparison, ...] = ()
    if patients < min_patients:
        few = f"{patients} held-out patient{'' if patients == 1 else 's'}"
        accepted, why = False, f"{few}, {min_patients} are needed: label more patients, or give a fixed test cohort"
    elif cases[0].champion is None:
        accepted, why = _first(cases, min_patients)
    else:
        comparisons = _compare_all(cases, margins, min_patients)
        accepted, why = _decide(comparisons)
    verdict = f"{'accepted' if accepted else 'refused'}: {why}"
    if patients >= min_patients:
        verdict += f", on {patients} held-out patients"
    return Decision(accepted, verdict, patients, tuple(cases), comparisons, margins, min_patients)


def _decide(comparisons: Sequence[Comparison]) -> tuple[bool, str]:
    worse = [one for one in comparisons if one.worse]
    if worse:
        worst = max(worse, key=lambda one: (one.worsening if one.upper is None else one.upper) / one.margin)
        return False, worst.describe()
    better = [one for one in comparisons if one.better]
    if not better:
        return False, "no measure is better by more than chance"
    return True, f"{'; '.join(one.describe() for one in better[:3])}; none worse by more than its margin"


def _first(cases: Sequence[HeldOutCase], min_patients: int) -> tuple[bool, str]:
    """A model where none is in service need only find something."""
    sums = _sums(cases, Measure.DICE)
    if len(sums.scans) < min_patients:
        return False, f"{len(sums.scans)} of the patients have lesions, {min_patients} are needed"
    dice = patient_interval(
        lambda drawn: 1 - _value(sums.challenger[drawn], sums.scans[drawn]), len(sums.scans), vectorised=True
    )
    if np.isfinite(dice.lower) and dice.lower > 0:
        return True, f"the first model, Dice {dice.estimate:.3g} ({dice.lower:.3g} to {dice.upper:.3g})"
    return False, "the first model finds none of the lesions in some of the patients"


@dataclass(frozen=True, eq=False)
class _Sums:
    """Per patient: sums of a measure over the scans that it is defined for, and their number, at least one."""

    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]
    scans: NDArray[np.float64]


def _compare_all(cases: Sequence[HeldOutCase], margins: Margins, min_patients: int) -> tuple[Comparison, ...]:
    groups = {EVERYONE: list(cases)}
    tracers = sorted({case.tracer for case in cases})
    if len(tracers) > 1:
        groups |= {tracer.value: [case for case in cases if case.tracer is tracer] for tracer in tracers}
    found = (
        _compare(name, group, measure, margins, min_patients) for name, group in groups.items() for measure in Measure
    )
    return tuple(one for one in found if one is not None)


def _compare(
    name: str, cases: Sequence[HeldOutCase], measure: Measure, margins: Margins, min_patients: int
) -> Comparison | None:
    """None where the measure is not defined: Dice of patients without lesions."""
    sums = _sums(cases, measure)
    if not len(sums.scans):
        return None

    def worsening(drawn: NDArray[np.intp]) -> NDArray[np.float64]:
        scans = sums.scans[drawn]
        return _value(sums.challenger[drawn], scans) - _value(sums.champion[drawn], scans)

    patients = np.arange(len(sums.scans))
    interval = None
    if len(patients) >= min_patients:
        interval = patient_interval(worsening, len(patients), vectorised=True, level=LEVEL)
    champion, challenger = (float(_value(values, sums.scans)) for values in (sums.champion, sums.challenger))
    shown = (1 - champion, 1 - challenger) if measure is Measure.DICE else (champion, challenger)
    return Comparison(
        group=name,
        measure=measure,
        patients=len(patients),
        champion=shown[0],
        challenger=shown[1],
        worsening=challenger - champion,
        lower=_bound(interval, upper=False),
        upper=_bound(interval, upper=True),
        margin=margins.of(measure, float(np.mean([case.challenger.truth_ml for case in cases]))),
    )


def _bound(interval: Interval | None, *, upper: bool) -> float | None:
    if interval is None:
        return None
    return interval.upper if upper else interval.lower


def _sums(cases: Sequence[HeldOutCase], measure: Measure) -> _Sums:
    patients = sorted({case.patient_id for case in cases})
    index = {patient: n for n, patient in enumerate(patients)}
    sums = _Sums(*(np.zeros(len(patients)) for _ in range(3)))
    for case in cases:
        if measure is Measure.DICE and not case.challenger.truth_ml > 0:
            continue
        n = index[case.patient_id]
        sums.scans[n] += 1
        sums.challenger[n] += _harm(case.challenger, measure)
        sums.champion[n] += 0.0 if case.champion is None else _harm(case.champion, measure)
    # whoever has no lesions tells nothing about Dice, and must not count for its interval
    kept = sums.scans > 0
    return _Sums(sums.champion[kept], sums.challenger[kept], sums.scans[kept])


def _harm(scores: VoxelScores, measure: Measure) -> float:
    match measure:
        case Measure.DICE:
            return 1 - (scores.dice or 0.0)
        case Measure.FALSE_POSITIVE:
            return scores.false_positive_ml
        case Measure.FALSE_NEGATIVE:
            return scores.false_negative_ml
        case Measure.TTV_BIAS:
            return scores.predicted_ml - scores.truth_ml


def _value(sums: NDArray[np.float64], scans: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute value of the mean over the last axis, NaN without scans; only the bias has a sign."""
    total = scans.sum(axis=-1)
    return np.asarray(np.abs(sums.sum(axis=-1)) / np.where(total > 0, total, np.nan))
