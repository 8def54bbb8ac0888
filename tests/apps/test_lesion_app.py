"""What the app does beside MONAI Label: batches that go on, results that do not stay."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotated_folder import write_studies
from annotation_server import REPOSITORY
from main import PetLesion
from monailabel.interfaces.app import MONAILabelApp

from petlesion.errors import UsageError


@pytest.fixture
def app(tmp_path: Path) -> PetLesion:
    write_studies(tmp_path / "images", 1)
    return PetLesion(str(REPOSITORY / "apps" / "petlesion"), str(tmp_path / "images"), {"models": str(tmp_path)})


def test_image_that_is_gone_is_left_out_of_a_batch(app: PetLesion) -> None:
    options = {"model": "fixed", "images": ["gone", "image-0"], "max_workers": 1}
    results = app.batch_infer(options)
    assert results["gone"] == {}
    assert results["image-0"]["label"] == "image-0"
    with pytest.raises(UsageError, match="suv"):
        app.batch_infer({**options, "suv": -1})


def test_results_that_an_earlier_server_did_not_send_go(app: PetLesion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MONAILabelApp, "on_init_complete", lambda _: None)
    monkeypatch.setattr(app, "_watch", lambda: None)
    request = {"model": "fixed", "image": "image-0"}
    left = Path(app.infer(request)["file"])
    assert left.is_file()
    app.on_init_complete()
    assert not left.exists()
    assert Path(app.infer(request)["file"]).is_file()
