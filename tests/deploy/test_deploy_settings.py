"""Options of the deployed application."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from paths import parse_paths
from settings import CONFIG_PATH, DEFAULT_CONFIG, FILES, OutputName, load_settings, options_table
from training_cases import train_beginner

from petlesion.errors import ModelError, UsageError
from petlesion.output import MAP_NAMES, RESULT_NAMES
from petlesion.segment.options import MethodName, SegmentOptions
from petlesion.tracers import TracerName

DOCS = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "deploy.md"


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONFIG_PATH, raising=False)


def configure(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "app.yaml").write_text(text)
    monkeypatch.setenv(CONFIG_PATH, str(folder / "app.yaml"))


def test_defaults_are_those_of_the_core(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.segment_options(None) == SegmentOptions()
    assert settings.tracer is None
    assert settings.outputs == {OutputName.SEG, OutputName.SR, OutputName.RTSTRUCT, OutputName.PDF, OutputName.CSV}


def test_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(monkeypatch, tmp_path, "petlesion: {method: relative, suv: 4, outputs: [seg, pdf]}\n")
    monkeypatch.setenv("PETLESION_METHOD", "fixed")
    monkeypatch.setenv("PETLESION_MIN_VOLUME", "2.5")
    settings = load_settings()
    assert settings.method is MethodName.FIXED
    assert settings.segment_options(tmp_path).suv == 4
    assert settings.segment_options(tmp_path).min_volume_ml == 2.5
    assert settings.outputs == {OutputName.SEG, OutputName.PDF}


def test_network_is_the_default_where_there_is_a_model(tmp_path: Path) -> None:
    shutil.copytree(train_beginner(tmp_path), tmp_path / "models" / "unet")
    assert load_settings().segment_options(tmp_path / "models").method is MethodName.UNET
    assert load_settings().segment_options(None).method is MethodName.PERCIST


@pytest.mark.parametrize("left_out", ["model.pt", "card.json", "all"])
def test_no_threshold_takes_the_place_of_a_model_that_did_not_arrive(tmp_path: Path, left_out: str) -> None:
    (tmp_path / "models").mkdir()
    if left_out != "all":
        shutil.copytree(train_beginner(tmp_path), tmp_path / "models" / "unet", ignore=lambda *_: [left_out])
    with pytest.raises(ModelError, match=r"incomplete|no model is in service"):
        load_settings().segment_options(tmp_path / "models")


@pytest.mark.parametrize("how", ["-m", "PETLESION_MODELS", "HOLOSCAN_MODEL_PATH"])
def test_a_folder_of_models_that_is_named_must_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    named = str(tmp_path / "mistyped")
    if how != "-m":
        monkeypatch.setenv(how, named)
    paths = parse_paths(["-m", named] if how == "-m" else [])
    assert paths.arguments()[-2:] == ["-m", named], "the process that runs the graph must know of it"
    with pytest.raises(ModelError, match="folder of models does not exist"):
        load_settings().segment_options(paths.models)


def test_threshold_is_the_default_where_nobody_named_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Images of the official packager name a folder also where they were packaged without models."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("paths.models_folder", lambda: tmp_path / "nothing installed")
    for named in ("", str(tmp_path / "none of the image")):
        monkeypatch.setattr("paths.MODELS", named)
        monkeypatch.setenv("HOLOSCAN_MODEL_PATH", named)
        paths = parse_paths([])
        assert paths.models is None
        assert "-m" not in paths.arguments()
        assert load_settings().segment_options(paths.models).method is MethodName.PERCIST


def test_a_model_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PETLESION_MODEL", "unet")
    with pytest.raises(ModelError):
        load_settings().segment_options(tmp_path)


def test_models_of_the_command_line_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOLOSCAN_MODEL_PATH", str(tmp_path / "of the image"))
    assert parse_paths([]).models == tmp_path / "of the image"
    monkeypatch.setenv("PETLESION_MODELS", str(tmp_path / "of the site"))
    load_settings()
    assert parse_paths([]).models == tmp_path / "of the site"
    assert parse_paths(["-m", "given"]).models == Path("given")


def test_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETLESION_TRACER", "")
    assert load_settings().tracer is None


def test_tracer_and_outputs_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETLESION_TRACER", "ga68-dotatate")
    monkeypatch.setenv("PETLESION_OUTPUTS", "seg, sr,nifti")
    settings = load_settings()
    assert settings.tracer is TracerName.GA68_DOTATATE
    assert settings.outputs == {OutputName.SEG, OutputName.SR, OutputName.NIFTI}


@pytest.mark.parametrize(
    "variable",
    [
        "PETLESION_OHIF",
        # of Kubernetes, for Services named petlesion and petlesion-orthanc
        "PETLESION_SERVICE_HOST",
        "PETLESION_SERVICE_PORT",
        "PETLESION_SERVICE_PORT_HTTP",
        "PETLESION_PORT",
        "PETLESION_PORT_8000_TCP",
        "PETLESION_PORT_8000_TCP_ADDR",
        "PETLESION_ORTHANC_SERVICE_HOST",
        "PETLESION_ORTHANC_PORT_8042_TCP_PROTO",
    ],
)
def test_variables_of_others_are_no_mistake(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "tcp://10.0.0.1:8000")
    load_settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("METHOD", "magic", "PETLESION_METHOD"),
        ("METHOD", "nnunet", "on the command line only"),
        ("TRACER", "water", "PETLESION_TRACER"),
        ("SUV", "0", "PETLESION_SUV"),
        ("SUV", "nan", "PETLESION_SUV"),
        ("FRACTION", "1.5", "PETLESION_FRACTION"),
        ("OUTPUTS", "seg,video", "PETLESION_OUTPUTS"),
        ("OUTPUTS", "sr", "sr without seg"),
        ("TIMEOUT", "-1", "PETLESION_TIMEOUT"),
        ("METHODS", "fixed", "did you mean PETLESION_METHOD"),
        ("COLOUR", "red", "PETLESION_COLOUR is no option"),
    ],
)
def test_bad_option_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    monkeypatch.setenv(f"PETLESION_{name}", value)
    with pytest.raises(UsageError, match=words):
        load_settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("petlesion: {methods: fixed}\n", "methods"),
        ("petlesion: {method: [\n", "cannot be read"),
        ("petlesion: 3\n", "cannot be read"),
        ("application: {title: petlesion}\n", "cannot be read"),
    ],
)
def test_bad_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str) -> None:
    configure(monkeypatch, tmp_path, text)
    with pytest.raises(UsageError, match=words):
        load_settings()


def test_only_the_file_that_images_name_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder is what Docker makes of a file that it was to mount and did not find."""
    for named in (tmp_path, tmp_path / "nowhere.yaml"):
        monkeypatch.setenv(CONFIG_PATH, str(named))
        with pytest.raises(UsageError, match="names no file"):
            load_settings()
    monkeypatch.setenv(CONFIG_PATH, DEFAULT_CONFIG)
    load_settings()


@pytest.mark.parametrize("name", ["../unet", "/unet", "UNET", ""])
def test_a_model_cannot_lie_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    configure(monkeypatch, tmp_path, f"petlesion: {{model: '{name}'}}\n")
    with pytest.raises(UsageError, match="PETLESION_MODEL"):
        load_settings()


def test_documentation_holds_all_options() -> None:
    assert options_table() in DOCS.read_text()


def test_files_are_those_of_the_core() -> None:
    assert {*FILES.values(), "report.json", *MAP_NAMES} == set(RESULT_NAMES)
