from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from training_cases import GRID, SHAPE, write_case, write_simulated_case

pytest.importorskip("yaml", reason="needs PyYAML (pip install petlesion[network])")

from petlesion.errors import UsageError
from petlesion.networks.model_config import CLASS_NAMES, ArchitectureConfig, ModelConfig
from petlesion.nifti import read_image, read_labels, write_image, write_labels
from petlesion.tracers import TracerName
from petlesion.training.cache import data_sha256, prepare
from petlesion.training.cases import Case, LabelledStudy, find_cases, read_case
from petlesion.training.config import CohortConfig, TrainConfig
from petlesion.training.plan import Fingerprint, fingerprint, plan
from petlesion.volume import Grid, Volume

CONFIG = ModelConfig(architecture=ArchitectureConfig(filters=(4, 8, 8)), patch=(16, 16, 16))
FDG = TracerName.F18_FDG


def cohort(folder: Path, tracer: TracerName | None = FDG) -> CohortConfig:
    return CohortConfig(folder=folder, tracer=tracer)


def test_simulated_truth_gives_every_class_lesion_before_organ_before_physiological(tmp_path: Path) -> None:
    write_simulated_case(tmp_path / "a", 0)
    truth = tmp_path / "a" / "truth"
    pet = read_image(tmp_path / "a" / "pet.nii.gz")
    pet.array[2, 2, 2] = pet.array[2, 2, 20] = pet.array[20, 2, 2] = 9.0  # in liver, in bladder, in neither
    from petlesion.nifti import write_image

    write_image(pet, tmp_path / "a" / "pet.nii.gz")
    lesions = read_labels(truth / "lesions.nii.gz").array.copy()
    lesions[3, 3, 3] = 2  # a second lesion, in the liver
    write_labels(lesions.astype(np.uint8), GRID, truth / "lesions.nii.gz")
    (case,) = find_cases([cohort(tmp_path, None)])
    labelled = read_case(case, CLASS_NAMES)
    at = {name: labelled.classes == number for number, name in enumerate(CLASS_NAMES)}
    np.testing.assert_array_equal(at["lesion"], lesions > 0)
    assert at["liver"][2, 2, 2]
    assert at["bladder"][2, 2, 20]
    assert at["physiological"][20, 2, 2]
    assert np.count_nonzero(at["physiological"]) == 1
    assert labelled.known == ("background", "lesion", "physiological", "liver", "bladder")
    assert labelled.threshold == 3.0
    few = read_case(case, ("background", "lesion", "bladder"))
    assert few.known == ("background", "lesion", "bladder")
    assert set(np.unique(few.classes)) == {0, 1, 2}


def test_other_cases_know_no_more_than_their_lesions(tmp_path: Path) -> None:
    write_case(tmp_path / "a", 0)
    (case,) = find_cases([cohort(tmp_path)])
    labelled = read_case(case, CLASS_NAMES)
    assert labelled.known == ("background", "lesion")
    assert set(np.unique(labelled.classes)) == {0, 1}
    organs = np.zeros(SHAPE, dtype=np.uint8)
    organs[0], organs[1] = 5, 1  # liver and spleen of TotalSegmentator
    write_labels(organs, GRID, tmp_path / "a" / "organs.nii.gz")
    (case,) = find_cases([cohort(tmp_path)])
    labelled = read_case(case, CLASS_NAMES)
    assert (labelled.classes[0] == CLASS_NAMES.index("liver")).all()
    assert (labelled.classes[1] == CLASS_NAMES.index("spleen")).all()


def test_patients_are_told_by_their_id_and_cases_by_their_content(tmp_path: Path) -> None:
    write_simulated_case(tmp_path / "a-visit1", 0, "a")
    write_case(tmp_path / "b", 1)
    first, second = find_cases([cohort(tmp_path)])
    assert (first.patient_id, second.patient_id) == ("a", "b")
    before = second.content_sha256()
    write_labels(np.zeros(SHAPE, dtype=np.uint8), GRID, tmp_path / "b" / "lesions.nii.gz")
    assert second.content_sha256() != before


def test_images_that_are_not_compressed_belong_to_a_case(tmp_path: Path) -> None:
    write_case(tmp_path / "a", 0)
    for name in ("pet", "ct"):
        packed = tmp_path / "a" / f"{name}.nii.gz"
        write_image(read_image(packed), tmp_path / "a" / f"{name}.nii")
        packed.unlink()
    (case,) = find_cases([cohort(tmp_path)])
    assert [path.name for path in case.files] == ["pet.nii", "ct.nii", "lesions.nii.gz"]
    assert fingerprint([case]).spacing_mm == (4.0, 4.0, 4.0)
    before = case.content_sha256(), case.pet_sha256()
    write_image(Volume(np.zeros(SHAPE, dtype=np.int16), GRID), tmp_path / "a" / "ct.nii")
    assert case.content_sha256() != before[0]
    assert case.pet_sha256() == before[1]


def test_refuses_cohorts_that_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        find_cases([cohort(tmp_path / "none")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no case"):
        find_cases([cohort(tmp_path / "empty")])
    write_case(tmp_path / "one" / "a", 0)
    with pytest.raises(UsageError, match="no tracer"):
        find_cases([cohort(tmp_path / "one", None)])
    write_case(tmp_path / "two" / "a", 0)
    with pytest.raises(UsageError, match="two cases are named a"):
        find_cases([cohort(tmp_path / "one"), cohort(tmp_path / "two")])
    (tmp_path / "one" / "a" / "lesions.nii.gz").unlink()
    with pytest.raises(UsageError, match="no lesions"):
        find_cases([cohort(tmp_path / "one")])
    write_simulated_case(tmp_path / "three" / "a", 0)
    (tmp_path / "three" / "a" / "truth" / "truth.json").write_text("{}")
    with pytest.raises(UsageError, match="truth of the simulator"):
        find_cases([cohort(tmp_path / "three")])


def test_refuses_a_label_that_lies_outside_its_pet(tmp_path: Path) -> None:
    write_case(tmp_path / "cases" / "a", 0)
    path = tmp_path / "cases" / "a" / "lesions.nii.gz"
    labels = read_labels(path)
    write_labels(labels.array, Grid.from_geometry(labels.grid.shape, (4.0, 4.0, 4.0), (500.0, 0.0, 0.0)), path)
    (case,) = find_cases([cohort(tmp_path / "cases")])
    with pytest.raises(UsageError, match=r"lesions\.nii\.gz lies outside the PET"):
        read_case(case, ("background", "lesion"))


def test_cache_holds_what_the_network_will_see_and_repairs_itself(tmp_path: Path) -> None:
    write_simulated_case(tmp_path / "cases" / "a", 0)
    write_case(tmp_path / "cases" / "b", 1, lesion=False, ct=False)
    cases = find_cases([cohort(tmp_path / "cases")])
    cached = prepare(cases, CONFIG, tmp_path / "cache")
    a, b = cached
    assert a.shape == SHAPE
    np.testing.assert_allclose(a.array("suv"), read_image(tmp_path / "cases" / "a" / "pet.nii.gz").array, rtol=1e-3)
    assert isinstance(a.array("suv"), np.memmap)
    assert (a.array("ct") == 40).all()
    assert (b.array("ct") == -1024).all()  # no CT
    voxels = np.argwhere(a.array("classes") == 1)
    np.testing.assert_array_equal(a.array("lesion_voxels"), np.column_stack([voxels, np.ones(len(voxels))]))
    assert b.array("lesion_voxels").shape == (0, 4)

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    again = prepare(cases, CONFIG, tmp_path / "cache")
    assert again == cached
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")} == times
    damaged = a.folder / "suv.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    (b.folder / "index.json").write_text("")  # a power cut
    prepare(cases, CONFIG, tmp_path / "cache")
    np.testing.assert_allclose(a.array("suv"), read_image(tmp_path / "cases" / "a" / "pet.nii.gz").array, rtol=1e-3)

    coarse = prepare(cases, CONFIG.model_copy(update={"spacing_mm": (8.0, 8.0, 8.0)}), tmp_path / "cache")
    assert coarse[0].shape == (12, 12, 12)
    assert data_sha256(coarse) == data_sha256(cached[::-1])
    assert data_sha256(cached) != data_sha256(cached[:1])


def test_runs_that_begin_together_share_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_case(tmp_path / "cases" / "a", 0)
    cases = find_cases([cohort(tmp_path / "cases")])
    read: list[Case] = []

    def slow(case: Case, classes: Sequence[str]) -> LabelledStudy:
        read.append(case)
        time.sleep(0.3)  # the others find nothing in the cache by then
        return read_case(case, classes)

    monkeypatch.setattr("petlesion.training.cache.read_case", slow)
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda _: prepare(cases, CONFIG, tmp_path / "cache"), range(4)))
    assert read == cases
    assert all(run == runs[0] for run in runs)
    assert runs[0][0].array("suv").shape == SHAPE


def test_spacing_and_patch_are_planned_from_the_data_unless_given(tmp_path: Path) -> None:
    fine = Grid.from_geometry((20, 60, 60), (3.0, 1.5, 1.5))
    write_case(tmp_path / "cases" / "a", 0, grid=fine)
    found = fingerprint(find_cases([cohort(tmp_path / "cases")]))
    assert found == Fingerprint((3.0, 1.5, 1.5), (60.0, 90.0, 90.0))
    config = TrainConfig(out=tmp_path, cache=tmp_path, cohorts=(cohort(tmp_path),))
    planned = plan(config, found)
    assert planned.spacing_mm == (3.0, 2.0, 2.0)  # no finer than 2 mm
    assert planned.patch == (64, 64, 64)  # 20 x 45 x 45 voxels, but four at the deepest level
    large = plan(config, Fingerprint((5.0, 4.0, 4.0), (1100.0, 800.0, 800.0)))
    assert large.spacing_mm == (4.0, 4.0, 4.0)
    assert large.patch == (96, 96, 96)
    given = config.model_copy(update={"model": {"spacing_mm": [4, 4, 4], "patch": [32, 32, 32]}})
    assert plan(given, found).patch == (32, 32, 32)
    assert plan(given, found).spacing_mm == (4.0, 4.0, 4.0)
