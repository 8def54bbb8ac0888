"""The deployed application as a scheduler runs it: a process, its exit code, its log, its files, its signals."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydicom import Dataset, dcmread

from petlesion.cli import run as command_line
from petlesion.errors import ExitCode
from petlesion.report import Report

pytest.importorskip("holoscan", reason="holoscan is not installed")

DEPLOY_APP = Path(__file__).resolve().parents[2] / "deploy_app"
DICOM_RESULTS = {"seg.dcm", "sr.dcm", "rtstruct.dcm"}
RESULTS = DICOM_RESULTS | {"report.pdf", "report.json", "lesions.csv"}
MACHINE_RESULTS = {"metadata.json", "result.json"}
MARK = "ZZMARKZZ"
MARKED_NUMBER = "74317431"
RunHere = Callable[..., tuple[int, str, str]]


def environment(**variables: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("PETLESION_", "HOLOSCAN_"))}
    return own | {"PETLESION_METHOD": "fixed", "OMP_NUM_THREADS": "1"} | variables


def command(study: Path, out: Path) -> list[str]:
    return [sys.executable, str(DEPLOY_APP), "-i", str(study), "-o", str(out), "-m", str(out.parent)]


def run(study: Path, out: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(study, out), env=environment(**variables), capture_output=True, text=True, check=False, timeout=300
    )


def lines(stdout: str) -> list[dict[str, Any]]:
    """The log; every line of it must be a JSON object."""
    return [dict(json.loads(line)) for line in stdout.splitlines()]


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def metadata(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "metadata.json").read_text()))


def edit(folder: Path, change: Callable[[Dataset], None]) -> None:
    for path in folder.rglob("*.dcm"):
        header = dcmread(path)
        change(header)
        header.save_as(path)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PET and CT of a small body with two spheres."""
    folder = tmp_path_factory.mktemp("phantom") / "study"
    script = (
        f"import sys; sys.path.insert(0, {str(DEPLOY_APP)!r}); from pathlib import Path; "
        "from selftest import write_phantom; write_phantom(Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture
def study(phantom: Path, tmp_path: Path) -> Path:
    """A copy to edit."""
    return Path(shutil.copytree(phantom, tmp_path / "input" / "study"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained network, as `petlesion export` hands it on."""
    from petlesion.networks.model_config import ArchitectureConfig, ModelConfig
    from petlesion.networks.model_folder import write_model
    from petlesion.networks.registry import Registry
    from petlesion.networks.unet import build_unet

    folder = tmp_path_factory.mktemp("models")
    config = ModelConfig(architecture=ArchitectureConfig(filters=(2, 4, 8)), patch=(32, 32, 32))
    write_model(folder / "site" / "unet", build_unet(config).state_dict(), config, {})
    Registry.of(folder / "site", "unet").export(folder / "exported")
    return folder / "exported"


def give_uid(header: Dataset, uid: str) -> None:
    """Make an image part of another study."""
    header.StudyInstanceUID = uid
    header.SeriesInstanceUID += uid[-2:]
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID + uid[-2:]


def mark(header: Dataset) -> None:
    for keyword in (
        "PatientName",
        "PatientID",
        "AccessionNumber",
        "StudyDescription",
        "SeriesDescription",
        "InstitutionName",
    ):
        setattr(header, keyword, MARK)
    header.PatientBirthDate = "19431231"
    header.StudyInstanceUID = f"1.2.826.0.1.{MARKED_NUMBER}"
    header.SeriesInstanceUID += f".{MARKED_NUMBER}"
    header.add_new(0x00091010, "LO", MARK)


def test_same_results_as_the_command_line_and_no_identifier_in_the_log(study: Path, out: Path, tmp_path: Path) -> None:
    edit(study, mark)
    marked = study.rename(study.with_name(f"{MARK}^{MARKED_NUMBER}"))
    result = run(marked, out, HOME="/proc/nowhere")
    assert result.returncode == ExitCode.DONE, result.stdout
    assert names(out) == RESULTS | MACHINE_RESULTS
    _same_as_command_line(marked, out, tmp_path / "cli")
    for stream in (result.stdout, result.stderr, (out / "result.json").read_text()):
        assert not [each for each in (MARK, MARKED_NUMBER, "19431231") if each in stream]
    log = lines(result.stdout)
    operators = [line["operator"] for line in log if line["event"] == "operator done"]
    assert operators == ["load", "select", "read", "segment", "measure", "write"]
    assert all(line["seconds"] >= 0 for line in log if line["event"] == "operator done")
    assert (log[-1]["event"], log[-1]["exit_code"]) == ("run ends", 0)
    assert result.stderr == ""


def _same_as_command_line(study: Path, out: Path, expected: Path, method: str = "fixed") -> None:
    assert command_line(["segment", str(study), "-o", str(expected), "--method", method]) == ExitCode.DONE
    assert {"report.json", "report.pdf", "seg.dcm"} <= names(expected)
    for path in expected.iterdir():
        assert path.read_bytes() == (out / path.name).read_bytes(), path.name
    report, found = Report.from_json((out / "report.json").read_text()), metadata(out)
    assert (found["status"], found["exit_code"]) == ("done", 0)
    assert found["n_lesions"] == report.totals.n_lesions > 0
    assert found["total_tumor_volume_ml"] == report.totals.ttv_ml
    assert json.loads((out / "result.json").read_text())["__mercure_notification"]["requested"] is True


def test_real_study_gives_the_same_results_as_the_command_line(shared_data: Path, out: Path, tmp_path: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_010"
    result = run(study, out, PETLESION_METHOD="gradient")
    assert result.returncode == ExitCode.DONE, result.stdout
    _same_as_command_line(study, out, tmp_path / "cli", "gradient")


def test_several_studies_fail_on_their_own(phantom: Path, tmp_path: Path, out: Path) -> None:
    def no_weight(study: Path) -> None:
        edit(study / "PT", lambda header: setattr(header, "PatientWeight", None))

    def slice_missing(study: Path) -> None:
        sorted((study / "PT").iterdir())[10].unlink()

    def not_corrected(study: Path) -> None:
        def remove(header: Dataset) -> None:
            header.CorrectedImage = ["DECY"]
            header.AttenuationCorrectionMethod = "NONE"

        edit(study / "PT", remove)

    damages: dict[str, Callable[[Path], None]] = {
        "1.2.1": lambda study: None,
        "1.2.2": no_weight,
        "1.2.3": slice_missing,
        "1.2.4": not_corrected,
        "1.2.5": lambda study: shutil.rmtree(study / "CT"),
    }
    for uid, damage in damages.items():
        copy = Path(shutil.copytree(phantom, tmp_path / "input" / uid))
        edit(copy, partial(give_uid, uid=uid))
        damage(copy)
    (tmp_path / "input" / "notes.txt").write_text("not DICOM")
    result = run(tmp_path / "input", out)
    assert result.returncode == ExitCode.NO_SUV, result.stdout
    assert names(out) == set(damages) | MACHINE_RESULTS
    for uid in ("1.2.1", "1.2.5"):
        assert names(out / uid) == RESULTS | MACHINE_RESULTS
    assert metadata(out / "1.2.1")["ct_used"]
    assert not metadata(out / "1.2.5")["ct_used"]
    for uid, code in (("1.2.2", ExitCode.NO_SUV), ("1.2.3", ExitCode.GEOMETRY), ("1.2.4", ExitCode.NO_PET)):
        assert names(out / uid) == MACHINE_RESULTS
        assert metadata(out / uid)["exit_code"] == code
    assert metadata(out)["n_failed"] == 3
    assert metadata(out)["n_lesions"] == sum(metadata(out / uid)["n_lesions"] for uid in ("1.2.1", "1.2.5"))
    lists = [(out / name).read_bytes() for name in sorted(MACHINE_RESULTS)]
    assert run(tmp_path / "input", out).returncode == ExitCode.OUTPUT
    assert [(out / name).read_bytes() for name in sorted(MACHINE_RESULTS)] == lists
    assert [study["folder"] for study in metadata(out)["studies"]] == sorted(damages)


def test_list_of_studies_that_cannot_be_written_has_the_code_of_outputs(
    phantom: Path, tmp_path: Path, out: Path
) -> None:
    for uid in ("1.2.1", "1.2.2"):
        edit(Path(shutil.copytree(phantom, tmp_path / "input" / uid)), partial(give_uid, uid=uid))
    (out / "metadata.json").mkdir(parents=True)
    result = run(tmp_path / "input", out)
    assert result.returncode == ExitCode.OUTPUT, result.stdout
    assert names(out / "1.2.2") == RESULTS | MACHINE_RESULTS


@pytest.mark.parametrize(
    ("prepare", "code"),
    [
        (lambda study: [path.write_bytes(b"no image") for path in study.rglob("*.dcm")], ExitCode.NO_DICOM),
        (lambda study: shutil.rmtree(study / "PT"), ExitCode.NO_PET),
    ],
    ids=["no DICOM", "no PET"],
)
def test_input_without_a_pet_has_its_code(
    study: Path, out: Path, prepare: Callable[[Path], None], code: ExitCode
) -> None:
    prepare(study)
    result = run(study, out)
    assert result.returncode == code, result.stdout
    assert names(out) == MACHINE_RESULTS
    assert metadata(out)["exit_code"] == code
    assert "Traceback" not in result.stdout + result.stderr


def test_only_wanted_results_are_written(study: Path, out: Path) -> None:
    result = run(study, out, PETLESION_OUTPUTS="seg,nifti", PETLESION_SUV="100")
    assert result.returncode == ExitCode.DONE, result.stdout
    assert names(out) == {"lesions.nii.gz", "report.json"} | MACHINE_RESULTS  # no lesion above SUV 100: no SEG
    assert metadata(out)["n_lesions"] == 0


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> RunHere:
    """The same in this process, for what ends before another one is started: exit code, stdout and stderr."""
    monkeypatch.syspath_prepend(DEPLOY_APP)
    commands = importlib.import_module("commands")

    def call(*arguments: str, **variables: str) -> tuple[int, str, str]:
        monkeypatch.setattr(os, "environ", environment(**variables))
        capfd.readouterr()
        return commands.main(list(arguments)), *capfd.readouterr()

    return call


@pytest.mark.parametrize(
    ("variables", "words"),
    [({"PETLESION_METHOD": "magic"}, "PETLESION_METHOD"), ({"PETLESION_SUVV": "3"}, "did you mean PETLESION_SUV")],
)
def test_bad_option_ends_at_once(here: RunHere, study: Path, out: Path, variables: dict[str, str], words: str) -> None:
    code, stdout, _ = here(*command(study, out)[2:], **variables)
    assert code == ExitCode.USAGE
    assert words in lines(stdout)[-1]["message"]
    assert not out.exists()


def test_input_that_does_not_exist_is_named_in_metadata_alone(out: Path) -> None:
    result = run(out.parent / MARK, out)
    assert result.returncode == ExitCode.USAGE
    assert any("input does not exist" in line.get("message", "") for line in lines(result.stdout))
    assert MARK in metadata(out)["exception_message"]
    for text in (result.stdout, result.stderr, (out / "result.json").read_text()):
        assert MARK not in text


@pytest.mark.parametrize("more", [[MARK], ["show", MARK], [f"--{MARK}"]])
def test_wrong_command_line_is_not_repeated_in_the_log(here: RunHere, study: Path, out: Path, more: list[str]) -> None:
    code, stdout, stderr = here(*command(study, out)[2:], *more)
    assert code == ExitCode.USAGE
    assert "wrong command line" in lines(stdout)[-1]["message"]
    assert MARK not in stdout + stderr


def run_obeying_permissions(study: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """As a user who is stopped by the permissions of folders, which root otherwise is not."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed")
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    return subprocess.run(
        [*drop, *command(study, out)], env=environment(), capture_output=True, text=True, check=False, timeout=300
    )


def test_folder_of_somebody_else_in_the_output_is_passed_over(study: Path, out: Path) -> None:
    """Such as `lost+found`, where the output is a volume."""
    (out / "lost+found").mkdir(parents=True, mode=0)
    result = run_obeying_permissions(study, out)
    assert result.returncode == ExitCode.DONE, result.stdout + result.stderr
    assert names(out) == RESULTS | MACHINE_RESULTS | {"lost+found"}


def test_folders_without_permission_end_a_run_before_it_computes(study: Path, out: Path) -> None:
    out.mkdir(mode=0o555)
    result = run_obeying_permissions(study, out)
    assert result.returncode == ExitCode.OUTPUT, result.stdout + result.stderr
    out.chmod(0o755)
    study.chmod(0)
    result = run_obeying_permissions(study, out)
    assert result.returncode == ExitCode.USAGE, result.stdout + result.stderr
    assert any("input cannot be read" in line.get("message", "") for line in lines(result.stdout))
    assert not any(line["event"] == "graph starts" for line in lines(result.stdout))


def test_output_below_a_folder_that_may_not_be_entered_is_no_surprise(study: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    result = run_obeying_permissions(study, tmp_path / "locked" / "out")
    assert result.returncode == ExitCode.OUTPUT, result.stdout
    assert "raised_at" not in lines(result.stdout)[-1]
    assert result.stderr == ""


def test_error_that_nobody_foresaw_has_a_code_and_no_traceback(study: Path, out: Path, tmp_path: Path) -> None:
    """Such as an installation that is broken."""
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "highdicom.py").write_text("raise RuntimeError('a library is broken')")
    result = run(study, out, PYTHONPATH=str(tmp_path / "broken"))
    assert result.returncode == ExitCode.SEGMENTATION
    assert [line["raised_at"].endswith("highdicom.py:1") for line in lines(result.stdout) if "raised_at" in line] == [
        True
    ]
    assert result.stderr == ""


def test_results_of_an_earlier_run_stay(study: Path, out: Path) -> None:
    out.mkdir()
    (out / "sr.dcm").write_text("earlier")
    result = run(study, out)
    assert result.returncode == ExitCode.OUTPUT
    assert names(out) == {"sr.dcm"}


@pytest.fixture
def started(study: Path, out: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a run and wait until an operator is done."""
    processes = []

    def start(operator: str, **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(command(study, out), env=environment(**variables), stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line).get("operator") == operator:
                return process
        raise AssertionError(f"{operator} was never done")

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("operator", ["load", "measure"])
def test_sigterm_ends_within_five_seconds_and_leaves_nothing(
    started: Callable[..., subprocess.Popen[str]], out: Path, operator: str
) -> None:
    process = started(operator)
    children = psutil.Process(process.pid).children(recursive=True)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert time.monotonic() - asked < 5
    assert not out.exists() or names(out) == set()
    assert children
    assert not [child for child in children if child.is_running()]


def test_sigterm_right_at_the_start_ends_the_run_too(study: Path, out: Path) -> None:
    process = subprocess.Popen(command(study, out), env=environment(), stdout=subprocess.PIPE, text=True)
    status = Path(f"/proc/{process.pid}/status")
    deadline = time.monotonic() + 60
    while not int(status.read_text().split("SigBlk:")[1].split()[0], 16) & 1 << signal.SIGTERM - 1:
        assert time.monotonic() < deadline, "SIGTERM is not blocked"
        time.sleep(0.005)  # until Python is up; the application is imported after that
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert lines(stdout)[-1]["exit_code"] == 128 + signal.SIGTERM
    assert not out.exists()


def test_crash_of_the_graph_has_a_code_and_no_dicom(started: Callable[..., subprocess.Popen[str]], out: Path) -> None:
    process = started("measure")
    for child in psutil.Process(process.pid).children():
        child.kill()
    assert process.wait(timeout=30) == ExitCode.SEGMENTATION
    assert names(out) == MACHINE_RESULTS
    assert "SIGKILL" in metadata(out)["exception_message"]
    assert "SIGKILL" in (out / "result.json").read_text()


def test_half_moved_results_go_however_the_graph_ended(study: Path, out: Path, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        f"from pathlib import Path\nout = Path({str(out)!r})\n(out / '.petlesion-x').mkdir(parents=True)\n"
        "(out / 'seg.dcm').write_text('half')\nraise SystemExit(1)\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(DEPLOY_APP)!r}); import supervisor; from pathlib import Path; "
        f"supervisor.WORKER = Path({str(worker)!r}); from commands import main; sys.exit(main(sys.argv[1:]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *command(study, out)[2:]],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == ExitCode.SEGMENTATION, result.stdout + result.stderr
    assert names(out) == MACHINE_RESULTS


def test_graph_ends_with_a_supervisor_that_is_killed(study: Path, out: Path, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text("import time\nprint('graph', flush=True)\ntime.sleep(600)\n")
    script = (
        f"import sys; sys.path.insert(0, {str(DEPLOY_APP)!r}); import supervisor; from pathlib import Path; "
        f"supervisor.WORKER = Path({str(worker)!r}); from commands import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, *command(study, out)[2:]], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while process.stdout.readline() != "graph\n":
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=30)  # returns once nobody holds stdout any more


def test_time_that_is_over_has_a_code_and_no_dicom(study: Path, out: Path) -> None:
    result = run(study, out, PETLESION_TIMEOUT="0.5")
    assert result.returncode == ExitCode.SEGMENTATION
    assert names(out) == MACHINE_RESULTS
    assert "0.5 s" in metadata(out)["exception_message"]
    assert any("0.5 s" in line.get("message", "") for line in lines(result.stdout))


def test_self_test_passes_whatever_the_options(tmp_path: Path) -> None:
    config, temporary = tmp_path / "app.yaml", tmp_path / "temporary"
    config.write_text("petlesion: {outputs: [csv], suv: 20}\n")
    temporary.mkdir()
    variables = {"PETLESION_METHOD": "gradient", "HOLOSCAN_CONFIG_PATH": str(config), "TMPDIR": str(temporary)}
    result = subprocess.run(
        [sys.executable, str(DEPLOY_APP), "--selftest"],
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == ExitCode.DONE, result.stdout
    assert lines(result.stdout)[-1]["event"] == "self-test passed"
    assert list(temporary.iterdir()) == []


def test_self_test_says_that_no_temporary_folder_is_writable() -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(DEPLOY_APP)!r}); import tempfile; tempfile.tempdir = '/proc/nowhere'; "
        "from commands import main; sys.exit(main(['--selftest']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == ExitCode.USAGE, result.stdout + result.stderr
    assert "tmpfs" in lines(result.stdout)[-1]["message"]


def test_self_test_fails_where_the_result_is_wrong(tmp_path: Path) -> None:
    """The check compares with the truth: in a body above the threshold the spheres are lost."""
    script = (
        f"import sys; sys.path.insert(0, {str(DEPLOY_APP)!r}); import selftest; from logs import Log; "
        "selftest.BODY_SUV = 4.0; sys.exit(selftest.selftest(Log(sys.stdout)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == ExitCode.SEGMENTATION, result.stdout
    assert lines(result.stdout)[-1]["problem"] == "1 lesions instead of 2"


def test_network_of_the_models_folder(study: Path, out: Path, models: Path) -> None:
    done = run(study, out, PETLESION_METHOD="unet", HOLOSCAN_MODEL_PATH=str(models))
    assert done.returncode == ExitCode.MODEL, "-m goes before the environment"
    arguments = [*command(study, out)[:-1], str(models)]
    done = subprocess.run(
        arguments, env=environment(PETLESION_METHOD="unet"), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == ExitCode.DONE, done.stdout
    report = Report.from_json((out / "report.json").read_text())
    assert report.method.name == "unet"
    assert report.method.weights_sha256 == (models / "unet" / "model.sha256").read_text().strip()


def test_altered_model_is_refused_before_a_study_is_read(study: Path, out: Path, models: Path, tmp_path: Path) -> None:
    altered = Path(shutil.copytree(models, tmp_path / "altered"))
    weights = altered / "unet" / "model.pt"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    arguments = [*command(study, out)[:-1], str(altered)]
    done = subprocess.run(
        arguments, env=environment(PETLESION_METHOD="unet"), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == ExitCode.MODEL, done.stdout
    assert names(out) == MACHINE_RESULTS
    assert not any(line.get("operator") == "load" for line in lines(done.stdout))
    assert "SHA-256" in metadata(out)["exception_message"]
