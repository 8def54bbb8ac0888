"""What is known of a DICOMweb server that does not answer: its PETs, and which of them were fetched whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lib.datastore.cases import Case
from petlesion.durable import write_durably
from petlesion.tracers import TracerName

logger = logging.getLogger(__name__)


class ArchiveNotes:
    """Notes that survive a restart; several processes may keep the same.

    Parameters
    ----------
    folder
        Created where missing: `cases.json`, and a file a PET in `fetched`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def cases(self) -> tuple[Case, ...]:
        """What was offered last; a damaged file says nothing."""
        try:
            rows = json.loads((self._folder / "cases.json").read_text(encoding="utf-8"))
            return tuple(Case(**{**row, "tracer": TracerName(row["tracer"])}) for row in rows)
        except (OSError, ValueError, TypeError, KeyError):
            return ()

    def keep_cases(self, cases: Sequence[Case]) -> None:
        """Note what is offered."""
        self._keep(self._folder / "cases.json", [asdict(case) for case in cases])

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
