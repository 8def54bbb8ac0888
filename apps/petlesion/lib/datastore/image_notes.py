"""What clients and strategies note about an image, such as who was given it last: a JSON file an image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib.datastore.image_ids import checked_id
from petlesion.durable import exclusive, write_durably

MAX_BYTES = 2**20
"""Longest notes of an image."""


class ImageNotes:
    """Notes by image id; processes and threads may update them at once, key by key.

    Parameters
    ----------
    folder
        Created where missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, image_id: str) -> dict[str, Any]:
        """The notes of an image; empty where there are none, or their file is damaged."""
        try:
            notes = json.loads(self._path(image_id).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def update(self, image_id: str, values: Mapping[str, Any]) -> None:
        """Replace the notes under the keys of `values`, and leave others as they are.

        Raises
        ------
        ValueError
            If they are too long, or no JSON.
        """
        path = self._path(image_id)
        self.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self.folder / ".lock"):
            text = json.dumps(self.read(image_id) | dict(values), allow_nan=False)
            if len(text) > MAX_BYTES:
                raise ValueError(f"notes of {len(text)} characters")
            write_durably(path, text.encode())

    def move(self, image_id: str, folder: Path) -> None:
        """Move the notes of an image that is removed to a folder, so that the next one of its id has none."""
        path = self._path(image_id)
        if path.is_file():
            with exclusive(self.folder / ".lock"):
                shutil.move(path, folder / f"notes-{path.name}")

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{checked_id(image_id)}.json"
