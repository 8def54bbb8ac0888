"""Rounds of retraining: when one is due, its snapshot of labels, and carrying it out or going on with it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from lib.datastore.labels import LabelSnapshot, LabelVersion
from lib.datastore.stores import Stores
from lib.retraining.settings import RetrainingSettings
from lib.retraining.snapshot import write_cases
from petlesion.durable import exclusive, write_durably
from petlesion.errors import ModelError, UsageError
from petlesion.networks.registry import Registry
from petlesion.training.checkpoint import FILE as CHECKPOINT
from petlesion.training.config import read_yaml
from petlesion.training.loop import MODEL_FOLDER
from petlesion.training.retrain import (
    CONFIG_FILE,
    OUT,
    RetrainStatus,
    Stage,
    WatchStatus,
    note_stop,
    read_status,
    retrain,
)
from petlesion.training.retrain_config import RetrainConfig, parse_retrain_config, write_retrain_config

SNAPSHOT_FILE = "snapshot.json"
CASES_FILE = "cases.json"
"""Names of the cases that a round is trained on, or judges."""
_NAME = "unet"
_PREFIX = "round-"
_MOST_RESUMED = 2
"""A round that is killed a third time in a row will be killed again, and new labels should not wait for it."""


class Rounds:
    """All rounds of one server, in a folder; any process may ask, one at a time carries one out.

    Parameters
    ----------
    stores
        Images and labels.
    models
        Folder of models; `unet` is retrained.
    settings
        How.
    """

    def __init__(self, stores: Stores, models: Path, settings: RetrainingSettings) -> None:
        self._stores, self._models, self.settings = stores, models, settings

    def waiting(self) -> int:
        """Labels that no round has learned from: of new cases, or new versions."""
        newest = self._newest()
        known = set() if newest is None else {(row["image_id"], row["version"]) for row in _rows(newest)}
        return sum((label.image_id, label.version) not in known for label in self._stores.labels.snapshot().labels)

    def due(self) -> bool:
        """Whether enough labels are waiting."""
        return 0 < self.settings.after <= self.waiting()

    def interrupted(self) -> bool:
        """Whether a round was killed before it ended."""
        status = self.status()
        return self._newest() is not None and (
            status is None or not (status.stage.ended or status.stage is Stage.FAILED)
        )

    def at_work(self) -> bool:
        """Whether a process is at a round."""
        lock = self._lock
        if not lock.is_file():
            return False
        with exclusive(lock, wait=False) as free:
            return not free

    def note_stop(self) -> None:
        """Note that this process, which is at a round or waits for one, is about to end because it was told to."""
        newest = self._newest()
        if newest is not None:
            note_stop(newest)

    def status(self) -> RetrainStatus | None:
        """Of the newest round; None before it began to train."""
        newest = self._newest()
        return None if newest is None else read_status(newest)

    def published(self) -> int | None:
        """Number of the version in service; None where there is none, or its record is damaged, as each use says."""
        try:
            version = Registry.of(self._models, _NAME).find_current()
        except ModelError:
            return None
        return None if version is None else version.number

    def carry_out(
        self,
        changes: Mapping[str, Any],
        *,
        at_least: int = 0,
        watch: WatchStatus = lambda _: None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> RetrainStatus | None:
        """Go on with the round that was killed, or failed with these labels and options; else carry out a new one.

        Waits while another process is at one; that process may be what a killed server left.

        Parameters
        ----------
        changes
            Options of this round, on top of the settings.
        at_least
            Nothing is done with fewer labels waiting, unless a round was interrupted.
        watch, tell
            Told of the progress.

        Returns
        -------
        RetrainStatus
            How it ended; None where nothing was to be done.

        Raises
        ------
        PetlesionError
            As `retrain`; also without any label.
        """
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        with exclusive(self._lock, wait=False) as free:
            if free:
                return self._carry_out(changes, at_least, watch, tell)
        tell("another process is at a retraining: waiting for it to end")
        with exclusive(self._lock):
            return self._carry_out(changes, at_least, watch, tell)

    def _carry_out(
        self, changes: Mapping[str, Any], at_least: int, watch: WatchStatus, tell: Callable[[str], None]
    ) -> RetrainStatus | None:
        newest = self._newest()
        if newest is None or not self._goes_on(newest, changes, tell):
            if self.waiting() < at_least and not self.interrupted():
                return None
            newest = self._begin(changes)
        status = retrain(
            newest, watch=watch, prepare=partial(self._write_cases, newest, tell), most_resumed=_MOST_RESUMED
        )
        shutil.rmtree(newest / "cases", ignore_errors=True)
        return status

    def _write_cases(self, folder: Path, tell: Callable[[str], None]) -> None:
        rows = _rows(folder)
        tell(f"{folder.name}: {len(rows)} labels")
        labels = self._labels(folder)
        left_out = write_cases(self._stores, labels, folder / "cases", self._images, tell)
        there = {label.image_id for label in labels}
        gone = [row["image_id"] for row in rows if row["image_id"] not in there]
        left_out |= dict.fromkeys(gone, "its label was withdrawn, or is gone")
        if left_out:
            write_durably(folder / "left-out.json", json.dumps(left_out, indent=1).encode())
        _drop_training_of_others(folder)

    def _goes_on(self, folder: Path, changes: Mapping[str, Any], tell: Callable[[str], None]) -> bool:
        """Whether a round was killed, or would fail no better as a new one: with the same labels and options.

        A new one begins in place of a round that this version cannot read, or whose models lie elsewhere by now.
        """
        status = read_status(folder)
        if status is not None and status.stage.ended:
            return False
        try:
            config = parse_retrain_config(read_yaml(folder / CONFIG_FILE), folder / CONFIG_FILE)
        except UsageError as error:
            tell(f"{folder.name} cannot go on: {error}")
            return False
        if status is not None and status.stage is Stage.FAILED:
            return config == self._config(self._stores.labels.snapshot(), folder, changes)
        return config.models == self._models.resolve()

    def _begin(self, changes: Mapping[str, Any]) -> Path:
        """Take a snapshot; the round exists once both of its files do."""
        snapshot = self._stores.labels.snapshot()
        if not snapshot.labels:
            raise UsageError("no label was submitted yet", remedy="submit labels, then train")
        newest = self._newest()
        number = 1 if newest is None else int(newest.name.removeprefix(_PREFIX)) + 1
        folder = self.settings.folder / f"{_PREFIX}{number:04d}"
        staging = self.settings.folder / f".{folder.name}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        write_durably(staging / SNAPSHOT_FILE, _document(snapshot))
        write_retrain_config(self._config(snapshot, folder, changes), staging / CONFIG_FILE)
        staging.rename(folder)
        for older in self._folders():
            if older != folder:
                _drop_work(older)
        return folder

    def _config(self, snapshot: LabelSnapshot, folder: Path, changes: Mapping[str, Any]) -> RetrainConfig:
        data = {
            **self.settings.options,
            **{name: _over(self.settings.options.get(name), value) for name, value in changes.items()},
            "models": str(self._models.resolve()),
            "name": _NAME,
            "cases": str((folder / "cases").resolve()),
            "labels_sha256": snapshot.sha256,
        }
        return parse_retrain_config(data, self.settings.options_file or folder / CONFIG_FILE)

    def _labels(self, folder: Path) -> list[LabelVersion]:
        """Label versions of a round, but for those that were withdrawn since: of an image removed, for instance."""
        labels = []
        for row in _rows(folder):
            found = self._stores.labels.versions(row["image_id"])
            withdrawn = any(one.withdrawn and one.version > row["version"] for one in found)
            labels += [one for one in found if one.version == row["version"] and not withdrawn]
        return labels

    def _newest(self) -> Path | None:
        return max(self._folders(), default=None)

    def _folders(self) -> list[Path]:
        folders = self.settings.folder.glob(f"{_PREFIX}*") if self.settings.folder.is_dir() else ()
        # Not a copy that somebody has made of one: it would be the newest.
        return [folder for folder in folders if folder.name.removeprefix(_PREFIX).isdecimal()]

    @property
    def _lock(self) -> Path:
        return self.settings.folder / ".lock"

    @property
    def _images(self) -> Path:
        return self.settings.folder / "images"


def _drop_work(folder: Path) -> None:
    """Remove what a round that is not gone on with has worked with; records stay, and its model is a version by now."""
    for name in ("cases", "training", "cache"):
        shutil.rmtree(folder / name, ignore_errors=True)
    _drop_trained(folder)


def _drop_training_of_others(folder: Path) -> None:
    """Let training begin anew where it was of other cases: a label was withdrawn since, or an image can be read now."""
    cases = json.dumps(sorted(path.name for path in (folder / "cases").iterdir()))
    record = folder / CASES_FILE
    if record.is_file() and record.read_text(encoding="utf-8") != cases:
        _drop_trained(folder)
    write_durably(record, cases.encode())


def _drop_trained(folder: Path) -> None:
    shutil.rmtree(folder / OUT / MODEL_FOLDER, ignore_errors=True)
    (folder / OUT / CHECKPOINT).unlink(missing_ok=True)


def _rows(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / SNAPSHOT_FILE).read_text(encoding="utf-8"))["labels"])


def _document(snapshot: LabelSnapshot) -> bytes:
    rows = [
        {
            "image_id": label.image_id,
            "version": label.version,
            "sha256": label.sha256,
            "annotator": label.annotator,
            "time": label.time.isoformat(),
        }
        for label in snapshot.labels
    ]
    return json.dumps({"sha256": snapshot.sha256, "labels": rows}, indent=1).encode()


def _over(below: Any, value: Any) -> Any:
    return {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
