"""The command line as users type it: a process, its exit code, its one line of error, its files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import typer
from damaged_studies import DAMAGES, Damage, copy_study
from pydicom import dcmread

from petlesion.cli import app, run
from petlesion.errors import ExitCode
from petlesion.report import Report
from petlesion.segment import methods

DICOM_RESULTS = {"seg.dcm", "sr.dcm", "rtstruct.dcm", "report.pdf", "report.json", "lesions.csv"}


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a command."""

    returncode: int
    stdout: str
    stderr: str


Petlesion = Callable[..., Outcome]


@pytest.fixture
def petlesion(capfd: pytest.CaptureFixture[str]) -> Petlesion:
    """The command line, run in this process: importing all of it anew for each command would take most of the time."""

    def call(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return Outcome(code, *capfd.readouterr())

    return call


def error_line(result: Outcome) -> str:
    """The only line on stderr that is not progress."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("petlesion: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


@pytest.mark.parametrize("arguments", [[], ["model"]])
def test_no_command_shows_the_help_alone(petlesion: Petlesion, arguments: list[str]) -> None:
    result = petlesion(*arguments)
    assert result.returncode == ExitCode.USAGE
    assert "Commands" in result.stdout
    assert result.stderr == ""


def test_whole_body_scan_gives_all_results(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    study = shared_data / "sts_raw" / "STS_001" / "FDG_PET" / "image"
    out = tmp_path / "results"
    result = petlesion("segment", study, "-o", out, "--method", "fixed", "--suv", "3", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    assert {path.name for path in out.iterdir()} == DICOM_RESULTS
    report = Report.from_json(result.stdout)
    assert report == Report.from_json((out / "report.json").read_text())
    assert report.study.tracer == "f18-fdg"
    assert report.totals.n_lesions == len(dcmread(out / "seg.dcm").SegmentSequence)


def test_pet_and_ct_pair_gives_all_results(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    result = petlesion(
        "segment", shared_data / "sts_dicom" / "STS_002", "-o", tmp_path / "out", "-m", "gradient", "--explain"
    )
    assert result.returncode == ExitCode.DONE, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == DICOM_RESULTS
    assert "the only usable PET" in result.stdout
    assert "TLG" in result.stdout
    assert "TLU" not in result.stdout
    report = Report.from_json((tmp_path / "out" / "report.json").read_text())
    assert report.study.ct_series_instance_uid


def test_same_input_gives_same_bytes(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_010"
    for name in ("first", "second"):
        assert petlesion("segment", study, "-o", tmp_path / name, "-m", "fixed").returncode == ExitCode.DONE
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("result_name", ["seg.dcm", "rtstruct.dcm", "lesions.nii.gz"])
def test_measuring_own_results_gives_the_same_numbers(
    petlesion: Petlesion, shared_data: Path, tmp_path: Path, result_name: str
) -> None:
    study = shared_data / "sts_dicom" / "STS_024"
    assert petlesion("segment", study, "-o", tmp_path / "a", "-m", "fixed", "--nifti").returncode == ExitCode.DONE
    result = petlesion("measure", study, "--seg", tmp_path / "a" / result_name, "-o", tmp_path / "b", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    first, second = Report.from_json((tmp_path / "a" / "report.json").read_text()), Report.from_json(result.stdout)
    assert second.totals == first.totals
    # DICOM says who made a mask, NIfTI does not
    assert second.review == ("reviewed" if result_name == "lesions.nii.gz" else "candidates")


def test_nifti_study_gives_a_label_volume_on_its_grid(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    study = shared_data / "sts" / "STS_003"
    result = petlesion("segment", study, "-o", tmp_path / "out", "-m", "relative", "--tracer", "f18-fdg")
    assert result.returncode == ExitCode.DONE, result.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == DICOM_RESULTS - {
        "seg.dcm",
        "sr.dcm",
        "rtstruct.dcm",
    } | {"lesions.nii.gz"}
    pet, labels = nib.load(study / "pet.nii.gz"), nib.load(tmp_path / "out" / "lesions.nii.gz")
    assert labels.shape == pet.shape
    assert np.allclose(labels.affine, pet.affine)
    assert labels.get_data_dtype() == np.uint16


def test_no_lesion_is_a_result(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_002"
    result = petlesion("segment", study, "-o", tmp_path, "-m", "fixed", "--suv", "500", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"sr.dcm", "report.pdf", "report.json", "lesions.csv"}
    assert json.loads(result.stdout)["lesions"] == []


def test_suv_volume_and_its_record(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    study = shared_data / "suv_dro" / "DRO_0_0" / "PT"
    result = petlesion("suv", study, "-o", tmp_path / "suv.nii.gz", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    record = json.loads(result.stdout)
    assert record["suv"]["units"] == "BQML"
    assert record["maximum"] == pytest.approx(nib.load(tmp_path / "suv.nii.gz").get_fdata().max())
    printed = " ".join(petlesion("suv", study).stdout.split())
    for name, key, unit in (
        ("injected activity", "injected_mbq", "MBq"),
        ("uptake time", "uptake_min", "min"),
        ("half-life", "half_life_s", "s"),
        ("body weight", "weight_kg", "kg"),
    ):
        assert f"{name} {record['suv'][key]:.6g} {unit}" in printed


# One for each code: test_reader.py has them all.
@pytest.mark.parametrize("damage", {damage.code: damage for damage in DAMAGES}.values(), ids=lambda damage: damage.name)
def test_damaged_study_is_one_line_and_a_code(
    petlesion: Petlesion, shared_data: Path, tmp_path: Path, damage: Damage
) -> None:
    study = copy_study(shared_data, tmp_path / "study")
    damage.apply(study)
    result = petlesion("segment", study, "-o", tmp_path / "out", "-m", "fixed")
    assert result.returncode == damage.code, result.stderr
    assert damage.words in error_line(result)
    assert not (tmp_path / "out").exists()


def test_override_rescues_a_header_without_weight(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    study = copy_study(shared_data, tmp_path / "study")
    next(damage for damage in DAMAGES if damage.name == "no weight").apply(study)
    result = petlesion("suv", study, "--weight", "99", "--injection-time", "2006-01-28T13:51:00", "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    assert json.loads(result.stdout)["suv"]["overrides"]["weight"] == 99


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["segment", "nowhere", "-o", "out"], "does not exist"),
        (["segment"], "STUDY"),
        (["segment", ".", "-o", "out", "--method", "magic"], "magic"),
        (["segment", ".", "-o", "out", "--point", "1,2"], "--point"),
        (["segment", ".", "-o", "out", "--min-volume", "-1"], "min-volume"),
        (["measure", ".", "-o", "out"], "--seg"),
        (["suv", ".", "--weight", "nan"], "weight"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    petlesion: Petlesion, arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = petlesion(*arguments)
    assert result.returncode == ExitCode.USAGE, result.stderr
    assert words in error_line(result)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("segment -m percist --suv 3", "--suv belongs to --method fixed, not to percist"),
        ("segment --model model --suv 5", "--suv belongs to --method fixed, not to unet"),
        ("segment -m fixed --fraction 0.5", "--fraction belongs to --method relative,"),
        ("segment -m fixed --incremental", "--incremental belongs to --method relative,"),
        ("segment -m nnunet --refine", "--refine belongs to --method unet,"),
        ("segment -m gradient --maps", "--maps belongs to --method unet|nnunet,"),
        ("segment -m relative --mirror", "--mirror belongs to --method unet|nnunet,"),
        ("segment -m fixed --device auto", "--device belongs to --method unet|nnunet,"),
        ("segment -m fixed --model model", "--model belongs to --method unet|nnunet,"),
        ("segment -m fixed --organs organs.nii.gz", "--organs belongs to --method percist|"),
        ("segment -m fixed --liver-sphere 1,2,3", "--liver-sphere belongs to --method percist|"),
        (
            "segment -m relative --incremental --liver-sphere 1,2,3",
            "--liver-sphere has no effect on --method relative --incremental",
        ),
        (
            "segment -m relative --point 1,2,3 --organs organs.nii.gz",
            "--organs has no effect on --method relative --po",
        ),
        ("batch -m percist --suv 5", "--suv belongs to --method fixed,"),
        ("batch --model model --fraction 0.5", "--fraction belongs to --method relative, not to unet"),
    ],
)
def test_option_of_another_method_is_refused(
    petlesion: Petlesion, arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = arguments.split()
    result = petlesion(command, ".", "-o", "out", *options)
    assert result.returncode == ExitCode.USAGE, result.stderr
    assert message in error_line(result)


@pytest.mark.parametrize("command", ["segment", "batch"])
def test_network_without_its_packages_is_refused(
    petlesion: Petlesion, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "_NETWORK_PACKAGES", ("a_package_that_nobody_has",))
    for options in (["--method", "unet"], ["--model", tmp_path]):
        result = petlesion(command, tmp_path, "-o", tmp_path / "out", *options)
        assert result.returncode == ExitCode.MODEL, result.stderr
        assert 'pip install "petlesion[network]"' in error_line(result)


def test_results_are_not_replaced_unasked(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    study = shared_data / "sts_dicom" / "STS_002"
    assert petlesion("segment", study, "-o", tmp_path, "-m", "fixed").returncode == ExitCode.DONE
    refused = petlesion("segment", study, "-o", tmp_path, "-m", "fixed", "--suv", "4")
    assert refused.returncode == ExitCode.OUTPUT
    assert "--overwrite" in error_line(refused)
    replaced = petlesion("segment", study, "-o", tmp_path, "-m", "fixed", "--suv", "4", "--overwrite", "--json")
    assert replaced.returncode == ExitCode.DONE
    assert json.loads((tmp_path / "report.json").read_text()) == json.loads(replaced.stdout)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def test_full_disk_leaves_nothing(petlesion: Petlesion, shared_data: Path, small_disk: Path) -> None:
    result = petlesion("segment", shared_data / "sts_dicom" / "STS_002", "-o", small_disk / "out", "-m", "fixed")
    assert result.returncode == ExitCode.OUTPUT, result.stderr
    assert "No space left" in error_line(result)
    assert list(small_disk.iterdir()) == []


def test_unwritable_output_is_refused_before_the_work(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = petlesion("segment", shared_data / "sts_dicom" / "STS_002", "-o", tmp_path / "file" / "out")
    assert result.returncode == ExitCode.OUTPUT, result.stderr
    assert "cannot be written" in error_line(result)


def test_read_only_folder_is_refused(petlesion: Petlesion, shared_data: Path) -> None:
    result = petlesion("segment", shared_data / "sts_dicom" / "STS_002", "-o", "/proc/petlesion", "-m", "fixed")
    assert result.returncode == ExitCode.OUTPUT, result.stderr
    assert "cannot be written" in error_line(result)


def test_network_without_a_model_is_a_model_error(
    petlesion: Petlesion, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = shared_data / "sts_dicom" / "STS_002"
    monkeypatch.setenv("PETLESION_MODELS", str(tmp_path / "none"))
    result = petlesion("segment", study, "-o", tmp_path / "out", "-m", "unet")
    assert result.returncode == ExitCode.MODEL
    assert "--model" in error_line(result)
    for method in (["-m", "unet"], []):
        result = petlesion("segment", study, "-o", tmp_path / "out", *method, "--model", tmp_path / "nowhere")
        assert result.returncode == ExitCode.MODEL
        assert "nowhere" in error_line(result)
    assert not (tmp_path / "out").exists()


def test_own_results_evaluate_as_perfect(petlesion: Petlesion, shared_data: Path, tmp_path: Path) -> None:
    """DICOM SEG on both sides, the PET read from the studies beside the truth, and a method compared with itself."""
    predictions, truth, figures = tmp_path / "cases", tmp_path / "truth", tmp_path / "figures"
    for name in ("STS_002", "STS_010"):
        study = shared_data / "sts_dicom" / name
        assert petlesion("segment", study, "-o", predictions / name, "-m", "fixed").returncode == ExitCode.DONE
        (truth / name).mkdir(parents=True)
        (truth / name / "PET").symlink_to(study / "PET" / "image")
        (truth / name / "seg.dcm").write_bytes((predictions / name / "seg.dcm").read_bytes())
    arguments = ("evaluate", "--pred", predictions, "--truth", truth, "--against", predictions, "--plots", figures)
    result = petlesion(*arguments, "--json")
    assert result.returncode == ExitCode.DONE, result.stderr
    document = json.loads(result.stdout)
    assert document["figures"]["dice"]["estimate"] == 1.0
    assert document["figures"]["tlu_bias_g"]["estimate"] == 0.0
    assert {row["tracer"] for row in document["rows"]} == {"f18-fdg"}
    assert document["rows"][0]["true_uptake"]["suv_mean"] > 3
    assert document["against"]["dice"]["p_value"] == 1.0
    assert {path.name for path in figures.iterdir()} == {Path(path).name for path in document["plots"]}
    assert "bland_altman.png" in {path.name for path in figures.iterdir()}
    printed = " ".join(petlesion(*arguments).stdout.split())
    assert all(word in printed for word in ("limits of agreement", "rating", "--against", "agreement.png"))


def test_help_shows_examples(petlesion: Petlesion) -> None:
    for command in ("suv", "segment", "measure", "simulate", "train", "evaluate"):
        result = petlesion(command, "--help")
        assert result.returncode == ExitCode.DONE
        assert f"petlesion {command} " in result.stdout.split("For example:")[1]


@pytest.mark.parametrize(
    ("option", "words"),
    [("point", "LPS mm"), ("liver_sphere", "LPS mm"), ("mirror", "Worse where"), ("refine", "Worse where")],
)
def test_help_says_what_a_number_means_and_what_does_harm(option: str, words: str) -> None:
    segment = vars(typer.main.get_command(app))["commands"]["segment"]
    assert words in next(parameter.help for parameter in segment.params if parameter.name == option)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tracer", "water"), "'water' is not one of"),
        (("--tracer", "f18-psma1007"), "f18-psma1007 cannot be simulated"),
        (("--tracer", "f18-fdg", "--patients", "-1"), "--patients -1 is too small"),
        (("--tracer", "f18-fdg", "--seed", "-1"), "--seed -1 is too small"),
        (("--tracer", "f18-fdg", "--jobs", "0"), "--jobs 0 is too small"),
        (("--tracer", "f18-fdg", "--spacing", "0.5"), "between 1.5 and 6 mm"),
        (("--tracer", "f18-fdg", "--diseased", "2"), "--diseased"),
    ],
)
def test_bad_patients_are_one_line_and_code_2(
    petlesion: Petlesion, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = petlesion("simulate", "-o", tmp_path / "out", *arguments)
    assert result.returncode == ExitCode.USAGE
    assert message in error_line(result)
    assert not (tmp_path / "out").exists()


def test_simulation_keeps_what_is_there(petlesion: Petlesion, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    places = {
        tmp_path: "not empty",
        tmp_path / "notes.txt": "a file is in the way",
        Path("/proc/petlesion"): "cannot be written",  # root may write anywhere else
    }
    for place, message in places.items():
        result = petlesion("simulate", "-o", place, "--tracer", "f18-fdg")
        assert result.returncode == ExitCode.OUTPUT
        assert message in error_line(result)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_process_ends_with_the_code_and_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "petlesion", "segment", str(tmp_path), "-o", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == ExitCode.NO_DICOM
    assert error_line(Outcome(result.returncode, result.stdout, result.stderr)).startswith("petlesion: no DICOM file")


_WORKING = """
import sys, tempfile, time
from petlesion import cli

def work(folder):
    with tempfile.TemporaryDirectory(dir=folder[0]):
        print("working", flush=True)
        time.sleep(float(folder[1]))
    return 0

cli.run = work
cli.main()
"""


@pytest.mark.parametrize("ends", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_stopped_or_loses_its_terminal_leaves_nothing(tmp_path: Path, ends: signal.Signals) -> None:
    command = [sys.executable, "-c", _WORKING, tmp_path, "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(ends)
        assert process.wait(timeout=30) == 128 + ends
    assert not list(tmp_path.iterdir())


def test_a_command_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    command = ["nohup", sys.executable, "-c", _WORKING, tmp_path, "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=30) == 0
