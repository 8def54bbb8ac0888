"""Labels of one moment as a cohort."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_folder import annotate, open_folder, write_studies
from lib.datastore.dicomweb import ArchiveError
from lib.retraining.snapshot import write_cases

from petlesion.errors import GeometryError


def test_images_that_cannot_be_read_are_left_out_and_a_server_that_is_away_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_studies(tmp_path / "studies", 3)
    stores = open_folder(tmp_path / "studies")
    annotate(stores, tmp_path / "studies", range(3))
    labels, cases, images = stores.labels.snapshot().labels, tmp_path / "cases", tmp_path / "images"
    source = stores.cases.source
    load = source.load

    def failing(error: Exception) -> None:
        def fail(case: object) -> object:
            if getattr(case, "image_id", "") == "image-1":
                raise error
            return load(case)

        monkeypatch.setattr(source, "load", fail)

    failing(ArchiveError("the DICOMweb server does not answer", remedy="start it"))
    with pytest.raises(ArchiveError):
        write_cases(stores, labels, cases, images)
    failing(GeometryError("a slice is missing", remedy="fetch it"))
    assert list(write_cases(stores, labels, cases, images)) == ["image-1"]
    monkeypatch.undo()
    assert write_cases(stores, labels, cases, images) == {}
    assert len(list(cases.glob("*/lesions.nii.gz"))) == 3
