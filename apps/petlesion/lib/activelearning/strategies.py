"""Strategies `first`, `random`, `entropy` and `foreground_random`."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from lib.activelearning.reservations import Reservations
from lib.datastore.labels import FINAL
from lib.datastore.stores import Stores
from lib.scoring.entropy import EntropyScoring

Choice = tuple[str, str]
"""Image id, and why."""
Choose = Callable[[Sequence[str], Mapping[str, Mapping[str, Any]], random.Random], Choice]
"""Picks one of some image ids, given the scores of those that the network in service has scored."""


def choose_first(free: Sequence[str], _scores: Mapping[str, Mapping[str, Any]], _rng: random.Random) -> Choice:
    """The first by id."""
    return min(free), "first by id"


def choose_random(free: Sequence[str], _scores: Mapping[str, Mapping[str, Any]], rng: random.Random) -> Choice:
    """Any, all with the same chance."""
    return rng.choice(sorted(free)), f"at random among {len(free)}"


def choose_entropy(free: Sequence[str], scores: Mapping[str, Mapping[str, Any]], rng: random.Random) -> Choice:
    """The one that the network is least sure of."""
    scored = [name for name in sorted(free) if name in scores]
    if not scored:
        return _without_scores(free, rng)
    name = max(scored, key=lambda one: float(scores[one]["entropy"]))
    return name, f"highest entropy, {float(scores[name]['entropy']):.3f}, of {len(scored)} scored cases"


def choose_foreground_random(
    free: Sequence[str], scores: Mapping[str, Mapping[str, Any]], rng: random.Random
) -> Choice:
    """Any in which the network finds a lesion.

    Foreground-aware random selection was not reliably beaten by any strategy in nnActive (arXiv 2511.19183); here it
    chooses studies rather than patches.
    """
    scored = [name for name in sorted(free) if name in scores]
    if not scored:
        return _without_scores(free, rng)
    with_lesions = [name for name in scored if scores[name]["lesions"]]
    if not with_lesions:
        return rng.choice(scored), "at random: the network finds lesions in no scored case"
    return rng.choice(with_lesions), f"at random among {len(with_lesions)} cases in which the network finds lesions"


def _without_scores(free: Sequence[str], rng: random.Random) -> Choice:
    return rng.choice(sorted(free)), "at random: no case is scored by the model in service (POST /scoring/entropy)"


STRATEGIES: Mapping[str, tuple[Choose, str]] = {
    "random": (choose_random, "any case without a final label"),
    "first": (choose_first, "the first case without a final label"),
    "entropy": (choose_entropy, "the case that the network is least sure of"),
    "foreground_random": (choose_foreground_random, "any case in which the network finds a lesion"),
}
"""All strategies by name."""


class NextCase(Strategy):  # type: ignore[misc]
    """A strategy, over the cases without a final label that nobody else is annotating.

    Parameters
    ----------
    name
        Of `STRATEGIES`.
    stores
        Images and labels.
    scoring
        Gives the scores.
    reservations
        Who has which case.
    rng
        Of the random choices.
    """

    def __init__(
        self,
        name: str,
        stores: Stores,
        scoring: EntropyScoring,
        reservations: Reservations,
        rng: random.Random | None = None,
    ) -> None:
        self._choose, description = STRATEGIES[name]
        super().__init__(description)
        self._stores, self._scoring, self._reservations = stores, scoring, reservations
        self._rng = rng or random.Random()  # noqa: S311 - no secret

    def __call__(self, request: Mapping[str, Any], _datastore: Datastore) -> dict[str, Any] | None:
        """The next case.

        Parameters
        ----------
        request
            `client_id`: who asks.

        Returns
        -------
        dict or None
            `id`, `reason`, and until when it is reserved (`reserved_until`, seconds since 1970); None where all cases
            are labelled or in the hands of others.
        """
        labelled = {label.image_id for label in self._stores.labels.snapshot(FINAL).labels}
        candidates = [case.image_id for case in self._stores.cases.cases() if case.image_id not in labelled]
        reason = ""

        def choose(free: Sequence[str]) -> str:
            nonlocal reason
            name, reason = self._choose(free, self._scoring.valid(), self._rng)
            return name

        taken = self._reservations.take(candidates, str(request.get("client_id") or ""), choose)
        if taken is None:
            return None
        name, again = taken
        held = self._reservations.current().get(name)  # none where reservations have no length
        return {
            "id": name,
            "reason": "handed out to this client before; nothing else is free" if again else reason,
            "reserved_until": 0 if held is None else round(held.until),
        }


def all_strategies(stores: Stores, scoring: EntropyScoring, reservations: Reservations) -> dict[str, NextCase]:
    """The strategies by name."""
    return {name: NextCase(name, stores, scoring, reservations) for name in STRATEGIES}
