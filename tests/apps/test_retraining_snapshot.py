"""Labels of one moment as a cohort."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from annotated_folder import annotate, open_folder, write_studies
from lib.datastore.dicomweb import ArchiveError
from lib.datastore.stores import Stores
from lib.retraining.snapshot import case_name, write_cases

from petlesion.errors import GeometryError
from petlesion.nifti import read_labels
from petlesion.training.cases import find_cases
from petlesion.training.config import CohortConfig
from petlesion.training.retrain import _parted
from petlesion.volume import Grid


def annotated(folder: Path, count: int) -> Stores:
    """Stores of that many images, all of them labelled."""
    write_studies(folder, count)
    stores = open_folder(folder)
    annotate(stores, folder, range(count))
    return stores


def test_images_that_cannot_be_read_are_left_out_and_a_server_that_is_away_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = annotated(tmp_path / "studies", 3)
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


def test_images_are_loaded_for_one_round_and_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = annotated(tmp_path / "studies", 2)
    labels, images = stores.labels.snapshot().labels, tmp_path / "images"
    assert write_cases(stores, labels, tmp_path / "first", images) == {}
    assert stores.cases.cached_bytes == 0
    monkeypatch.setattr(stores.cases.source, "load", None)
    assert write_cases(stores, labels, tmp_path / "second", images) == {}
    for label in labels:
        case = tmp_path / "second" / case_name(label.image_id)
        np.testing.assert_array_equal(read_labels(case / "lesions.nii.gz").array, label.read().array)


def test_images_are_on_the_disk_before_later_rounds_can_find_them(tmp_path: Path, synced_files: set[int]) -> None:
    stores = annotated(tmp_path / "studies", 1)
    write_cases(stores, stores.labels.snapshot().labels, tmp_path / "cases", tmp_path / "images")
    written = {path.stat().st_ino for path in (tmp_path / "images").glob("*/*.nii.gz")}
    assert written
    assert written <= synced_files


def test_images_of_earlier_rounds_go_once_their_case_has_no_label(tmp_path: Path) -> None:
    stores = annotated(tmp_path / "studies", 3)
    labels, images = stores.labels.snapshot().labels, tmp_path / "images"
    write_cases(stores, labels, tmp_path / "first", images)
    before = {path.name for path in images.iterdir()}
    image = tmp_path / "studies" / "image-1.nii.gz"
    os.utime(image, (0, 0))
    stores.cases.refresh()
    (images / ".writing-killed" / "case").mkdir(parents=True)
    write_cases(stores, labels, tmp_path / "second", images)
    write_cases(stores, labels[:2], tmp_path / "second", images)
    assert {path.name for path in (tmp_path / "second").iterdir()} == {case_name("image-0"), case_name("image-1")}
    after = {path.name for path in images.iterdir()}
    assert {name.rpartition("-")[0] for name in after} == {case_name("image-0"), case_name("image-1")}
    assert len(after) == 2
    assert len(after - before) == 1
    assert len(list((tmp_path / "first").glob("*/pet.nii.gz"))) == 3


def test_label_on_an_earlier_grid_is_scored_and_learned_from_where_it_was_drawn(tmp_path: Path) -> None:
    pytest.importorskip("monailabel", reason="needs MONAI Label")
    from lib.scoring.agreement import AgreementScoring

    stores = annotated(tmp_path / "studies", 3)
    for n, slices in ((0, 22), (1, 24)):
        truth = stores.labels.current(f"image-{n}").read().array
        moved = Grid.from_geometry((slices, 24, 24), (4.0, 4.0, 4.0), origin_mm=(0.0, 0.0, 8.0))
        stores.labels.save(f"image-{n}", np.roll(truth, -2, axis=0)[:slices], moved)
    scored = AgreementScoring(stores, tmp_path / "none")({"predict": "fixed"}, None)
    assert [scored["cases"][f"image-{n}"]["dice"] for n in range(3)] == [pytest.approx(1.0, abs=0.1)] * 3
    write_cases(stores, stores.labels.snapshot().labels, tmp_path / "cases", tmp_path / "images")
    written = read_labels(tmp_path / "cases" / case_name("image-0") / "lesions.nii.gz")
    np.testing.assert_array_equal(written.array, stores.labels.versions("image-0")[0].read().array)


def test_scores_say_of_each_case_on_which_side_training_has_it(tmp_path: Path) -> None:
    pytest.importorskip("monailabel", reason="needs MONAI Label")
    from lib.scoring.agreement import AgreementScoring

    stores = annotated(tmp_path / "studies", 8)
    write_cases(stores, stores.labels.snapshot().labels, tmp_path / "cases", tmp_path / "images")
    _, held_out = _parted(find_cases([CohortConfig(folder=tmp_path / "cases")]), 0.5)
    rows = AgreementScoring(stores, tmp_path / "none")({"predict": "fixed"}, None)["cases"]
    assert 0 < len(held_out) < len(rows) == 8
    assert {case.name for case in held_out} == {
        case_name(image_id) for image_id, row in rows.items() if row["position"] < 0.5
    }
