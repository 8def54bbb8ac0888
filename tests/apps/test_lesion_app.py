"""What the app does beside MONAI Label: results that do not stay."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotated_folder import write_studies
from annotation_server import REPOSITORY
from main import PetLesion
from monailabel.interfaces.app import MONAILabelApp


@pytest.fixture
def app(tmp_path: Path) -> PetLesion:
    write_studies(tmp_path / "images", 1)
    return PetLesion(str(REPOSITORY / "apps" / "petlesion"), str(tmp_path / "images"), {"models": str(tmp_path)})


def test_results_that_an_earlier_server_did_not_send_go(app: PetLesion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MONAILabelApp, "on_init_complete", lambda _: None)
    monkeypatch.setattr(app, "_watch", lambda: None)
    request = {"model": "fixed", "image": "image-0"}
    left = Path(app.infer(request)["file"])
    assert left.is_file()
    app.on_init_complete()
    assert not left.exists()
    assert Path(app.infer(request)["file"]).is_file()
