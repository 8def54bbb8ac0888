"""Scores of cases, kept in a file that several processes may change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from petlesion.durable import exclusive, write_durably


class Scores:
    """Scores of one method by image id.

    Parameters
    ----------
    path
        JSON file; its folder is created where missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> dict[str, dict[str, Any]]:
        """All scores; a damaged file counts as none, because scores can be computed again."""
        try:
            values = json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def write(self, image_id: str, score: Mapping[str, Any]) -> None:
        """Set the score of a case."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(self._path.with_suffix(".lock")):
            write_durably(self._path, json.dumps({**self.read(), image_id: dict(score)}).encode())
