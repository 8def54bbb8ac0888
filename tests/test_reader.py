"""A folder on disk → `PetCt`, and every way in which it is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from damaged_studies import DAMAGES, STUDY, Damage, copy_study, pet_files
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from petlesion.dicom.reader import SeriesChoice
from petlesion.dicom.suv_overrides import SuvOverrides
from petlesion.errors import NoDicomError, PetlesionError, SuvError, UsageError
from petlesion.nifti import read_image, write_image
from petlesion.reader import read_study
from petlesion.resample import resample
from petlesion.tracers import TracerName
from petlesion.volume import Grid, Volume


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.name)
def test_damaged_study_is_refused_with_code_and_reason(shared_data: Path, tmp_path: Path, damage: Damage) -> None:
    study = copy_study(shared_data, tmp_path / "study")
    damage.apply(study)
    with pytest.raises(PetlesionError) as raised:
        read_study(study)
    assert raised.value.exit_code == damage.code
    assert damage.words in str(raised.value)
    assert "\n" not in str(raised.value)


def test_undamaged_study_is_read(shared_data: Path, tmp_path: Path) -> None:
    study = read_study(copy_study(shared_data, tmp_path / "study"))
    assert study.pet.array.shape == (48, 27, 30)
    assert study.ct is not None


def test_dicom_equals_nifti_of_the_same_patient(shared_data: Path) -> None:
    dicom = read_study(shared_data / STUDY)
    nifti = read_study(shared_data / "sts" / "STS_002")
    assert dicom.pet.grid.is_close(nifti.pet.grid, 1e-3)
    np.testing.assert_allclose(dicom.pet.array, nifti.pet.array, rtol=0, atol=1e-5)
    assert dicom.ct is not None
    assert nifti.ct is not None
    # The CT of the NIfTI folder was averaged in-plane: alike, but not the same.
    difference = dicom.ct.array - nifti.ct.array
    assert abs(np.median(difference)) < 5
    assert np.corrcoef(dicom.ct.array.ravel(), nifti.ct.array.ravel())[0, 1] > 0.98


def test_junk_among_the_files_changes_nothing(shared_data: Path, tmp_path: Path) -> None:
    folder = copy_study(shared_data, tmp_path / "study")
    clean = read_study(folder)
    images = folder / "PET" / "image"
    (images / "notes.txt").write_text("text")
    (images / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"junk")
    (images / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    (images / "series#sop.tags").write_text(json.dumps({"Modality": "PT"}))
    (images / ".hidden").write_bytes(os.urandom(500))
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "gone").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    shutil.copy(images / "000003.dcm", folder / "again")
    for file in pet_files(folder):
        if file.suffix == ".dcm":
            file.rename(file.with_suffix(""))
    dirty = read_study(folder)
    np.testing.assert_array_equal(dirty.pet.array, clean.pet.array)
    np.testing.assert_array_equal(dirty.pet.grid.affine, clean.pet.grid.affine)
    assert dirty.selection == clean.selection
    assert any("copies of images ignored" in warning for warning in dirty.warnings)


@pytest.mark.parametrize("encoder", [["dcmcjpeg", "+e1"], ["dcmcjpls"], ["dcmcrle"]], ids=lambda encoder: encoder[0])
def test_study_in_another_transfer_syntax_is_the_same(shared_data: Path, tmp_path: Path, encoder: list[str]) -> None:
    """JPEG lossless, JPEG-LS and RLE as DCMTK writes them."""
    if shutil.which(encoder[0]) is None:
        pytest.skip(f"{encoder[0]} of DCMTK is not installed")
    folder = copy_study(shared_data, tmp_path / "study")
    for file in pet_files(folder):
        subprocess.run([*encoder, file, file], check=True)
    assert dcmread(file).file_meta.TransferSyntaxUID != ImplicitVRLittleEndian
    original, transcoded = read_study(shared_data / STUDY, ct=False), read_study(folder, ct=False)
    np.testing.assert_array_equal(transcoded.pet.array, original.pet.array)
    np.testing.assert_array_equal(transcoded.pet.grid.affine, original.pet.grid.affine)
    assert transcoded.suv == original.suv


def test_damaged_file_beside_a_complete_pet_is_a_warning(shared_data: Path, tmp_path: Path) -> None:
    folder = copy_study(shared_data, tmp_path / "study")
    file = pet_files(folder)[0]
    (file.parent / "cut.dcm").write_bytes(file.read_bytes()[:300])
    study = read_study(folder)
    assert any("cut.dcm" in warning for warning in study.warnings)


def test_chosen_study_of_two_is_read(shared_data: Path) -> None:
    uid = read_study(shared_data / "sts_dicom" / "STS_010").study_instance_uid
    study = read_study(shared_data / "sts_dicom", choice=SeriesChoice(study_uid=uid))
    assert study.study_instance_uid == uid
    assert study.patient.patient_id == "STS_010"
    with pytest.raises(UsageError, match=r"no study has the StudyInstanceUID 1\.2\.3"):
        read_study(shared_data / "sts_dicom", choice=SeriesChoice(study_uid="1.2.3"))


def test_real_whole_body_pet(shared_data: Path) -> None:
    """267 slices at unequal distances, an own RescaleSlope in each."""
    study = read_study(shared_data / "sts_raw")
    assert study.pet.array.shape == (267, 128, 128)
    assert study.ct is None
    assert study.tracer.name is TracerName.F18_FDG
    assert any("3.19 to 3.29 mm" in warning for warning in study.warnings)
    assert study.source is not None
    assert study.source.one_header_per_slice
    positions = [header.ImagePositionPatient[2] for header in study.source.pet_headers]
    assert positions == sorted(positions)
    off = study.pet.grid.to_world([(k, 0, 0) for k in range(267)])[:, 2] - np.array(positions, dtype=float)
    assert np.abs(off).max() < 0.25
    assert all("PixelData" not in header for header in study.source.pet_headers)


@pytest.mark.parametrize("name", ["0_0", "1_0", "2_0", "2_1", "2_4", "3_1", "3_3", "4_1", "5_0"])
def test_suv_digital_reference_objects(shared_data: Path, name: str) -> None:
    """Values that the SUV working group of IBSI states, two decimals."""
    folder = shared_data / "suv_dro" / f"DRO_{name}"
    study = read_study(folder)
    mask = read_image(folder / "mask" / "DRO_mask.nii.gz").array > 0
    inside = study.pet.array[mask]
    assert [round(float(value), 2) for value in (inside.min(), np.median(inside), inside.max())] == [0.2, 1.0, 4.0]


def test_options_replace_the_header(shared_data: Path) -> None:
    study = read_study(shared_data / STUDY, tracer=TracerName.GA68_PSMA11, ct=False)
    assert study.tracer.name is TracerName.GA68_PSMA11
    assert study.ct is None
    raw = shared_data / "sts_raw"
    heavier = read_study(raw, overrides=SuvOverrides(weight_kg=142.0))
    np.testing.assert_allclose(heavier.pet.array, 2 * read_study(raw).pet.array, rtol=1e-6)
    assert heavier.patient.weight_kg == 142.0
    assert heavier.suv.overrides == {"weight": 142.0}


def test_progress_counts_files_and_slices(shared_data: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_study(shared_data / "suv_dro" / "DRO_0_0", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (20, 20)
    assert (22, 22) in seen


def _write_nifti_study(folder: Path, pet: Volume, ct: Volume | None = None) -> None:
    folder.mkdir()
    write_image(pet, folder / "pet.nii.gz")
    if ct is not None:
        write_image(ct, folder / "ct.nii")


def _pet() -> Volume:
    grid = Grid.from_geometry((6, 7, 8), (4.0, 3.0, 3.0), (10.0, -20.0, 30.0))
    return Volume(np.arange(336, dtype=np.float32).reshape(grid.shape) / 10, grid)


def test_nifti_study(tmp_path: Path) -> None:
    pet = _pet()
    fine = Grid.from_geometry((20, 30, 30), (2.0, 1.0, 1.0), (5.0, -25.0, 25.0))
    ct = Volume(np.random.default_rng(0).integers(-3000, 1000, fine.shape).astype(np.int16), fine)
    _write_nifti_study(tmp_path / "study", pet, ct)
    study = read_study(tmp_path / "study", tracer=TracerName.F18_FDG)
    np.testing.assert_array_equal(study.pet.array, pet.array)
    clipped = Volume(np.maximum(ct.array, -1024).astype(np.float32), fine)
    assert study.ct is not None
    np.testing.assert_allclose(study.ct.array, resample(clipped, pet.grid, outside=-1024).array, atol=1e-2)
    assert study.tracer.name is TracerName.F18_FDG
    assert study.source is None
    assert study.suv.factor is None


@pytest.mark.parametrize("name", ["case.json", "truth/truth.json"])
def test_nifti_study_takes_the_tracer_of_its_case(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "study"
    _write_nifti_study(folder, _pet())
    assert read_study(folder).tracer.name is TracerName.UNKNOWN
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"patient_id": "p1", "tracer": "ga68-psma11"}))
    study = read_study(folder)
    assert study.tracer.name is TracerName.GA68_PSMA11
    assert f"The tracer is 68Ga-PSMA-11, as {Path(name).name} says." in study.selection
    given = read_study(folder, tracer=TracerName.F18_FDG)
    assert given.tracer.name is TracerName.F18_FDG
    assert "The tracer is 18F-FDG, as asked for." in given.selection
    (folder / name).write_text('{"tracer": "water"}')
    with pytest.raises(
        UsageError, match=r"\.json names the tracer 'water', which is not known.*correct it to one of .*f18-fdg"
    ):
        read_study(folder)
    for content in ("[1", "[]", '[["tracer", "f18-fdg"]]'):
        (folder / name).write_text(content)
        with pytest.raises(UsageError, match=r"\.json cannot be read .*correct or remove it"):
            read_study(folder)


def test_nifti_uids_follow_the_content(tmp_path: Path) -> None:
    pet = _pet()
    _write_nifti_study(tmp_path / "a", pet)
    _write_nifti_study(tmp_path / "b", pet)
    _write_nifti_study(tmp_path / "c", Volume(pet.array + 1, pet.grid))
    a, b, c = (read_study(tmp_path / name) for name in "abc")
    assert (a.study_instance_uid, a.pet_series_instance_uid) == (b.study_instance_uid, b.pet_series_instance_uid)
    assert len({a.study_instance_uid, a.pet_series_instance_uid, c.study_instance_uid}) == 3


def test_nifti_ct_elsewhere_is_not_used(tmp_path: Path) -> None:
    pet = _pet()
    far = Grid.from_geometry((4, 4, 4), (1.0, 1.0, 1.0), (1000.0, 0.0, 0.0))
    _write_nifti_study(tmp_path / "study", pet, Volume(np.zeros(far.shape, np.int16), far))
    study = read_study(tmp_path / "study")
    assert study.ct is None
    assert any("does not overlap" in warning for warning in study.warnings)


def test_nifti_ct_that_ends_before_the_pet_is_a_warning(tmp_path: Path) -> None:
    pet = _pet()
    short = Grid((pet.grid.shape[0] // 2, *pet.grid.shape[1:]), pet.grid.affine)
    _write_nifti_study(tmp_path / "study", pet, Volume(np.zeros(short.shape, np.int16), short))
    assert any("of the PET's length" in warning for warning in read_study(tmp_path / "study").warnings)


def test_nifti_refuses_what_is_no_suv(tmp_path: Path) -> None:
    pet = _pet()
    bad = pet.array.copy()
    bad[2, 3, 4] = np.nan
    _write_nifti_study(tmp_path / "nan", Volume(bad, pet.grid))
    with pytest.raises(SuvError, match="not finite"):
        read_study(tmp_path / "nan")
    _write_nifti_study(tmp_path / "bqml", Volume(pet.array * 1000, pet.grid))
    assert any("Bq/mL" in warning for warning in read_study(tmp_path / "bqml").suv.warnings)
    with pytest.raises(UsageError, match="SUVbw of one series already"):
        read_study(tmp_path / "bqml", overrides=SuvOverrides(weight_kg=70))


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        read_study(tmp_path / "file.txt")
    with pytest.raises(UsageError, match=r"cannot be looked at \(File name too long\)"):
        read_study(tmp_path / ("x" * 300))  # as one below a folder of another user cannot be, too
    with pytest.raises(UsageError, match="does not exist"):
        read_study(tmp_path / "nothing")
    with pytest.raises(NoDicomError, match="found 1 other files"):
        read_study(tmp_path)
