"""Scoring method `entropy`: how unsure the network in service is of each case without a final label."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.configs.options import whole_number
from lib.datastore.labels import FINAL
from lib.datastore.stores import Stores
from lib.scoring.scores import Scores
from petlesion.errors import PetlesionError
from petlesion.networks.model_folder import load_model
from petlesion.networks.registry import Registry
from petlesion.segment.network import segment_by_network
from petlesion.segment.options import NetworkOptions
from petlesion.segment.uncertainty import study_uncertainty

logger = logging.getLogger(__name__)


def most_cases(request: Mapping[str, Any]) -> int:
    """How many cases a request wants to be scored at most; 0: all."""
    return whole_number(request.get("max_cases") or 0, "max_cases")


class EntropyScoring(ScoringMethod):  # type: ignore[misc]
    """Predictive entropy of the foreground, by lesion (`petlesion.segment.uncertainty`).

    Parameters
    ----------
    stores
        Images and labels.
    models
        Folder of models.
    scores
        Takes the results; the strategies read them.
    """

    def __init__(self, stores: Stores, models: Path, scores: Scores) -> None:
        super().__init__(
            "predictive entropy of the network's foreground, for the strategies entropy, foreground_random"
        )
        self._stores, self._models, self.scores = stores, models, scores

    def model_sha256(self) -> str | None:
        """Identity of the version in service, which scores must be of; None where there is none."""
        version = Registry.of(self._models, "unet").find_current()
        return None if version is None else version.sha256

    def valid(self) -> dict[str, dict[str, Any]]:
        """Scores by the version in service, of images as they are: one that was removed may have a namesake."""
        sha256 = self.model_sha256()
        revisions = {case.image_id: case.revision for case in self._stores.cases.cases()}
        return {
            name: score
            for name, score in self.scores.read().items()
            if score.get("model_sha256") == sha256 and score.get("revision") == revisions.get(name, "")
        }

    def __call__(self, request: Mapping[str, Any], _datastore: Datastore) -> dict[str, Any]:
        """Score cases; `max_cases` of the request limits how many."""
        return self.score(most_cases(request))

    def score(self, max_cases: int = 0) -> dict[str, Any]:
        """Score the cases without a final label that the version in service has not scored.

        Parameters
        ----------
        max_cases
            At most so many, drawn at random; 0: all.

        Returns
        -------
        dict
            Version, and the scores of all cases by image id.
        """
        version = Registry.of(self._models, "unet").current()
        model = load_model(version.folder, version.sha256)
        labelled = {label.image_id for label in self._stores.labels.snapshot(FINAL).labels}
        known = self.valid()
        cases = [case for case in self._stores.cases.cases() if case.image_id not in {*labelled, *known}]
        if max_cases and len(cases) > max_cases:
            cases = random.sample(cases, max_cases)
        for number, case in enumerate(cases, start=1):
            logger.info("entropy: case %d of %d", number, len(cases))
            try:
                found = segment_by_network(self._stores.cases.load(case.image_id), [model], NetworkOptions(maps=True))
            except PetlesionError as error:
                logger.warning("entropy: %s is left out: %s", case.image_id, error)
                continue
            unsure = study_uncertainty(found)
            score = {"entropy": unsure.entropy, "lesions": unsure.lesions}
            self.scores.write(case.image_id, {"model_sha256": model.sha256, "revision": case.revision, **score})
        return {"model": version.name, "scores": self.valid()}
