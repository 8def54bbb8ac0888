"""Images that clients upload for a session: they go when they expire, also those sent to an earlier server."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotation_server import PET_GRID, REPOSITORY
from main import PetLesion
from monailabel.config import settings

from petlesion.nifti import write_image
from petlesion.volume import Volume

HOUR_S = 3600


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PetLesion:
    monkeypatch.setattr(settings, "MONAI_LABEL_SESSION_PATH", str(tmp_path / "sessions"))
    monkeypatch.setattr(settings, "MONAI_LABEL_SESSION_EXPIRY", HOUR_S)
    return PetLesion(str(REPOSITORY / "apps" / "petlesion"), str(tmp_path / "images"), {"models": str(tmp_path)})


def write_session(folder: Path, record: Any, age_s: float = 0) -> None:
    folder.mkdir(parents=True)
    if record is not None:
        (folder / "meta.info").write_text(record if isinstance(record, str) else json.dumps(record))
    os.utime(folder, (time.time() - age_s,) * 2)


def test_sessions_of_an_earlier_server_expire(app: PetLesion, tmp_path: Path) -> None:
    folder, now = tmp_path / "sessions", time.time()
    app.cleanup_sessions()  # there is no folder yet
    write_session(folder / "used", {"last_access_ts": now - 100, "expiry": HOUR_S}, age_s=9 * HOUR_S)
    write_session(folder / "expired", {"last_access_ts": now - 100, "expiry": 60})
    for name, record in (("bare", None), ("empty", ""), ("damaged", "{"), ("other", [])):
        write_session(folder / f"{name}-old", record, age_s=2 * HOUR_S)
        write_session(folder / f"{name}-new", record)
    (folder / "file").write_text("")
    app.cleanup_sessions()
    left = {"used", "file", "bare-new", "empty-new", "damaged-new", "other-new"}
    assert {path.name for path in folder.iterdir()} == left


def test_upload_is_open_to_models_as_long_as_its_session(
    app: PetLesion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    sent = tmp_path / "sent.nii.gz"
    write_image(Volume(np.ones(PET_GRID.shape, np.float32), PET_GRID), sent)
    name, session = app.sessions().add_session(str(sent))
    app.sessions().clear()  # as after a restart
    assert app.infer({"model": "fixed", "image": session.image})["params"]["lesions"] == []
    app.cleanup_sessions()
    assert app.sessions().get_session(name) is not None
    record = json.loads(Path(session.path, "meta.info").read_text()) | {"last_access_ts": 0}
    Path(session.path, "meta.info").write_text(json.dumps(record))
    app.cleanup_sessions()
    assert app.sessions().get_session(name) is None
    assert not Path(session.path).exists()
