"""Who is annotating which case: a case that was handed out is not handed to a second person for some time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from petlesion.durable import exclusive, write_durably

RESERVED_MINUTES = 60.0
"""A whole-body study takes an expert less than this. The viewer prolongs it while somebody works."""


@dataclass(frozen=True)
class Reservation:
    """A case in somebody's hands.

    Attributes
    ----------
    client
        Who; empty for clients that do not say.
    until
        Seconds since 1970.
    """

    client: str
    until: float


class Reservations:
    """Reservations of all cases, in a file that survives restarts and that several processes share.

    Parameters
    ----------
    path
        JSON file; its folder is created where missing.
    minutes
        How long a reservation holds.
    clock
        Seconds since 1970.
    """

    def __init__(self, path: Path, minutes: float = RESERVED_MINUTES, clock: Callable[[], float] = time.time) -> None:
        self._path, self._seconds, self._clock = path, minutes * 60, clock

    def current(self) -> dict[str, Reservation]:
        """Reservations that hold, by image id; a damaged file holds none."""
        try:
            rows = dict(json.loads(self._path.read_text(encoding="utf-8")))
            found = {name: Reservation(str(row["client"]), float(row["until"])) for name, row in rows.items()}
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return {}
        now = self._clock()
        # Those that are to last far longer than any were made before the clock was set back.
        return {name: one for name, one in found.items() if now < one.until <= now + 2 * self._seconds}

    def take(
        self, candidates: Sequence[str], client: str, choose: Callable[[Sequence[str]], str]
    ) -> tuple[str, bool] | None:
        """Choose a case that nobody else has, and reserve it; two who ask at once get different ones.

        Parameters
        ----------
        candidates
            Image ids.
        client
            Who asks.
        choose
            Picks one of the free candidates.

        Returns
        -------
        tuple or None
            Image id, and whether the same client had it already, which happens once nothing else is free. None where
            all candidates are in the hands of others.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self._path.with_suffix(".lock")):
            held = self.current()
            free = [name for name in candidates if name not in held]
            own = sorted(
                (held[name].until, name) for name in candidates if name in held and held[name].client == client
            )
            if not free and not own:
                return None
            chosen = choose(free) if free else own[0][1]
            self._write({**held, chosen: Reservation(client, self._clock() + self._seconds)})
            return chosen, not free

    def release(self, image_id: str) -> None:
        """End a reservation: the case was submitted, or given back."""
        if self._path.is_file():
            with exclusive(self._path.with_suffix(".lock")):
                self._write({name: one for name, one in self.current().items() if name != image_id})

    def _write(self, reservations: Mapping[str, Reservation]) -> None:
        rows = {name: {"client": one.client, "until": one.until} for name, one in reservations.items()}
        write_durably(self._path, json.dumps(rows).encode())
