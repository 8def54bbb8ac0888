"""PET/CT lesions in MONAI Label: `monailabel start_server --app apps/petlesion --studies FOLDER_OR_DICOMWEB_URL`."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.exception import MONAILabelError, MONAILabelException
from monailabel.utils.async_tasks.task import AsyncTask

from lib.activelearning.strategies import NextCase
from lib.datastore.annotations import WATCH_INTERVAL_S, Annotations
from lib.datastore.image_copies import LIMIT_BYTES, ImageCopies
from lib.datastore.image_ids import UnknownImageError
from lib.datastore.image_notes import ImageNotes
from lib.datastore.petct_datastore import PetCtDatastore
from lib.datastore.stores import bytes_of, open_stores
from lib.datastore.uploads import check_image_size
from lib.editing import install_editing
from lib.endpoints import UnknownModelError, install
from lib.infers.tasks import Job, LesionTask, all_tasks
from lib.learning import MODEL, Learning
from lib.retraining.starts import TrainingStarts
from lib.retraining.stops import on_stop
from lib.scoring.agreement import AgreementScoring
from lib.scoring.entropy import EntropyScoring
from lib.trainers.network import NetworkTrainer
from lib.viewer import install_viewer
from petlesion import __version__
from petlesion.errors import ExitCode, PetlesionError
from petlesion.networks.installed import MODELS_VARIABLE
from petlesion.reader import read_nifti

NICENESS = 10
"""Of training: annotators who wait for a pre-label go first."""

logger = logging.getLogger(__name__)


class PetLesion(MONAILabelApp):  # type: ignore[misc]
    """The app; MONAI Label makes one a process.

    Parameters
    ----------
    app_dir
        This folder.
    studies
        Folder of images, or URL of a DICOMweb server.
    conf
        `--conf` options: those of `lib.datastore.stores.open_stores` and of `lib.learning`; `models`, the folder of the
        models' versions (default: what `PETLESION_MODELS` names, else `model` in this folder); and `copies_gb`, the
        copies of images that are kept for clients that download them (20).
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self._models = Path(conf.get("models") or os.environ.get(MODELS_VARIABLE) or Path(app_dir) / "model")
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="petlesion",
            description="Tumour lesions in PET/CT. Research software, not a medical device.",
            version=__version__,
            labels=["lesion"],
        )
        # On each request and at each start, MONAI Label would queue a process that scores every label anew.
        self._auto_update_scoring = False
        server = sys.modules.get("monailabel.app")
        if server is not None:
            install(server.app, studies)
            install_editing(server.app, self.datastore().annotations, self._learning.reservations)
            install_viewer(server.app, studies)

    def init_datastore(self) -> Datastore:
        """Images and labels of `studies`."""
        stores = open_stores(self.studies, self.conf)
        try:
            stores.cases.refresh()
        except PetlesionError as error:
            logger.warning("%s; the server starts all the same and tries again", error)
        self._learning = Learning(stores, self._models, self.conf)
        self._starts = TrainingStarts(self._learning.training_due, self._start_training)
        work = stores.labels.folder.parent / f"{stores.labels.folder.name}-work"
        self._results = work / "results"
        release = self._learning.reservations.release
        copies = ImageCopies(work / "images", bytes_of(self.conf, "copies_gb", LIMIT_BYTES))
        return PetCtDatastore(Annotations(stores), ImageNotes(work / "notes"), copies, self.studies, release)

    def init_infers(self) -> dict[str, LesionTask]:
        """Pre-labels and networks."""
        return all_tasks(self._models)

    def init_trainers(self) -> dict[str, NetworkTrainer]:
        """Retraining of the network."""
        return self._learning.trainers

    def init_strategies(self) -> dict[str, NextCase]:
        """Which case to annotate next."""
        return self._learning.strategies

    def init_scoring_methods(self) -> dict[str, EntropyScoring | AgreementScoring]:
        """Scores, on demand."""
        return self._learning.scoring_methods

    def on_init_complete(self) -> None:
        """Begin to look for new images and labels, and to start what trainings are due; called by the server alone."""
        super().on_init_complete()
        # What an earlier server was about to send: SIGTERM, which ends it, leaves no time to remove that.
        shutil.rmtree(self._results, ignore_errors=True)
        if self._learning.rounds.interrupted():
            logger.info("a retraining was interrupted and goes on")
            self.async_training(MODEL)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def train(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Train, in a process of its own behind those that annotators wait for."""
        if not self._server_mode:
            os.nice(NICENESS)
            on_stop(self._learning.rounds.note_stop)
        return dict(super().train(request))

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The case that a strategy chooses, with the `path` of its file where there is one already.

        MONAI Label would write the file now, which takes as long as loading the case, and of most cases nobody wants
        it: 3D Slicer fetches an image that it finds under no `path`, and OHIF reads DICOM.
        """
        name = str(request.get("strategy") or "random")
        if name not in self._strategies:
            raise MONAILabelException(MONAILabelError.INVALID_INPUT, f"There is no strategy {name[:40]!r}")
        chosen = self._strategies[name](request, self.datastore())
        if chosen is None:
            return {}
        path = self.datastore().image_file(self.datastore().cases.case(chosen["id"]))
        return {**chosen, "path": str(path)} if path.is_file() else dict(chosen)

    def cleanup_sessions(self) -> None:
        """Remove uploads that have expired, those of earlier servers too.

        MONAI Label removes none until one was sent since the start, and a folder without a readable `meta.info` ends
        its cleaning for good.
        """
        sessions = self.sessions()
        folder = None if sessions is None else Path(sessions.store_path)
        for each in folder.iterdir() if folder is not None and folder.is_dir() else ():
            with contextlib.suppress(FileNotFoundError):  # a client has removed it meanwhile
                if each.is_dir() and _expiry(each, sessions.expiry) < time.time():
                    sessions.remove_session(each.name)

    def bundle_path(self, model: str) -> str:  # noqa: ARG002
        """Path that training, scoring and batches import from, beside the app: one that holds nothing.

        MONAI Label takes it from the request where the app names none, and a client could name a folder of uploads.
        """
        return os.devnull

    def _start_training(self, request: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Start a training, unless one that a client asked for is running."""
        running, _ = AsyncTask.status("train", check_if_running=True)
        task: Mapping[str, Any] | None = None if running else self.async_training(MODEL, request)
        return task

    def _watch(self) -> None:
        annotations, copies = self.datastore().annotations, self.datastore().copies
        archive = annotations.stores.archive
        looks = [annotations.watch, self._starts.consider, copies.prune, *([] if archive is None else [archive.prune])]
        while True:
            for look in looks:
                try:
                    look()
                except PetlesionError as error:
                    logger.warning("%s", error)
                except Exception:
                    logger.exception("looking for what is new failed; it is tried again")
            time.sleep(WATCH_INTERVAL_S)

    def batch_infer(self, request: Mapping[str, Any], datastore: PetCtDatastore | None = None) -> dict[str, Any]:
        """Run a model on many images, on one device: MONAI Label's `multi_gpu` divides by the number of GPUs.

        Images that are gone, or cannot be read or segmented, are left out.
        """

        def infer_or_leave_out(one: Mapping[str, Any], store: PetCtDatastore) -> dict[str, Any]:
            try:
                return self.infer(one, store)
            except PetlesionError as error:
                of_all = error.exit_code in (ExitCode.USAGE, ExitCode.MODEL)
                if of_all and not isinstance(error, UnknownImageError):
                    raise
                logger.warning("%s is left out: %s", one["image"], error)
                return {}

        request = {**request, "multi_gpu": False}
        return dict(self._batch_infer(request, datastore or self.datastore(), infer_or_leave_out))

    def infer(self, request: Mapping[str, Any], datastore: PetCtDatastore | None = None) -> dict[str, Any]:
        """Run a model on an image.

        Parameters
        ----------
        request
            `model`, `image` (id of a PET, or of its CT; the file of a session), and options of the model; with
            `save_label` the result is kept under `label_tag` (default `original`).
        datastore
            Default: that of the app.

        Returns
        -------
        dict
            `file`, a file with the label that the caller removes, and `params`, the JSON of the result.

        Raises
        ------
        PetlesionError
            If there is no such model or image, an option is out of range, or nothing can be segmented.
        """
        datastore = datastore or self.datastore()
        model = str(request.get("model") or "")
        task = self._infers.get(model)
        if task is None or not task.is_valid():
            names = ", ".join(name for name, each in self._infers.items() if each.is_valid())
            raise UnknownModelError(f"there is no model {model[:40]!r}", remedy=f"use one of {names}")
        began = time.monotonic()
        image = str(request["image"])
        study, grid = self._open_file(Path(image)) if Path(image).is_absolute() else datastore.annotations.open(image)
        loaded = time.monotonic()
        job = Job(study, grid, request, self._results)
        file, result = task({"job": job, "output": request.get("output")})
        ended = time.monotonic()
        result["latencies"] = {"load": round(loaded - began, 3), "infer": round(ended - loaded, 3)}
        logger.info("%s of %s in %.2f s, loaded in %.2f s", model, image, ended - loaded, loaded - began)
        label_id: str = file
        tag = request.get("label_tag") or DefaultLabelTag.ORIGINAL
        tag = tag.value if isinstance(tag, DefaultLabelTag) else str(tag)
        if str(request.get("save_label", "false")).lower() == "true":
            label_id = datastore.save_label(image, file, tag, {"model": model, "params": result})
        return {"label": label_id, "tag": tag, "file": file, "params": result}

    def _open_file(self, path: Path) -> Any:
        """A SUV image that a client uploaded, with a session or with the request."""
        sessions = self.sessions()
        allowed = [Path(tempfile.gettempdir()), *([] if sessions is None else [Path(sessions.store_path)])]
        if not (path.is_file() and any(path.resolve().is_relative_to(folder.resolve()) for folder in allowed)):
            raise UnknownImageError("the image is no uploaded file", remedy="upload one, or give the id of an image")
        check_image_size(path)
        study = read_nifti(path)
        return study, study.pet.grid


def _expiry(session: Path, longest_s: float) -> float:
    """When the folder of a session expires, seconds since 1970: as its record says, or else by its age."""
    try:
        record = json.loads((session / "meta.info").read_text(encoding="utf-8"))
        return float(record["last_access_ts"]) + float(record["expiry"])
    except (OSError, ValueError, TypeError, KeyError):
        return session.stat().st_mtime + longest_s
