"""The number that decides which checkpoint is best, and what stands beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from petlesion.evaluate.voxels import VoxelScores, voxel_scores
from petlesion.networks.inputs import tracer_code
from petlesion.networks.model_config import LESION, ModelConfig
from petlesion.networks.sampling import Sampled
from petlesion.segment.options import NetworkOptions
from petlesion.segment.windows import Subject, WindowPlan, predict
from petlesion.tracers import TracerName
from petlesion.training.cache import CachedCase
from petlesion.training.split import position
from petlesion.volume import Grid

if TYPE_CHECKING:
    import torch
    from torch import nn

FREE_VOLUME_ML = 1.0
"""A case without lesions scores 1 with nothing predicted, and 1/2 with this volume."""
AIR_SUV = 0.05
"""Windows that nowhere exceed this are left out."""


@dataclass(frozen=True)
class Validation:
    """Result of a validation.

    Attributes
    ----------
    score
        Mean over cases of `case_score`.
    dice
        Mean Dice of the cases with lesions; None without such cases.
    false_positive_ml, false_negative_ml
        Means over all cases, as autoPET defines the volumes.
    cases
        How many.
    """

    score: float
    dice: float | None
    false_positive_ml: float
    false_negative_ml: float
    cases: int


def case_score(scores: VoxelScores) -> float:
    """Dice where there are lesions; without, FREE_VOLUME_ML / (FREE_VOLUME_ML + predicted volume).

    Dice is not defined for a case without lesions and without prediction; the second rule is Dice with that volume
    added to numerator and denominator. Cohorts of controls alone thus have a score too.

    Examples
    --------
    >>> case_score(VoxelScores(0.0, 0.0, None, 0.0, 0.0, 3.0, 3.0, 0.0))
    0.25
    """
    if scores.truth_ml > 0:
        return scores.dice or 0.0
    return FREE_VOLUME_ML / (FREE_VOLUME_ML + scores.predicted_ml)


def validate_case(network: nn.Module, config: ModelConfig, case: CachedCase, device: torch.device) -> VoxelScores:
    """Run a network over a cached case, on its own grid and without post-processing."""
    suv = case.array("suv").astype(np.float32)
    grid = Grid.from_geometry(case.shape, config.grid_spacing_mm)
    sampled = Sampled(suv, case.array("ct").astype(np.float32), grid)
    subject = Subject(sampled, suv > AIR_SUV, case.threshold, tracer_code(case.tracer))
    windows = WindowPlan(config.patch, NetworkOptions().overlap, batch=4 if device.type == "cuda" else 1)
    found = predict([network], config, subject, windows, device)
    return voxel_scores(found.margin > 0, case.array("classes") == config.classes.index(LESION), grid.voxel_ml)


def validation_sample(cases: Sequence[CachedCase], most: int) -> list[CachedCase]:
    """At most so many cases, every tracer in turn, so that a few cases stand for all.

    Within a tracer the order is that of `training.split.position`: a sample keeps its cases when cases are added.
    """
    by_tracer: dict[TracerName, list[CachedCase]] = {}
    for case in sorted(cases, key=lambda case: (position(case.patient_id), case.name)):
        by_tracer.setdefault(case.tracer, []).append(case)
    rounds = zip_longest(*(by_tracer[tracer] for tracer in sorted(by_tracer)))
    in_turn = [case for one_of_each in rounds for case in one_of_each if case is not None]
    return in_turn[:most]


def summarise(scores: Sequence[VoxelScores]) -> Validation:
    """Means over cases.

    Raises
    ------
    ValueError
        Without cases.
    """
    if not scores:
        raise ValueError("a validation needs at least one case")
    dices = [score.dice or 0.0 for score in scores if score.truth_ml > 0]
    return Validation(
        score=float(np.mean([case_score(score) for score in scores])),
        dice=float(np.mean(dices)) if dices else None,
        false_positive_ml=float(np.mean([score.false_positive_ml for score in scores])),
        false_negative_ml=float(np.mean([score.false_negative_ml for score in scores])),
        cases=len(scores),
    )
