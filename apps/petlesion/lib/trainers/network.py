"""The training task `unet`: a round of retraining in the process that MONAI Label starts for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from lib.configs.options import whole_number
from lib.retraining.rounds import Rounds
from lib.scoring.entropy import EntropyScoring
from petlesion.training.config import Tracking
from petlesion.training.retrain import RetrainStatus, Stage
from petlesion.training.retrain_config import RetrainConfig

LOG_SECONDS = 5.0
"""Time between two lines on the progress; `GET /train/` shows the last 20."""
_DEVICES = ("auto", "cpu", "cuda")
_NO_TRACKING = "none"
_INTERRUPTED = "interrupted"
"""Stage of a round that no process is at: it was stopped, or killed for want of memory, and could not say so."""

logger = logging.getLogger(__name__)


class NetworkTrainer(TrainTask):  # type: ignore[misc]
    """Learns from the submitted labels, judges the result, and puts it into service if it is better.

    Parameters
    ----------
    rounds
        Of this server.
    scoring
        Scores unlabelled cases by a version that went into service, for the strategy `entropy`.
    """

    def __init__(self, rounds: Rounds, scoring: EntropyScoring) -> None:
        super().__init__("retrain on submitted labels; a new version goes into service only if it is better")
        self._rounds, self._scoring = rounds, scoring

    def config(self) -> dict[str, Any]:
        """Options, with those of the settings as defaults; a list is a drop-down whose first entry is the default."""
        given = {name: self._rounds.settings.options.get(name, {}) for name in ("run", "optimiser")}
        run = RetrainConfig.model_validate({"models": ".", "cases": ".", **given}).run
        return {
            "steps": run.steps,
            "max_minutes": run.max_minutes or 0,
            "device": [run.device, *(device for device in _DEVICES if device != run.device)],
            "tracking": [_NO_TRACKING, *Tracking],
            "from_scratch": bool(self._rounds.settings.options.get("from_scratch", False)),
        }

    def stats(self) -> dict[str, Any]:
        """How far the newest round is, or what came of it; how many labels wait for the next; the model in service."""
        at_work, status = self._rounds.at_work(), self._rounds.status()
        stopped = self._rounds.interrupted() and not at_work
        return {
            "waiting_labels": self._rounds.waiting(),
            "retrain_after": self._rounds.settings.after,
            "published_version": self._rounds.published(),
            **({} if status is None else asdict(status)),
            **({"stage": _INTERRUPTED, "seconds_left": None} if stopped else {}),
        }

    def __call__(self, request: Mapping[str, Any], _datastore: Datastore) -> dict[str, Any]:
        """Carry out a round, or go on with one that was interrupted.

        Parameters
        ----------
        request
            Options as in `config`; `new_labels`: do nothing with fewer labels waiting.
        """
        status = self._rounds.carry_out(
            self._changes(request),
            at_least=whole_number(request.get("new_labels", 0), "new_labels"),
            watch=_Lines(),
            tell=logger.info,
        )
        if status is None:
            logger.info("too few new labels: nothing to do")
            return {}
        logger.info(status.describe())
        if status.stage is Stage.PUBLISHED and self._rounds.settings.score_cases:
            self._scoring.score(self._rounds.settings.score_cases)
        return asdict(status)

    def _changes(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Options of the request that are not the defaults."""
        defaults = self.config()
        run: dict[str, Any] = {}
        if "steps" in request:
            run["steps"] = whole_number(request["steps"], "steps")
        if "max_minutes" in request:
            run["max_minutes"] = whole_number(request["max_minutes"], "max_minutes") or None
        if isinstance(request.get("device"), str):
            run["device"] = request["device"]
        tracking = request.get("tracking")
        if isinstance(tracking, str) and tracking not in ("", _NO_TRACKING):
            run["tracking"] = [tracking]
        changes: dict[str, Any] = {"run": run} if run else {}
        if "from_scratch" in request:
            changes["from_scratch"] = str(request["from_scratch"]).lower() in ("true", "1")
        elif defaults["from_scratch"]:
            changes["from_scratch"] = True
        return changes


class _Lines:
    """Logs the progress: every stage, and a line now and then."""

    def __init__(self) -> None:
        self._stage: Stage | None = None
        self._logged = 0.0

    def __call__(self, status: RetrainStatus) -> None:
        now = time.monotonic()
        if status.stage is not self._stage or now - self._logged >= LOG_SECONDS:
            self._stage, self._logged = status.stage, now
            logger.info(status.describe())
