"""Versions of labels: kept, whole, readable by others while they are written."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from lib.datastore.image_ids import UnknownImageError, UnknownLabelError
from lib.datastore.labels import LabelStore

from petlesion.volume import Grid

GRID = Grid.from_geometry((4, 5, 6), (3.0, 2.0, 2.0), origin_mm=(-5.0, 7.0, 100.0))


def label(*voxels: tuple[int, int, int]) -> np.ndarray:
    array = np.zeros(GRID.shape, dtype=np.uint16)
    for number, voxel in enumerate(voxels, start=1):
        array[voxel] = number
    return array


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(tmp_path / "labels")


def test_every_submission_stays(store: LabelStore) -> None:
    first = store.save("1.2.3", label((0, 0, 0)), GRID, annotator="ada", source="client", info={"client": "OHIF"})
    second = store.save("1.2.3", label((1, 1, 1), (3, 4, 5)), GRID, annotator="bob")
    assert [version.version for version in store.versions("1.2.3")] == [1, 2]
    assert store.current("1.2.3").annotator == "bob"
    assert (second.lesions, second.voxels) == (2, 2)
    np.testing.assert_array_equal(first.read().array, label((0, 0, 0)))
    assert first.read().grid.is_close(GRID)
    assert store.versions("1.2.3")[0] == first


def test_label_is_read_on_the_grid_that_the_pet_has_since(store: LabelStore) -> None:
    version = store.save("1.2.3", label((0, 1, 1), (2, 3, 4)), GRID)
    later = Grid.from_geometry((6, 5, 6), (3.0, 2.0, 2.0), origin_mm=(-5.0, 7.0, 94.0))
    read = version.read_on(later)
    assert read.grid is later
    np.testing.assert_array_equal(read.array, np.concatenate([label()[:2], label((0, 1, 1), (2, 3, 4))]))
    np.testing.assert_array_equal(version.read_on(GRID).array, version.read().array)


def test_no_lesion_is_a_label(store: LabelStore) -> None:
    store.save("healthy", label(), GRID)
    (snapshot,) = store.snapshot().labels
    assert (snapshot.image_id, snapshot.lesions, snapshot.withdrawn) == ("healthy", 0, False)
    assert not snapshot.read().array.any()


def test_snapshot_is_the_same_in_any_store_with_these_labels(store: LabelStore, tmp_path: Path) -> None:
    other = LabelStore(tmp_path / "other")
    for each in (store, other):
        each.save("b", label((0, 0, 1)), GRID)
        each.save("a", label((0, 0, 2)), GRID, annotator=str(each.folder))
    assert [item.image_id for item in store.snapshot().labels] == ["a", "b"]
    assert store.snapshot().sha256 == other.snapshot().sha256
    before = store.snapshot().sha256
    store.save("a", label((0, 0, 2)), GRID)
    assert store.snapshot().sha256 != before


def test_withdrawn_label_is_kept_but_not_current(store: LabelStore) -> None:
    store.save("a", label((0, 0, 1)), GRID)
    store.withdraw("a", "final", annotator="ada")
    assert store.snapshot().labels == ()
    assert store.current_by_tag("a") == {}
    assert [version.withdrawn for version in store.versions("a")] == [False, True]
    with pytest.raises(UnknownLabelError, match="no label final"):
        store.current("a")
    assert store.save("a", label(), GRID).version == 3


def test_submitted_file_is_kept_beside(store: LabelStore, tmp_path: Path) -> None:
    sent = tmp_path / "..%2f.evil\n.sh"
    sent.write_bytes(b"SEG")
    store.save("a", label(), GRID, as_submitted=sent)
    kept = [path for path in (store.folder / "a" / "final").iterdir() if "as-submitted" in path.name]
    assert [path.read_bytes() for path in kept] == [b"SEG"]


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "..", "a/b", "a\0b", "", "%2e%2e%2fx", "x" * 200, ".lock"])
def test_ids_and_tags_are_no_paths(store: LabelStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownImageError, match="is no image id"):
        store.save(name, label(), GRID)
    with pytest.raises(UnknownLabelError, match="is no label tag"):
        store.save("a", label(), GRID, tag=name)
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_altered_file_is_noticed(store: LabelStore) -> None:
    version = store.save("a", label((0, 0, 1)), GRID)
    assert version.path is not None
    version.path.write_bytes(store.save("a", label((1, 1, 1)), GRID).path.read_bytes())
    with pytest.raises(UnknownLabelError, match="not the file that was stored"):
        version.read()


def test_missing_file_is_a_sentence(store: LabelStore) -> None:
    version = store.save("a", label((0, 0, 1)), GRID)
    assert version.path is not None
    version.path.unlink()
    with pytest.raises(UnknownLabelError, match="is missing or not the file that was stored"):
        version.read()


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"withdrawn": true, "time": "2026-11-26", "surprise": 1}'])
def test_damaged_record_hides_no_other(store: LabelStore, content: str, caplog: pytest.LogCaptureFixture) -> None:
    for image_id in ("a", "a", "b"):
        store.save(image_id, label((0, 0, 1)), GRID)
    record = store.folder / "a" / "final" / "v000002.json"
    record.write_text(content)
    for _ in range(2):
        assert [item.image_id for item in store.snapshot().labels] == ["b"]
        assert [item.version for item in store.versions("a")] == [1]
        assert [item.image_id for item in store.everything()] == ["a", "b"]
    (said,) = caplog.messages
    assert f"{record} is no label" in said
    assert "restore it from a backup" in said
    with pytest.raises(UnknownLabelError, match="no label final"):
        store.current("a")
    assert store.save("a", label(), GRID).version == 3
    assert store.current_by_tag("a").keys() == {"final"}


def test_record_is_read_once_and_again_when_it_is_another(store: LabelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for image_id in ("a", "b"):
        store.save(image_id, label((0, 0, 1)), GRID, annotator="ada")
    before, read = store.snapshot(), []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: read.append(text) or loads(text))
    assert store.snapshot() == before
    assert read == []
    shutil.rmtree(store.folder / "a")
    assert [item.image_id for item in store.snapshot().labels] == ["b"]
    store.save("a", label((0, 0, 2)), GRID, annotator="bob")
    first, second = store.snapshot().labels
    assert (first.annotator, first.version, second) == ("bob", 1, before.labels[1])
    first.read()


def test_what_a_client_says_of_a_seg_is_no_record_of_one(store: LabelStore) -> None:
    version = store.save("a", label((0, 0, 1)), GRID, info={"sop_instance_uid": "1.2.3"})
    assert store.dicom_uid(version) == ""
    store.note_dicom(version, "1.2.4")
    assert store.dicom_uid(version) == "1.2.4"


def _submit(folder: Path, name: str, count: int) -> None:
    store = LabelStore(folder)
    for n in range(count):
        store.save("a", label((n % 4, 0, 0)), GRID, annotator=f"{name}-{n}")


def test_processes_submit_at_once_and_none_is_lost(store: LabelStore) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_submit, args=(store.folder, f"writer{n}", 25)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    versions = store.versions("a")
    assert [version.version for version in versions] == list(range(1, 76))
    assert len({version.annotator for version in versions}) == 75
    assert all(not version.read().array[:, 1:].any() for version in versions)


def test_killed_writer_leaves_whole_versions(store: LabelStore) -> None:
    context = multiprocessing.get_context("spawn")
    for delay in (0.02, 0.05, 0.11):
        before = len(store.versions("a"))
        writer = context.Process(target=_submit, args=(store.folder, "killed", 10_000))
        writer.start()
        deadline = time.monotonic() + 60
        while len(store.versions("a")) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        found = store.versions("a")
        assert len(found) > before
        assert [version.version for version in found] == list(range(1, len(found) + 1))
        for version in found[before:]:
            version.read()
    (store.folder / "a" / "final" / ".writing-killed").mkdir(exist_ok=True)
    assert store.save("a", label(), GRID).version == len(found) + 1
    assert list(store.folder.glob("a/final/.writing-*")) == []
