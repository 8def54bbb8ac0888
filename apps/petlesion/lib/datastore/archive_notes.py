"""What is known of a DICOMweb server before it answers: its PETs, and which of them were fetched whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lib.datastore.cases import Case
from petlesion import __version__
from petlesion.durable import write_durably
from petlesion.tracers import TracerName

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pet:
    """A PET series as it was looked at.

    Attributes
    ----------
    count
        Its images, as QIDO counts them.
    revision
        Of its images and the CTs of its study.
    case
        None where it is no case.
    reason
        Why it is none, as the end of a sentence.
    """

    count: str
    revision: str
    case: Case | None = None
    reason: str = ""


class ArchiveNotes:
    """Notes that survive a restart; several processes may keep the same.

    Parameters
    ----------
    folder
        Created where missing: `pets.json`, and a file a PET in `fetched`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pets(self) -> dict[str, Pet]:
        """What was found last, by SeriesInstanceUID; a damaged file says nothing.

        Another version of this program may see it in another way: of its notes, cases count, to be looked at again.
        """
        try:
            note = json.loads((self._folder / "pets.json").read_text(encoding="utf-8"))
            version, pets = note["version"], {uid: _pet(row) for uid, row in note["pets"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}
        if version == __version__:
            return pets
        return {uid: Pet("", "", pet.case) for uid, pet in pets.items() if pet.case is not None}

    def keep_pets(self, pets: Mapping[str, Pet]) -> None:
        """Note what was found."""
        rows = {uid: asdict(pet) for uid, pet in pets.items()}
        self._keep(self._folder / "pets.json", {"version": __version__, "pets": rows})

    def fetched(self, case: Case) -> dict[str, list[str]]:
        """Series → images of a PET and its CTs, as they were fetched whole; none if not in this revision."""
        try:
            note = json.loads(self._of(case).read_text(encoding="utf-8"))
            return dict(note["series"]) if note["revision"] == case.revision else {}
        except (OSError, ValueError, TypeError, KeyError):
            return {}

    def keep_fetched(self, case: Case, series: Mapping[str, Sequence[str]]) -> None:
        """Note that all images of some series are there."""
        self._keep(self._of(case), {"revision": case.revision, "series": dict(series)})

    def _of(self, case: Case) -> Path:
        return self._folder / "fetched" / f"{case.image_id}.json"

    def _keep(self, path: Path, values: Any) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, json.dumps(values).encode())
        except OSError as error:  # images can be read all the same
            logger.warning("%s, for when the DICOMweb server is away, cannot be written: %s", path, error)


def _pet(row: Mapping[str, Any]) -> Pet:
    case = row["case"]
    return Pet(**{**row, "case": case and Case(**{**case, "tracer": TracerName(case["tracer"])})})
