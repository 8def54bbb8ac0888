from __future__ import annotations

import errno
import random
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label")

from annotated_folder import annotate, open_folder, write_studies
from annotation_server import PET_GRID, write_small_study
from lib.activelearning.reservations import Reservations
from lib.activelearning.strategies import STRATEGIES, NextCase
from lib.datastore.annotations import Annotations
from lib.datastore.image_copies import ImageCopies
from lib.datastore.image_notes import ImageNotes
from lib.datastore.petct_datastore import PetCtDatastore
from lib.scoring.entropy import EntropyScoring
from lib.scoring.scores import Scores

from petlesion.nifti import write_labels


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class KnownScores(EntropyScoring):
    """Scores without a network."""

    known: Mapping[str, dict[str, Any]] = {}

    def valid(self) -> dict[str, dict[str, Any]]:
        return dict(self.known)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reservations(tmp_path: Path, clock: Clock) -> Reservations:
    return Reservations(tmp_path / "work" / "reservations.json", minutes=10, clock=clock)


def take(reservations: Reservations, client: str, names: list[str]) -> tuple[str, bool] | None:
    return reservations.take(names, client, min)


def test_a_case_is_not_handed_to_two_people(reservations: Reservations, clock: Clock) -> None:
    names = ["a", "b"]
    assert take(reservations, "ada", names) == ("a", False)
    assert take(reservations, "bob", names) == ("b", False)
    assert take(reservations, "cleo", names) is None
    assert take(reservations, "bob", names) == ("b", True)  # nothing else is free: their own again
    clock.now += 9 * 60
    assert take(reservations, "cleo", names) is None
    clock.now += 2 * 60  # bob asked again later, or it would be the same moment
    assert take(reservations, "cleo", names) == ("a", False)
    reservations.release("b")
    assert take(reservations, "dan", names) == ("b", False)


def test_a_final_label_releases_the_case_and_a_draft_does_not(reservations: Reservations, tmp_path: Path) -> None:
    study = write_small_study(tmp_path / "dicom", "anna")
    stores = open_folder(tmp_path / "dicom")
    notes = ImageNotes(tmp_path / "notes")
    datastore = PetCtDatastore(
        Annotations(stores), notes, ImageCopies(tmp_path / "images"), "here", reservations.release
    )
    write_labels(np.ones(PET_GRID.shape, np.uint8), PET_GRID, tmp_path / "label.nii.gz")
    take(reservations, "ada", [study.pet])
    datastore.save_label(study.pet, str(tmp_path / "label.nii.gz"), "draft", {"client_id": "bob"})
    assert reservations.current()[study.pet].client == "ada"
    datastore.save_label(study.ct, str(tmp_path / "label.nii.gz"), "final", {"client_id": "ada"})
    assert reservations.current() == {}


def test_label_counts_as_stored_where_its_case_cannot_be_released(
    reservations: Reservations, studies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes the label and then no more: told of an error, the client would send it again."""

    def full(_: Path, _content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stores, copies = open_folder(studies), ImageCopies(tmp_path / "images")
    datastore = PetCtDatastore(
        Annotations(stores), ImageNotes(tmp_path / "notes"), copies, "here", reservations.release
    )
    take(reservations, "ada", ["image-0"])
    monkeypatch.setattr("lib.activelearning.reservations.write_durably", full)
    label = str(studies.parent / "truth" / "image-0" / "lesions.nii.gz")
    assert datastore.save_label("image-0", label, "final", {"client_id": "ada"}) == "image-0"
    assert len(stores.labels.versions("image-0")) == 1
    assert list(reservations.current()) == ["image-0"]


def test_reservations_survive_a_restart_and_damage(reservations: Reservations, tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "work" / "reservations.json"
    take(reservations, "ada", ["a"])
    assert take(Reservations(path, 10, clock), "bob", ["a"]) is None
    path.write_text("{")
    assert take(reservations, "bob", ["a"]) == ("a", False)


def test_clock_that_is_set_back_keeps_no_case_from_others(reservations: Reservations, clock: Clock) -> None:
    take(reservations, "ada", ["a"])
    clock.now -= 60
    assert take(reservations, "bob", ["a"]) is None
    clock.now -= 86400
    assert take(reservations, "bob", ["a"]) == ("a", False)


def test_many_who_ask_at_once_get_different_cases(reservations: Reservations) -> None:
    names, taken = [f"image-{n:02}" for n in range(20)], []
    threads = [
        threading.Thread(target=lambda n=n: taken.append(take(reservations, f"client-{n}", names))) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one[0] for one in taken if one) == names


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    write_studies(tmp_path / "studies", 5)
    return tmp_path / "studies"


def strategy(name: str, studies: Path, reservations: Reservations, known: Mapping[str, dict[str, Any]]) -> NextCase:
    stores = open_folder(studies)
    scoring = KnownScores(stores, studies / "none", Scores(studies / "none.json"))
    scoring.known = known
    return NextCase(name, stores, scoring, reservations, random.Random(1))


def score(entropy: float, lesions: int = 1) -> dict[str, Any]:
    return {"entropy": entropy, "lesions": lesions}


def test_first_hands_out_what_is_neither_labelled_nor_taken(studies: Path, reservations: Reservations) -> None:
    first = strategy("first", studies, reservations, {})
    annotate(open_folder(studies), studies, range(1), empty=True)  # "no lesion" is a label too
    answers = [first({"client_id": name}, None) for name in ("ada", "bob", "cleo", "dan", "eve")]
    assert [answer and answer["id"] for answer in answers] == ["image-1", "image-2", "image-3", "image-4", None]
    assert answers[0] is not None
    assert answers[0]["reason"] == "first by id"
    assert answers[0]["reserved_until"] == 1600


def test_reservations_of_no_length_hand_cases_out(studies: Path, tmp_path: Path) -> None:
    first = strategy("first", studies, Reservations(tmp_path / "none" / "reservations.json", minutes=0), {})
    for name in ("ada", "bob"):
        answer = first({"client_id": name}, None)
        assert answer == {"id": "image-0", "reason": "first by id", "reserved_until": 0}


def test_entropy_and_foreground_use_the_scores_there_are(studies: Path, reservations: Reservations) -> None:
    known = {"image-1": score(0.2), "image-2": score(0.7, lesions=0), "image-3": score(0.4)}
    answer = strategy("entropy", studies, reservations, known)({"client_id": "ada"}, None)
    assert answer is not None
    assert answer["id"] == "image-2"
    assert "0.700" in answer["reason"]
    for _ in range(2):
        answer = strategy("foreground_random", studies, reservations, known)({"client_id": "bob"}, None)
        assert answer is not None
        assert answer["id"] in ("image-1", "image-3")
    answer = strategy("foreground_random", studies, reservations, known)({"client_id": "cleo"}, None)
    assert answer is not None
    assert "no case is scored" in answer["reason"]


def test_scores_are_of_images_as_they_are(studies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that was replaced, or removed and followed by a namesake, nothing is known."""
    stores = open_folder(studies)
    scoring = EntropyScoring(stores, studies / "none", Scores(studies.parent / "scores.json"))
    monkeypatch.setattr(scoring, "model_sha256", lambda: "ab")
    for case in stores.cases.cases():
        scoring.scores.write(case.image_id, {"model_sha256": "ab", "revision": case.revision})
    scoring.scores.write("image-0", {"model_sha256": "ab"})
    (studies / "image-1.nii.gz").write_bytes((studies / "image-2.nii.gz").read_bytes())
    (studies / "image-3.nii.gz").unlink()
    stores.cases.refresh()
    assert sorted(scoring.valid()) == ["image-2", "image-4"]


def test_random_reaches_every_case(studies: Path, tmp_path: Path) -> None:
    seen = set()
    for n in range(30):
        reservations = Reservations(tmp_path / f"r{n}" / "reservations.json")
        rng = random.Random(n)
        chosen, reason = STRATEGIES["random"][0]([f"image-{k}" for k in range(5)], {}, rng)
        assert take(reservations, "ada", [chosen]) == (chosen, False)
        seen.add(chosen)
        assert reason == "at random among 5"
    assert len(seen) == 5
