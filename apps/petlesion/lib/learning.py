"""Everything that learns: retraining, strategies and scoring, over the same images, labels and models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lib.activelearning.reservations import RESERVED_MINUTES, Reservations
from lib.activelearning.strategies import NextCase, all_strategies
from lib.datastore.stores import Stores
from lib.retraining.rounds import Rounds
from lib.retraining.settings import retraining_settings
from lib.scoring.agreement import AgreementScoring
from lib.scoring.entropy import EntropyScoring
from lib.scoring.scores import Scores
from lib.trainers.network import NetworkTrainer
from petlesion.errors import UsageError

MODEL = "unet"
"""The model that is retrained."""


class Learning:
    """Tasks of the app that learn.

    Parameters
    ----------
    stores
        Images and labels.
    models
        Folder of models.
    conf
        `--conf` options: those of `lib.retraining.settings`, and `reserve_minutes`, how long a case that was handed out
        is not handed to another person (60).
    """

    def __init__(self, stores: Stores, models: Path, conf: Mapping[str, str]) -> None:
        settings = retraining_settings(conf, stores.labels.folder, models)
        self.rounds = Rounds(stores, models, settings)
        self._scoring = EntropyScoring(stores, models, Scores(settings.folder / "entropy.json"))
        self._agreement = AgreementScoring(stores, models)
        self.reservations = Reservations(settings.folder / "reservations.json", _minutes(conf))
        self.strategies: dict[str, NextCase] = all_strategies(stores, self._scoring, self.reservations)

    @property
    def trainers(self) -> dict[str, NetworkTrainer]:
        """Training tasks by model."""
        return {MODEL: NetworkTrainer(self.rounds, self._scoring)}

    @property
    def scoring_methods(self) -> dict[str, EntropyScoring | AgreementScoring]:
        """Scoring methods by name."""
        return {"dice": self._agreement, "entropy": self._scoring}

    def training_due(self) -> dict[str, int] | None:
        """Request for the training that is due; None where none is."""
        return {"new_labels": self.rounds.settings.after} if self.rounds.due() else None


def _minutes(conf: Mapping[str, str]) -> float:
    text = conf.get("reserve_minutes", str(RESERVED_MINUTES))
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes <= 60 * 24 * 30:
        raise UsageError(f"reserve_minutes is {text[:40]!r}", remedy="give a number of minutes, such as 60")
    return minutes
