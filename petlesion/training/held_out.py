"""Both models on cases that neither was trained on, run as annotators and the deployed application run them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from petlesion.evaluate.voxels import VoxelScores, voxel_scores
from petlesion.networks.model_folder import Model
from petlesion.progress import Progress, silent
from petlesion.reader import read_study
from petlesion.segment.network import segment_by_network
from petlesion.segment.options import NetworkOptions
from petlesion.segment.reference import find_reference
from petlesion.training.cases import Case, lesion_mask
from petlesion.training.gate import HeldOutCase


def score_held_out(
    cases: Sequence[Case],
    champion: Model | None,
    challenger: Model,
    options: NetworkOptions | None = None,
    *,
    progress: Progress = silent,
) -> tuple[HeldOutCase, ...]:
    """Segment every case with both models and compare with its label, on the grid of its PET.

    Parameters
    ----------
    cases
        From `find_cases`.
    champion
        The model in service; None where there is none.
    challenger
        The new one.
    options
        Of inference, the same for both.
    progress
        Told how many cases are done.

    Raises
    ------
    PetlesionError
        If a case cannot be read or segmented.
    """
    results: list[HeldOutCase] = []
    progress(0, len(cases))
    for case in cases:
        scores = _score(case, [challenger] if champion is None else [challenger, champion], options)
        before = None if champion is None else scores[1]
        results.append(HeldOutCase(case.name, case.patient_id, case.tracer, before, scores[0]))
        progress(len(results), len(cases))
    return tuple(results)


def trained_on(cards: Iterable[Mapping[str, Any]], key: str) -> frozenset[str]:
    """`name` or `sha256` of all cases that the models with these cards were trained on; hashes of ancestors' too."""
    found: set[str] = set()
    for card in cards:
        found.update(str(row.get(key)) for row in dict(card.get("data", {})).get("training", ()))
        if key == "sha256":
            for ancestor in card.get("ancestors", ()):
                found.update(dict(ancestor.get("data", {})).get("training_sha256") or ())
    return frozenset(found)


def _score(case: Case, models: Sequence[Model], options: NetworkOptions | None) -> list[VoxelScores]:
    study = read_study(case.folder, tracer=case.tracer)
    truth = lesion_mask(case, study)
    reference, _ = find_reference(study)
    found = (segment_by_network(study, [model], options, reference=reference) for model in models)
    return [voxel_scores(result.lesions.labels > 0, truth, study.pet.grid.voxel_ml) for result in found]
