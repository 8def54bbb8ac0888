"""Versions of a model: immutable folders, the one in service, and the way back.

    <name>/v0001/    model.pt, config.yaml, card.json as of `networks.model_folder`, and gate.json: how it was judged
    <name>/v0002/
    <name>/current.json    every change of the version in service; the last one counts

A folder with a model of its own and no versions is version 0 of itself. `current.json` is the only file that ever
changes, and it is replaced whole: whatever moment a process is killed at, the old or the new version is in service.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from petlesion.durable import exclusive, sync_folder, write_durably
from petlesion.errors import ModelError, OutputError, UsageError, reason
from petlesion.networks.model_folder import FILES, model_identity, replace_folder

CURRENT, GATE, LOCK = "current.json", "gate.json", ".lock"
MODEL_SHA256 = "model.sha256"
"""Name of the file that an exported model carries its identity in."""
_EXPORTED = frozenset((*FILES, GATE, MODEL_SHA256))
"""All that an export writes, and that the next one replaces."""
_STAGING = ".version-"
_VERSION = re.compile(r"v(\d{4,6})")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_MAX_RECORD_BYTES: Final = 2**24


class ChangeKind(StrEnum):
    """Why another version went into service."""

    FOUND = "found"
    """A model without versions, in service before anything was published."""
    PUBLISH = "publish"
    """The gate accepted it."""
    PROMOTE = "promote"
    """A person chose it."""
    ROLLBACK = "rollback"
    """A person went back to it."""


class Change(BaseModel):
    """A version that went into service.

    Attributes
    ----------
    version, sha256
        Which, and its identity.
    time
        UTC.
    kind, reason
        Why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    time: datetime
    kind: ChangeKind
    reason: str = ""


class _History(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["petlesion-registry/1"] = "petlesion-registry/1"
    changes: tuple[Change, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Version:
    """A model of the registry.

    Attributes
    ----------
    number
        0 for a model without versions.
    folder
        Of the model; give it to `load_model` together with `sha256`.
    sha256
        Identity that was recorded when it was added.
    gate
        How it was judged; empty for version 0.
    """

    number: int
    folder: Path
    sha256: str
    gate: Mapping[str, Any]

    @property
    def name(self) -> str:
        """As of its folder."""
        return f"v{self.number:04d}"

    @property
    def identity(self) -> dict[str, Any]:
        """As the gate record of a version names its champion, the one that it was judged against."""
        return {"version": self.number, "sha256": self.sha256}

    def verify(self) -> None:
        """Check that no byte has changed.

        Raises
        ------
        ModelError
            If a file is missing or the identity is another.
        """
        found = model_identity(self.folder)
        if found != self.sha256:
            raise ModelError(
                f"{self.name} has SHA-256 {found}, not {self.sha256} as recorded",
                where=self.folder,
                remedy="restore its files from a backup, or promote another version",
            )


@dataclass(frozen=True)
class Registry:
    """The versions of one model.

    MLflow's model registry was considered: it needs a database and knows neither this gate nor a verified identity.

    Attributes
    ----------
    folder
        Named as the model.
    """

    folder: Path

    @classmethod
    def of(cls, models: Path, name: str) -> Registry:
        """The registry of a named model.

        Raises
        ------
        UsageError
            If the name is none that a model can have.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(f"model name {name[:80]!r} is not valid", remedy="use lower-case letters, digits, . _ -")
        return cls(models / name)

    def versions(self) -> tuple[Version, ...]:
        """All versions, the oldest first.

        Raises
        ------
        ModelError
            If a record cannot be read.
        """
        found = [version for version in [self._bare()] if version is not None]
        numbers = sorted(int(match[1]) for path in self._children() if (match := _VERSION.fullmatch(path.name)))
        return (*found, *(self._recorded(number) for number in numbers))

    def version(self, number: int) -> Version:
        """One version.

        Raises
        ------
        ModelError
            If it does not exist or its record cannot be read.
        """
        found = self._bare() if number == 0 else None
        if found is not None:
            return found
        if number < 1 or not self._folder(number).is_dir():
            raise ModelError(
                f"version {number} does not exist", where=self.folder, remedy="see petlesion model list for those there"
            )
        return self._recorded(number)

    def current(self) -> Version:
        """The version in service.

        Raises
        ------
        ModelError
            If there is none, or the record cannot be read.
        """
        found = self.find_current()
        if found is None:
            raise ModelError(
                "no model is in service", where=self.folder, remedy="train one, or copy a model folder there"
            )
        return found

    def find_current(self) -> Version | None:
        """The version in service, if any; cheap enough to ask before every use.

        Raises
        ------
        ModelError
            If the record cannot be read, or nothing was published and there is a part of a model: no other method may
            take the place of a network that was copied in part.
        """
        history = self.history()
        if history:
            return self.version(history[-1].version)
        missing = self._missing()
        if missing and len(missing) < len(FILES):
            raise ModelError(
                f"model is incomplete: {', '.join(missing)} missing", where=self.folder, remedy="copy the model again"
            )
        return self._bare()

    def history(self) -> tuple[Change, ...]:
        """All changes, the oldest first; none before something was published.

        Raises
        ------
        ModelError
            If the record cannot be read.
        """
        path = self.folder / CURRENT
        if not path.is_file():
            return ()
        try:
            return _History.model_validate_json(_read(path)).changes
        except ValidationError as error:
            raise ModelError(
                "record of the versions is damaged", where=path, remedy="restore it from a backup"
            ) from error

    def add(self, model: Path, gate: Mapping[str, Any]) -> Version:
        """Keep a model as the next version; the version in service stays.

        Adding a model that is there already, as a run does that was killed after it, changes nothing.

        Parameters
        ----------
        model
            Model folder.
        gate
            How it was judged: JSON values, among them `accepted` and `verdict`.

        Raises
        ------
        ModelError
            If the model is not complete.
        OutputError
            If it cannot be written.
        """
        sha256 = model_identity(model)
        with self._locked():
            versions = self.versions()
            known = next((version for version in versions if version.sha256 == sha256 and version.number), None)
            if known is not None:
                return known
            number = max((version.number for version in versions), default=0) + 1
            self._store(model, number, {**gate, "model_sha256": sha256})
            added = self._recorded(number)
        added.verify()
        return added

    def publish(self, number: int) -> Change:
        """Put a version into service that the gate accepted; nothing happens where it is in service.

        Raises
        ------
        UsageError
            If the gate refused it, or its champion is no longer in service: the verdict then says nothing.
        ModelError
            If its files have changed.
        """
        return self._switch(number, ChangeKind.PUBLISH, str(self.version(number).gate.get("verdict", "")))

    def promote(self, number: int, reason: str = "", *, despite_gate: bool = False) -> Change:
        """Put any version into service.

        Parameters
        ----------
        number
            Of the version.
        reason
            For the record.
        despite_gate
            Also one that the gate refused.

        Raises
        ------
        UsageError
            If the gate refused it and `despite_gate` is False.
        ModelError
            If it does not exist or its files have changed.
        """
        return self._switch(number, ChangeKind.PROMOTE, reason, despite_gate=despite_gate)

    def rollback(self, reason: str = "") -> Change:
        """Go back to the version that was in service before the present one; doing it again goes further back.

        Raises
        ------
        ModelError
            If there is no earlier version, or its files have changed.
        """
        trail = _trail(self.history())
        if len(trail) < 2:
            raise ModelError(
                "no earlier version was in service",
                where=self.folder,
                remedy="see petlesion model list, then promote one",
            )
        return self._switch(trail[-2], ChangeKind.ROLLBACK, reason, despite_gate=True)

    def export(self, out: Path) -> Version:
        """Copy the version in service, with its gate record and `MODEL_SHA256`, to `out/<name>`.

        Raises
        ------
        ModelError
            If there is none, or its files have changed.
        OutputError
            If it cannot be written, or something other than an exported model is there, such as versions; what was
            there then stands.
        """
        version = self.current()
        version.verify()
        target = out / self.folder.name
        there = {path.name for path in target.iterdir()} if target.exists() else set()
        if there and (MODEL_SHA256 not in there or there - _EXPORTED):
            raise OutputError(
                "folder holds something other than an exported model", where=target, remedy="give another folder"
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=out))
            try:
                _copy(version.folder, staging, version.gate)
                (staging / MODEL_SHA256).write_text(f"{version.sha256}\n", encoding="ascii")
                replace_folder(staging, target)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        except OSError as error:
            raise _not_written(out, error) from error
        return version

    def _switch(self, number: int, kind: ChangeKind, reason: str, *, despite_gate: bool = False) -> Change:
        with self._locked():
            history = self.history()
            version = self.version(number)
            if history and history[-1].version == number:
                return history[-1]
            if version.gate.get("accepted") is False and not despite_gate:
                raise UsageError(
                    f"the gate refused version {number} ({version.gate.get('verdict', 'no reason given')})",
                    remedy="give --despite-gate to put it into service all the same",
                )
            if kind is ChangeKind.PUBLISH and not self._judged_against_current(version):
                raise UsageError(
                    "the model in service changed while this one was judged",
                    remedy=f"promote version {number} by hand if it is better",
                )
            version.verify()
            bare = self._bare()
            if not history and bare is not None and number != 0:
                history = (_change(bare, ChangeKind.FOUND, ""),)
            change = _change(version, kind, reason)
            record = _History(changes=(*history, change)).model_dump_json(indent=1)
            try:
                write_durably(self.folder / CURRENT, record.encode())
            except OSError as error:
                raise _not_written(self.folder, error) from error
            return change

    def _judged_against_current(self, version: Version) -> bool:
        current = self.find_current()
        identity = None if current is None else current.identity
        return bool(version.gate.get("champion", identity) == identity)

    def _store(self, model: Path, number: int, gate: Mapping[str, Any]) -> None:
        try:
            for left in self.folder.glob(f"{_STAGING}*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.folder))
            try:
                _copy(model, staging, gate)
                staging.rename(self._folder(number))
            finally:
                shutil.rmtree(staging, ignore_errors=True)
            sync_folder(self.folder)
        except OSError as error:
            raise _not_written(self.folder, error) from error

    def _bare(self) -> Version | None:
        """Version 0; its identity is what was found when the first version was published, or the model exported."""
        if self._missing():
            return None
        recorded = next((change.sha256 for change in self.history() if change.version == 0), None)
        return Version(0, self.folder, recorded or self._exported() or model_identity(self.folder), {})

    def _missing(self) -> list[str]:
        return [name for name in FILES if not (self.folder / name).is_file()]

    def _exported(self) -> str | None:
        path = self.folder / MODEL_SHA256
        return _read(path).decode("ascii", "replace").strip()[:64] if path.is_file() else None

    def _recorded(self, number: int) -> Version:
        folder = self._folder(number)
        gate = self._gate(folder)
        return Version(number, folder, str(gate.get("model_sha256", "")), gate)

    def _gate(self, folder: Path) -> dict[str, Any]:
        path = folder / GATE
        try:
            return {**json.loads(_read(path))}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ModelError(f"{GATE} cannot be read", where=folder, remedy="restore it from a backup") from error

    def _folder(self, number: int) -> Path:
        return self.folder / f"v{number:04d}"

    def _children(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir()] if self.folder.is_dir() else []

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(exclusive(self.folder / LOCK))
            except OSError as error:
                raise _not_written(self.folder, error) from error
            yield


def registries(models: Path) -> tuple[Registry, ...]:
    """Every model of a folder of models."""
    folders = sorted(path for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    found = (Registry(folder) for folder in folders if _NAME.fullmatch(folder.name))
    return tuple(registry for registry in found if registry.versions())


def _trail(history: tuple[Change, ...]) -> list[int]:
    """Versions in service one after the other, without those that were rolled back."""
    trail: list[int] = []
    for change in history:
        if change.kind is ChangeKind.ROLLBACK and change.version in trail:
            while trail[-1] != change.version:
                trail.pop()
        else:
            trail.append(change.version)
    return trail


def _change(version: Version, kind: ChangeKind, reason: str) -> Change:
    return Change(
        version=version.number,
        sha256=version.sha256,
        time=datetime.now(UTC).replace(microsecond=0),
        kind=kind,
        reason=reason,
    )


def _copy(model: Path, target: Path, gate: Mapping[str, Any]) -> None:
    """Copy the files of a model and write its gate record, all read-only and on the disk."""
    target.chmod(0o755)
    for name in FILES:
        shutil.copyfile(model / name, target / name)
    (target / GATE).write_text(json.dumps(gate, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    for name in (*FILES, GATE):
        path = target / name
        path.chmod(0o444)
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
    sync_folder(target)


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MAX_RECORD_BYTES:
        raise ModelError("record is too large", where=path, remedy="restore it from a backup")
    return path.read_bytes()


def _not_written(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"model cannot be written ({reason(error)})", where=folder, remedy="make the folder writable, or room"
    )
