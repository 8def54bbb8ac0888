"""Scoring method `dice`: how far pre-labels, or the network in service, are from the final labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod

from lib.datastore.labels import FINAL, LabelVersion
from lib.datastore.stores import Stores
from petlesion.errors import PetlesionError, UsageError
from petlesion.evaluate.lesions import as_instances, match_lesions
from petlesion.evaluate.voxels import voxel_scores
from petlesion.networks.registry import Registry
from petlesion.segment.methods import segment
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.study import PetCt
from petlesion.training.cases import patient_name
from petlesion.training.split import position

SCORED = (MethodName.UNET, MethodName.PERCIST, MethodName.FIXED, MethodName.RELATIVE, MethodName.GRADIENT)
"""Methods that can be scored."""

logger = logging.getLogger(__name__)


def scored_method(request: Mapping[str, Any]) -> MethodName:
    """The method that a request wants to be scored.

    Raises
    ------
    UsageError
        If it is none of those that can be.
    """
    name = str(request.get("predict") or SCORED[0])
    if name not in SCORED:
        raise UsageError(f"predict is {name[:40]!r}", remedy=f"give one of {', '.join(SCORED)}")
    return MethodName(name)


class AgreementScoring(ScoringMethod):  # type: ignore[misc]
    """Dice, lesion F1, false-positive and false-negative volume against the final labels.

    Parameters
    ----------
    stores
        Images and labels.
    models
        Folder of models.
    """

    def __init__(self, stores: Stores, models: Path) -> None:
        super().__init__("Dice, lesion F1, false-positive and false-negative volume against final labels")
        self._stores, self._models = stores, models

    def __call__(self, request: Mapping[str, Any], _datastore: Datastore) -> dict[str, Any]:
        """Score every case with a final label.

        Parameters
        ----------
        request
            `predict`: method that is scored, one of `SCORED`, the default first.

        Returns
        -------
        dict
            Means, and a row a case. With `unet`, cases below the held-out share of `position` were not trained on.
        """
        method = scored_method(request)
        options = SegmentOptions(method=method)
        if method is MethodName.UNET:
            version = Registry.of(self._models, "unet").current()
            options = SegmentOptions(method=method, models=(version.folder,), model_sha256=version.sha256)
        rows = {}
        for label in self._stores.labels.snapshot(FINAL).labels:
            logger.info("dice: %s", label.image_id)
            try:
                rows[label.image_id] = self._row(label, options)
            except PetlesionError as error:
                logger.warning("dice: %s is left out: %s", label.image_id, error)
        names = ("dice", "lesion_f1", "false_positive_ml", "false_negative_ml")
        defined = {name: [row[name] for row in rows.values() if row[name] is not None] for name in names}
        means = {name: fmean(values) if values else None for name, values in defined.items()}
        return {"method": method.value, "means": means, "cases": rows}

    def _row(self, label: LabelVersion, options: SegmentOptions) -> dict[str, Any]:
        study: PetCt = self._stores.cases.load(label.image_id)
        truth = label.read_on(study.pet.grid).array
        found = segment(study, options).labels
        scores = voxel_scores(found > 0, truth > 0, study.pet.grid.voxel_ml)
        numbered = label.info.get("instances") is True
        return {
            "dice": scores.dice,
            "lesion_f1": match_lesions(found, as_instances(truth, numbered=numbered)).f1,
            "false_positive_ml": scores.false_positive_ml,
            "false_negative_ml": scores.false_negative_ml,
            "position": position(patient_name(self._stores.cases.case(label.image_id).patient_id)),
        }
