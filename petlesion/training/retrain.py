"""Retraining: from labels to a judged version of the model, resumable after a kill at any moment.

    <run>/retrain.yaml    what is asked for
    <run>/training/       links to the cases that are not held out; removed in the end
    <run>/cache/          the same preprocessed; removed in the end
    <run>/out/            checkpoint and new model
    <run>/status.json     how far it is, and in the end what came of it

Every step can be repeated: training goes on from its checkpoint, judging is computed again, adding and publishing a
version that is there already change nothing.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from petlesion.durable import exclusive, write_durably
from petlesion.errors import PetlesionError, SegmentationError, UsageError
from petlesion.networks.model_folder import CARD, load_model, model_identity
from petlesion.networks.registry import Registry, Version
from petlesion.segment.options import NetworkOptions
from petlesion.training.cases import Case, find_cases, patient_name
from petlesion.training.config import CohortConfig, SplitConfig, read_yaml
from petlesion.training.gate import judge
from petlesion.training.held_out import score_held_out, trained_on
from petlesion.training.loop import MODEL_FOLDER, Status
from petlesion.training.processes import train_on_this_machine
from petlesion.training.retrain_config import RetrainConfig, parse_retrain_config
from petlesion.training.split import validates

STATUS_FILE, CONFIG_FILE, OUT = "status.json", "retrain.yaml", "out"
_LOCK = ".lock"
_STATUS_SECONDS: Final = 1.0
"""Time between two writings of the status at least."""
_STOPPED: Final = "stopped with its server; goes on with the next one"


class Stage(StrEnum):
    """Where a retraining is."""

    PREPARE = "prepare"
    TRAIN = "train"
    JUDGE = "judge"
    PUBLISHED = "published"
    """Ended: the new version is in service."""
    REFUSED = "refused"
    """Ended: the version in service stays."""
    FAILED = "failed"
    """Ended by an error; it can be started again."""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self in (Stage.PUBLISHED, Stage.REFUSED)


@dataclass(frozen=True)
class RetrainStatus:
    """What `status.json` holds.

    Attributes
    ----------
    stage
        Of the run.
    done, total
        Steps or cases of the stage.
    seconds_left
        Of the stage; None where not known.
    message
        In words: the loss, the verdict, the error.
    training_cases, held_out_cases
        Their numbers; None before they are known.
    parent, version
        Version that training started from, and the new one; None before, or without.
    labels_sha256
        Identity of the labels.
    resumed
        How often in a row it has gone on after a kill.
    """

    stage: Stage
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""
    training_cases: int | None = None
    held_out_cases: int | None = None
    parent: int | None = None
    version: int | None = None
    labels_sha256: str = ""
    resumed: int = 0

    def describe(self) -> str:
        """One line for a log."""
        counted = f" {self.done} of {self.total}" if self.total else ""
        left = "" if self.seconds_left is None else f", {_duration(self.seconds_left)} left"
        return f"{self.stage}{counted}{left}{': ' if self.message else ''}{self.message}"


WatchStatus = Callable[[RetrainStatus], None]
"""Called whenever the status has changed."""


def retrain(
    run: Path,
    *,
    watch: WatchStatus = lambda _: None,
    jobs: int = 1,
    prepare: Callable[[], None] = lambda: None,
    most_resumed: int | None = None,
) -> RetrainStatus:
    """Carry out a retraining, or go on with one that was interrupted; an ended one is not done again.

    Parameters
    ----------
    run
        Folder with `retrain.yaml`.
    watch
        Told of the progress, as `status.json` is.
    jobs
        Processes that preprocess.
    prepare
        Writes the cases, before anything is read; its failure is one of the retraining.
    most_resumed
        How often in a row it may go on after a kill, of which a lack of memory is the most frequent reason.

    Returns
    -------
    RetrainStatus
        How it ended.

    Raises
    ------
    UsageError
        If another process is at it, the configuration makes no sense, or there is nothing to train on.
    PetlesionError
        If a case or model cannot be read, or a result cannot be written.

    Whatever is raised, an out-of-memory error too, `status.json` then says that the retraining failed.
    """
    run = run.resolve()  # the configuration of its training lies within, and would be relative to that
    config = parse_retrain_config(read_yaml(run / CONFIG_FILE), run / CONFIG_FILE)
    with exclusive(run / _LOCK, wait=False) as held:
        if not held:
            raise UsageError("another process is at this retraining", where=run, remedy="wait for it to end")
        before = read_status(run)
        if before is not None and before.stage.ended:
            return before
        begun = _begun(before, config)
        report = _Report(run, watch, begun)
        report()
        try:
            if most_resumed is not None and begun.resumed > most_resumed:
                raise SegmentationError(
                    f"training was killed {begun.resumed} times in a row",
                    remedy="give it more memory, or train again with other options, such as a smaller batch",
                )
            prepare()
            return _Retraining(run, config, report, before, jobs).finish()
        except Exception as error:
            message = str(error) if isinstance(error, PetlesionError) else f"{type(error).__name__}: {error}"
            report(stage=Stage.FAILED, message=" ".join(message.split()), done=0, total=0, seconds_left=None)
            raise


def _begun(before: RetrainStatus | None, config: RetrainConfig) -> RetrainStatus:
    """Where a retraining is that begins, goes on after a kill, or is tried again after a failure."""
    if before is None:
        return RetrainStatus(Stage.PREPARE, labels_sha256=config.labels_sha256)
    if before.stage is Stage.FAILED:
        return replace(before, stage=Stage.PREPARE, message="", resumed=0, labels_sha256=config.labels_sha256)
    return replace(before, resumed=before.resumed + (before.message != _STOPPED), message="")


def note_stop(run: Path) -> None:
    """Note that the process at a run is about to end because it was told to: no kill that counts."""
    status = read_status(run)
    if status is not None and not (status.stage.ended or status.stage is Stage.FAILED):
        _write_status(run, replace(status, message=_STOPPED))


def read_status(run: Path) -> RetrainStatus | None:
    """The status of a run; None before it has begun. One that cannot be read, as of another version, has failed."""
    path = run / STATUS_FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return RetrainStatus(**{**values, "stage": Stage(values["stage"])})
    except (ValueError, TypeError, KeyError) as error:
        return RetrainStatus(Stage.FAILED, message=f"{STATUS_FILE} cannot be read ({error})")


class _Report:
    """Keeps the status, writes it to the disk and tells who watches."""

    def __init__(self, run: Path, watch: WatchStatus, status: RetrainStatus) -> None:
        self._run, self._watch, self.status = run, watch, status
        self._written = float("-inf")

    def __call__(self, **changes: Any) -> RetrainStatus:
        """Change the status; more than once a second only what matters is written."""
        turned = changes.get("stage", self.status.stage) is not self.status.stage
        self.status = replace(self.status, **changes)
        now = time.monotonic()
        if turned or now - self._written >= _STATUS_SECONDS:
            _write_status(self._run, self.status)
            self._written = now
            self._watch(self.status)
        return self.status


def _write_status(run: Path, status: RetrainStatus) -> None:
    write_durably(run / STATUS_FILE, (json.dumps(asdict(status), indent=1) + "\n").encode())


@dataclass(frozen=True, eq=False)
class _Retraining:
    run: Path
    config: RetrainConfig
    report: _Report
    before: RetrainStatus | None
    jobs: int

    @property
    def registry(self) -> Registry:
        return Registry.of(self.config.models, self.config.name)

    def finish(self) -> RetrainStatus:
        """Train unless that is done, judge unless that is done, publish unless that is done."""
        cases = find_cases([CohortConfig(folder=self.config.cases)])
        training, held_out = _parted(cases, self.config.held_out)
        if not training:
            raise UsageError(
                f"all {len(cases)} labelled cases belong to held-out patients",
                remedy="label more patients, or lower held_out before the first retraining",
            )
        tests = find_cases(self.config.test_cohorts)
        judging = self._unseen(held_out, tests, [*training, *find_cases(self.config.cohorts)])
        left_out = len(held_out) + len(tests) - len(judging)
        parent = self._parent()
        self.report(
            training_cases=len(training),
            held_out_cases=len(judging),
            parent=None if parent is None else parent.number,
        )
        challenger = self.run / OUT / MODEL_FOLDER
        if self.before is None or self.before.stage is not Stage.JUDGE or not challenger.is_dir():
            self._train(training, parent)
        status = self._end(self._judged(challenger, judging, left_out))
        for name in ("training", "cache"):
            shutil.rmtree(self.run / name, ignore_errors=True)
        return status

    def _parent(self) -> Version | None:
        """The version to start from; when resumed, the one that training did start from."""
        if self.config.from_scratch:
            return None
        if self.before is not None and self.before.parent is not None:
            return self.registry.version(self.before.parent)
        return self.registry.current()

    def _unseen(self, held_out: Sequence[Case], tests: Sequence[Case], training: Sequence[Case]) -> list[Case]:
        """Cases of patients that neither this run nor any version before was trained on.

        The share may have been another then. A case of the annotators keeps its name while its label, and with it its
        content, changes; cards name cases and no patients, so that a patient is known by the case that was trained on.
        The annotation server hides the ids of its patients; those of a test cohort may be plain.
        """
        cards = [_card(version) for version in self.registry.versions()]
        names, contents = trained_on(cards, "name"), trained_on(cards, "sha256")
        contents |= {case.content_sha256() for case in training}
        patients = {case.patient_id for case in training}
        patients |= {case.patient_id for case in held_out if case.name in names}
        patients |= {patient_name(patient) for patient in patients}
        images = {case.pet_sha256() for case in training}
        return [
            case
            for case in [*held_out, *tests]
            if patients.isdisjoint({case.patient_id, patient_name(case.patient_id)})
            and case.content_sha256() not in contents
            and case.pet_sha256() not in images
        ]

    def _train(self, cases: Sequence[Case], parent: Version | None) -> None:
        if parent is not None:
            parent.verify()
        _link(cases, self.run / "training")
        config = self.config.training(
            self.run / OUT, self.run / "cache", self.run / "training", None if parent is None else parent.folder
        )
        path = self.run / "train.yaml"
        write_durably(path, json.dumps(config.model_dump(mode="json")).encode())  # JSON is YAML

        def watch(status: Status) -> None:
            self.report(
                stage=Stage.TRAIN,
                done=status.step,
                total=status.steps,
                seconds_left=status.seconds_left,
                message=f"loss {status.loss:.3f}",
            )

        def prepared(done: int, total: int) -> None:
            self.report(stage=Stage.PREPARE, done=done, total=total, message="")

        train_on_this_machine(path, watch=watch, progress=prepared, jobs=self.jobs)

    def _judged(self, folder: Path, held_out: Sequence[Case], left_out: int) -> Version:
        """The new version; one that was judged before the run was killed is not judged again."""
        self.report(stage=Stage.JUDGE, done=0, total=len(held_out), seconds_left=None, message="")
        sha256 = model_identity(folder)
        known = next((version for version in self.registry.versions() if version.sha256 == sha256), None)
        if known is not None:
            return known
        challenger = load_model(folder)
        found = self.registry.find_current()
        champion = None if found is None else load_model(found.folder, found.sha256)
        began = time.monotonic()

        def progress(done: int, total: int) -> None:
            left = (time.monotonic() - began) / done * (total - done) if done else None
            self.report(done=done, total=total, seconds_left=left)

        options = NetworkOptions(device=self.config.run.device)
        scores = score_held_out(held_out, champion, challenger, options, progress=progress)
        decision = judge(scores, self.config.margins, min_patients=self.config.min_patients)
        record = {
            **decision.record(),
            "champion": None if found is None else found.identity,
            "labels_sha256": self.config.labels_sha256,
            "held_out_share": self.config.held_out,
            "left_out": left_out,
        }
        return self.registry.add(folder, record)

    def _end(self, version: Version) -> RetrainStatus:
        """Publish an accepted version, unless a person has put another into service since."""
        left_out = version.gate.get("left_out")
        seen = f"; held-out cases left out because they were trained on: {left_out}" if left_out else ""
        published, message = version.gate["accepted"] is True, str(version.gate["verdict"])
        # Once: a person may have rolled it back since.
        if published and version.number not in {change.version for change in self.registry.history()}:
            try:
                self.registry.publish(version.number)
            except UsageError as error:
                published, message = False, f"{message}, but {error}"
        if published and self.config.export is not None:
            self.registry.export(self.config.export)
        return self.report(
            stage=Stage.PUBLISHED if published else Stage.REFUSED,
            done=0,
            total=0,
            seconds_left=None,
            message=f"{message}{seen}",
            version=version.number,
        )


def _parted(cases: Sequence[Case], share: float) -> tuple[list[Case], list[Case]]:
    """Cases to train on, and those that are held out."""
    split = SplitConfig(validation=share)
    held_out = [case for case in cases if validates(case.patient_id, split)]
    return [case for case in cases if case not in held_out], held_out


def _link(cases: Sequence[Case], folder: Path) -> None:
    """A cohort of links: what is held out is not within reach of training."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for case in cases:
        (folder / case.name).symlink_to(case.folder.resolve(), target_is_directory=True)


def _card(version: Version) -> dict[str, Any]:
    return dict(json.loads((version.folder / CARD).read_text(encoding="utf-8")))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
