"""A DICOMweb server that wants a user and a password: images, labels and the viewer's requests pass with them."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from annotation_server import LESIONS, PET_GRID, Orthanc, SmallStudy, running_orthanc, write_small_study
from pydicom import dcmread

pytest.importorskip("monailabel", reason="the annotation server is not installed here")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from lib.datastore.annotations import Annotations
from lib.datastore.dicomweb import ArchiveError
from lib.datastore.stores import Stores, open_stores
from lib.dicomweb_proxy import DicomWebProxy
from monailabel.config import settings

from petlesion.errors import UsageError
from petlesion.nifti import write_labels
from petlesion.server.serve import _located

USER = ("grace", "Größe: 12 €")
"""RFC 7617: the password may hold colons, and letters of any language."""
VARIABLES = ("MONAI_LABEL_DICOMWEB_USERNAME", "MONAI_LABEL_DICOMWEB_PASSWORD")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Orthanc, SmallStudy]]:
    folder = tmp_path_factory.mktemp("archive")
    study = write_small_study(folder / "dicom", "anna")
    with running_orthanc(folder / "orthanc", user=USER) as orthanc:
        orthanc.store(study.folder)
        yield orthanc, study


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """What MONAI Label reads from the environment as it is imported, and what is read later."""
    for variable, value in zip(VARIABLES, USER, strict=True):
        monkeypatch.setenv(variable, value)
        monkeypatch.setattr(settings, variable, value)


@pytest.fixture
def as_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.setattr(settings, variable, None)


def stores_of(orthanc: Orthanc, folder: Path) -> Stores:
    return open_stores(orthanc.dicomweb, {"labels": str(folder / "labels"), "cache": str(folder / "cache")})


def proxy_of(orthanc: Orthanc) -> TestClient:
    app = FastAPI()
    app.add_api_route("/{path:path}", DicomWebProxy(orthanc.dicomweb).pass_on, methods=["GET"], response_model=None)
    return TestClient(app)


@pytest.mark.usefixtures("as_user")
def test_images_come_and_a_label_goes(archive: tuple[Orthanc, SmallStudy], tmp_path: Path) -> None:
    orthanc, study = archive
    stores = stores_of(orthanc, tmp_path)
    stores.cases.refresh()
    assert [case.image_id for case in stores.cases.cases()] == [study.pet]
    loaded = stores.cases.load(study.pet)
    assert loaded.pet.array.max() == pytest.approx(max(LESIONS.values()), rel=1e-3)
    assert loaded.ct is not None

    mask = np.zeros(PET_GRID.shape, dtype=np.uint16)
    mask[8:11, 20:25, 12:17] = 1
    write_labels(mask, PET_GRID, tmp_path / "label.nii.gz")
    label = Annotations(stores).submit(study.pet, tmp_path / "label.nii.gz", annotator="ada")
    assert orthanc.segmentations(study.study) == [stores.labels.dicom_uid(label)]
    stored = dcmread(BytesIO(orthanc.file(stores.labels.dicom_uid(label))))
    assert np.count_nonzero(stored.pixel_array) == np.count_nonzero(mask)


@pytest.mark.usefixtures("as_user")
def test_requests_of_the_viewer_are_answered(archive: tuple[Orthanc, SmallStudy]) -> None:
    orthanc, study = archive
    answer = proxy_of(orthanc).get(f"/studies/{study.study}/series?Modality=PT")
    assert [row["0020000E"]["Value"] for row in answer.json()] == [[study.pet]]


@pytest.mark.usefixtures("as_nobody")
def test_without_a_password_the_refusal_is_a_sentence(archive: tuple[Orthanc, SmallStudy], tmp_path: Path) -> None:
    orthanc, _ = archive
    with pytest.raises(ArchiveError, match=r"answers 401.*correct the address and password$") as said:
        stores_of(orthanc, tmp_path).cases.refresh()
    assert "\n" not in str(said.value)
    answer = proxy_of(orthanc).get("/studies")
    assert answer.status_code == 502, "the annotation server lacks the password, not the browser"
    assert answer.json()["detail"] == "the DICOMweb server answers 401; correct its user and password"


def test_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    """Clients are told the URL with the list of images and with each error, and it is kept in files and logs."""
    url = "http://grace:secret@archive:8042/dicom-web"
    for refuse in (_located, lambda url: open_stores(url, {"labels": str(tmp_path), "cache": str(tmp_path)})):
        with pytest.raises(UsageError, match="MONAI_LABEL_DICOMWEB_PASSWORD in the environment") as raised:
            refuse(url)
        assert "secret" not in str(raised.value)
    assert _located("http://archive:8042/p@th/") == "http://archive:8042/p@th"
