"""The annotation loop without a person: simulated patients, the real server and client, a scripted annotator.

Run as `OMP_NUM_THREADS=1 python benchmarks/annotation_loop.py [--patients whole-body] [--out FOLDER]`. The annotator
asks for the next case, looks at the pre-labels of `percist` and `unet`, corrects them to the truth and submits it.
Retraining starts by itself at 5 and 10 labels. During the second round two more are submitted, and then all twelve
again, shifted by 3 cm: the gate has to refuse what the third round learns from them. At the end the model is rolled
back, promoted again, exported, and run by the deployed application.

The default patients are the simplest there are, a hot ball in a warm box, so that a network learns them in seconds.
Those of `--patients whole-body` come from the simulator, with FDG, and the first model is the network that ships. It
outlines lesions as large as they are; the annotators of this site leave a margin of a voxel around them, as one does
for radiotherapy, and that is what it has to learn from them (about an hour). What it marks by mistake grows with its
contours; this site allows for a tenth of the tumour volume. Either way the numbers say that the loop works, not how
well it would work on patients.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from monailabel.client import MONAILabelClient
from scipy import ndimage

from petlesion.child_processes import ending_with
from petlesion.console import print_rows
from petlesion.evaluate.voxels import voxel_scores
from petlesion.lesions import CONNECTIVITY
from petlesion.networks.registry import Registry
from petlesion.nifti import read_image, read_labels, write_image, write_labels
from petlesion.nrrd import read_nrrd
from petlesion.phantom.simulate import SimulateOptions, simulate_cohort
from petlesion.resample import Interpolation, resample
from petlesion.tracers import TracerName
from petlesion.training.loop import train
from petlesion.training.retrain import RetrainStatus, Stage, read_status
from petlesion.volume import Volume

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

from training_cases import write_case  # noqa: E402

TRACER = TracerName.F18_FDG
SHIFT_MM = 30.0
LABELS, TESTS, BASE = 12, 6, 2
"""Patients: annotated, of the fixed test cohort, and those that the first model has seen."""
RETRAIN_AFTER = 5
FAST = {"affine": 0, "elastic": 0, "pet_blur": 0}
"""Augmentation that costs next to nothing."""
TRAININGS: dict[str, dict[str, Any]] = {
    "balls": {
        "augmentation": FAST,
        "optimiser": {"learning_rate": 0.02},
        "kept_share": 0.0,  # of a first model that knows nothing
        "run": {"steps": 90, "validate_every": 30, "batch": 4, "lesion_share": 0.7, "uptake_share": 0.2},
    },
    "whole-body": {"margins": {"share": 0.1}, "run": {"steps": 600, "validate_every": 100, "batch": 1}},
}
"""What a retraining differs in from the default, by the kind of patients."""
SHIPPED = REPOSITORY / "apps" / "petlesion" / "model" / "unet"


@dataclass
class Log:
    """Rows of the table."""

    began: float = field(default_factory=time.monotonic)
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, event: str, labels: int, version: str = "", dice: str = "", remark: str = "") -> None:
        """Add a row, and show it at once."""
        row = (f"{time.monotonic() - self.began:.0f}", event, str(labels), version, dice, remark)
        self.rows.append(row)
        print("  ".join(row), file=sys.stderr, flush=True)


def outlined(lesions: Volume) -> Volume:
    """Lesions as the annotators of whole bodies outline them: with a margin of a voxel."""
    return Volume(ndimage.binary_dilation(lesions.array > 0, CONNECTIVITY).astype(np.uint8), lesions.grid)


def write_patients(out: Path, kind: str) -> None:
    """Write the images of the server, the truth, and the cohorts of tests and of the first model."""
    count, simulated = LABELS + TESTS + BASE, out / "simulated"
    if kind == "balls":
        for n in range(count):
            write_case(simulated / f"ball-{n:02}", n)
    else:
        options = SimulateOptions(tracer=TRACER, patients=count, seed=40, diseased_fraction=1.0, jobs=2, resume=True)
        simulate_cohort(options, simulated)
    for n, folder in enumerate(sorted(path.parent for path in simulated.glob("*/pet.nii.gz"))):
        if n < LABELS:
            write_study(out, f"patient-{n:02}", read_patient(folder, kind), folder.name)
        else:
            write_labelled(out / ("tests" if n < LABELS + TESTS else "base") / folder.name, read_patient(folder, kind))


def read_patient(folder: Path, kind: str) -> tuple[Volume, Volume, Volume]:
    """PET, CT and what an annotator would submit."""
    pet, ct = read_image(folder / "pet.nii.gz"), read_image(folder / "ct.nii.gz")
    if kind == "balls":
        return pet, ct, read_labels(folder / "lesions.nii.gz")
    return pet, ct, outlined(read_labels(folder / "truth" / "lesions.nii.gz"))


def write_study(out: Path, name: str, patient: tuple[Volume, Volume, Volume], patient_id: str) -> None:
    """An image of the server, and its truth for the annotator."""
    for folder in ("studies/ct", "truth"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    pet, ct, truth = patient
    write_image(pet, out / "studies" / f"{name}.nii.gz")
    write_image(ct, out / "studies" / "ct" / f"{name}.nii.gz")
    (out / "studies" / f"{name}.json").write_text(json.dumps({"patient_id": patient_id, "tracer": TRACER.value}))
    write_labels(truth.array, truth.grid, out / "truth" / f"{name}.nii.gz")


def write_labelled(folder: Path, patient: tuple[Volume, Volume, Volume]) -> None:
    """A case of a cohort."""
    folder.mkdir(parents=True, exist_ok=True)
    pet, ct, truth = patient
    write_image(pet, folder / "pet.nii.gz")
    write_image(ct, folder / "ct.nii.gz")
    write_labels(truth.array, truth.grid, folder / "lesions.nii.gz")
    (folder / "case.json").write_text(json.dumps({"patient_id": folder.name, "tracer": TRACER.value}))


def write_first_model(out: Path, kind: str) -> str:
    """Version 0: the network that ships, or one that has seen two of the balls; says which."""
    target = out / "models" / "unet"
    if kind != "balls":
        shutil.copytree(SHIPPED, target, dirs_exist_ok=True)
        return "the network that ships"
    training = TRAININGS[kind]
    config = {
        "out": "base-run",
        "cache": "base-cache",
        "cohorts": [{"folder": "base"}],
        "split": {"validation": 0},
        "model": {
            "architecture": {"filters": [4, 8, 8]},
            "classes": ["background", "lesion"],
            "spacing_mm": [4.0] * 3,
            "patch": [16] * 3,
        },
        **training,
        "run": {**training["run"], "steps": 1},
    }
    (out / "base.yaml").write_text(json.dumps(config))
    shutil.copytree(train(out / "base.yaml"), target, dirs_exist_ok=True)
    return f"one step on {BASE} patients"


@contextmanager
def server(out: Path, kind: str) -> Iterator[str]:
    """The stock server with this app, as a process."""
    options = {"held_out": 0.25, "test_cohorts": [{"folder": str(out / "tests")}], **TRAININGS[kind]}
    options["run"] = {**options["run"], "device": "cpu", "max_minutes": None}
    (out / "retrain.yaml").write_text(json.dumps(options))
    conf = {
        "models": out / "models",
        "labels": out / "labels",
        "retrain_config": out / "retrain.yaml",
        "retrain_after": RETRAIN_AFTER,
        "score_cases": 4,
    }
    port = _free_port()
    programs = Path(sys.executable).parent
    command = [programs / "monailabel", "start_server", "--app", out / "app", "--studies", out / "studies"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    command += [str(word) for name, value in conf.items() for word in ("--conf", name, value)]
    shutil.copytree(
        REPOSITORY / "apps" / "petlesion",
        out / "app",
        ignore=shutil.ignore_patterns("bin", "logs", "model"),
        dirs_exist_ok=True,
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MONAI")}
    environment |= {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}
    with (out / "server.log").open("a") as log:
        end = ending_with(os.getpid(), signal.SIGTERM)
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=end)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/info/", process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


@dataclass
class Loop:
    """The scripted annotator and what it sees."""

    out: Path
    client: MONAILabelClient
    log: Log
    labels: int = 0

    def annotate_next(self) -> None:
        """Ask for a case, look at both pre-labels, correct to the truth, submit."""
        case = self.client.next_sample("random", {})
        name, truth = case["id"], self.out / "truth" / f"{case['id']}.nii.gz"
        dices = {model: self._dice(model, name, truth) for model in ("percist", "unet")}
        self.client.save_label(name, str(truth), "", {"label_info": [{"name": "lesion", "idx": 1}]})
        self.labels += 1
        remark = f"pre-labels: percist {dices['percist']:.2f}, unet {dices['unet']:.2f}; {case['reason']}"
        self.log(f"submit {name}", self.labels, remark=remark)

    def submit_shifted(self, name: str) -> None:
        """Submit the truth of a case, 3 cm to the side."""
        truth = read_labels(self.out / "truth" / f"{name}.nii.gz")
        moved = np.roll(truth.array, round(SHIFT_MM / truth.grid.spacing_mm[2]), axis=2)
        with tempfile.NamedTemporaryFile(suffix=".nii.gz") as file:
            write_labels(moved.astype(np.uint8), truth.grid, Path(file.name))
            self.client.save_label(name, file.name, "", {"label_info": [{"name": "lesion", "idx": 1}]})
        self.log(f"submit {name}, shifted", self.labels)

    def wait_for(self, number: int, *stages: Stage) -> RetrainStatus:
        """Wait until a round, which starts by itself, has come to a stage; raises if it fails."""
        folder = self.out / "labels-work" / "retraining" / f"round-{number:04}"
        deadline, shown = time.monotonic() + 3600, ""
        while time.monotonic() < deadline:
            status = read_status(folder)
            line = "" if status is None else status.describe()
            if line != shown:
                print(f"    round {number}: {line}", file=sys.stderr, flush=True)
                shown = line
            if status is not None and status.stage is Stage.FAILED:
                raise RuntimeError(f"the round failed: {status.message}")
            if status is not None and status.stage in stages:
                return status
            time.sleep(4)
        raise TimeoutError("the round did not end within an hour; see server.log")

    def wait_for_verdict(self, number: int) -> Stage:
        """Wait for what the gate says of a round."""
        status = self.wait_for(number, Stage.PUBLISHED, Stage.REFUSED)
        version = Registry(self.out / "models" / "unet").version(status.version)
        rows = [row for row in version.gate["comparisons"] if row["group"] == "all" and row["measure"] == "dice"]
        dice = f"{rows[0]['champion']:.3f} → {rows[0]['challenger']:.3f}" if rows else ""
        self.log(f"retraining {status.stage}", self.labels, version.name, dice, status.message)
        return status.stage

    def _dice(self, model: str, name: str, truth: Path) -> float:
        file, _ = self.client.infer(model, name, {})
        true = read_labels(truth)
        found = resample(read_nrrd(Path(file)), true.grid, Interpolation.NEAREST)
        return voxel_scores(found.array > 0, true.array > 0, true.grid.voxel_ml).dice or 0.0


def run_loop(out: Path, loop: Loop) -> None:
    """Twelve labels, two rounds, and one of labels that were all shifted while the second was under way."""
    for _ in range(RETRAIN_AFTER):
        loop.annotate_next()
    loop.wait_for_verdict(1)
    for _ in range(RETRAIN_AFTER):
        loop.annotate_next()
    loop.wait_for(2, Stage.TRAIN)
    while loop.labels < LABELS:
        loop.annotate_next()
    for name in sorted(path.name.removesuffix(".nii.gz") for path in (out / "truth").iterdir()):
        loop.submit_shifted(name)
    loop.wait_for_verdict(2)
    if loop.wait_for_verdict(3) is not Stage.REFUSED:
        raise AssertionError("the poisoned round was published")


def change_models(out: Path, loop: Loop) -> None:
    """Roll back and promote again by the command line; the running server follows."""
    registry = Registry(out / "models" / "unet")
    served = registry.current()
    if not served.number:
        loop.log("no version was published: none to roll back", loop.labels, served.name)
        return
    name = "patient-00"
    for words in (("rollback", "unet"), ("promote", "unet", str(served.number))):
        petlesion("model", *words, "--models", str(out / "models"))
        used = loop.client.infer("unet", name, {})[1]["method"]["weights_sha256"]
        if used != registry.current().sha256:
            raise AssertionError("the server still uses another version")
        loop.log(words[0], loop.labels, registry.current().name, remark=f"the server answers with {used[:12]}")


def deploy(out: Path, log: Log) -> None:
    """Export, and run the deployed application on a simulated DICOM study."""
    petlesion("export", "--model", "unet", "-o", str(out / "deploy-models"), "--models", str(out / "models"))
    petlesion(
        "simulate", "-o", str(out / "dicom"), "--tracer", TRACER, "-n", "1", "--seed", "90", "--dicom", "--resume"
    )
    (study,) = (out / "dicom").glob("*/dicom")
    command = [
        sys.executable,
        REPOSITORY / "deploy_app",
        "-i",
        study,
        "-o",
        out / "results",
        "-m",
        out / "deploy-models",
    ]
    environment = {**os.environ, "PETLESION_METHOD": "unet", "PYTHONPATH": str(REPOSITORY)}
    shutil.rmtree(out / "results", ignore_errors=True)
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (report,) = (out / "results").rglob("report.json")
    record = json.loads(report.read_text())
    current = Registry(out / "models" / "unet").current()
    if record["method"]["weights_sha256"] != current.sha256:
        raise AssertionError("the deployed application used another model")
    remark = f"{record['totals']['n_lesions']} lesions, weights {current.sha256[:12]}"
    log("deployed application", LABELS, current.name, remark=remark)


def petlesion(*words: str) -> None:
    """Run a command."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-m", "petlesion", *words], check=True, env=environment, stdout=subprocess.DEVNULL)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if requests.get(url, timeout=30).ok:
                return
        except requests.RequestException:
            time.sleep(0.5)
    raise RuntimeError("the server did not start; see server.log")


def main() -> None:
    """Parse options, run all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder of everything (a temporary one, removed in the end)")
    parser.add_argument("--patients", choices=list(TRAININGS), default="balls")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = (options.out or Path(temporary)).resolve()
        out.mkdir(parents=True, exist_ok=True)
        log = Log()
        write_patients(out, options.patients)
        log("first model", 0, "v0000", remark=write_first_model(out, options.patients))
        with server(out, options.patients) as url:
            loop = Loop(out, MONAILabelClient(url, client_id="script"), log)
            run_loop(out, loop)
            change_models(out, loop)
        deploy(out, log)
    print_rows(("s", "event", "labels", "version", "Dice, test cohort", "remark"), log.rows)


if __name__ == "__main__":
    main()
