from __future__ import annotations

import json
from pathlib import Path

import pytest
from training_cases import write_config

pytest.importorskip("yaml", reason="needs PyYAML (pip install petlesion[network])")

from petlesion.errors import ExitCode, UsageError
from petlesion.networks.model_config import CLASS_NAMES, ModelConfig
from petlesion.training.config import Profile, load_config


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path, init="parent", model={}))
    assert config.out == tmp_path / "out"
    assert config.cohorts[0].folder == tmp_path / "cases"
    assert config.init == tmp_path / "parent"


@pytest.mark.parametrize("profile", list(Profile))
def test_profiles_are_complete_and_can_be_overridden(tmp_path: Path, profile: Profile) -> None:
    path = write_config(tmp_path, profile=profile, model={"patch": [32, 32, 32]}, run={"steps": 7})
    config = load_config(path)
    assert config.run.steps == 7
    assert config.run.max_minutes is not None
    model = ModelConfig.model_validate(config.model)
    assert model.patch == (32, 32, 32)
    assert model.classes == CLASS_NAMES


def test_a_profile_trains_on_from_a_model(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path, profile="cpu", init="parent", model={}))
    assert config.model == {}
    assert config.run.max_minutes is not None
    with pytest.raises(UsageError, match="exclude each other"):
        load_config(write_config(tmp_path, profile="cpu", init="parent", model={"classes": list(CLASS_NAMES[:3])}))
    changed = load_config(write_config(tmp_path, profile="cpu", init="parent", model={"patch": [32, 32, 32]}))
    assert changed.model == {"patch": [32, 32, 32]}


def test_recipe_ignores_what_does_not_change_the_weights(tmp_path: Path) -> None:
    base = load_config(write_config(tmp_path))
    moved = load_config(write_config(tmp_path, out="elsewhere", cache="there", licence="CC0"))
    assert moved.recipe_sha256() == base.recipe_sha256()
    assert load_config(write_config(tmp_path, seed=2)).recipe_sha256() != base.recipe_sha256()
    longer = {"steps": 13, "validate_every": 4, "batch": 2, "device": "cpu"}
    assert load_config(write_config(tmp_path, run=longer)).recipe_sha256() != base.recipe_sha256()
    faster = {"steps": 12, "validate_every": 4, "batch": 2, "device": "auto", "workers": 3}
    assert load_config(write_config(tmp_path, run=faster)).recipe_sha256() == base.recipe_sha256()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "tpu"}, "profile 'tpu' does not exist"),
        ({"epochs": 3}, "epochs"),
        ({"cohorts": []}, "cohorts"),
        ({"cohorts": [{"folder": "x", "tracer": "gold"}]}, "tracer"),
        ({"seed": -1}, "seed"),
        ({"run": {"steps": 0}}, "run.steps"),
        ({"run": {"steps": "many"}}, "run.steps"),
        ({"run": {"tracking": ["paper"]}}, "run.tracking"),
        ({"split": {"fold": 5, "folds": 5}}, "fold 5 of 5"),
        ({"split": {"validation": 1.5}}, "split.validation"),
        ({"augmentation": {"calibration": 0.5}}, "augmentation.calibration"),
        ({"optimiser": {"learning_rate": 0}}, "learning_rate"),
        ({"optimiser": {"learning_rate": float("nan")}}, "YAML|learning_rate"),
        ({"model": {"patch": [10, 16, 16]}}, "no multiple"),
        ({"model": {"classes": ["tumour"]}}, "begin with background"),
        ({"init": "parent"}, "exclude each other"),
        ({"init_share": 0.7}, "init_share says nothing without init"),
        ({"kept_share": 0.5}, "kept_share says nothing without init"),
    ],
)
def test_refuses_what_makes_no_sense(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_config(write_config(tmp_path, **change))
    assert caught.value.exit_code is ExitCode.USAGE
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["a: [", "", "- 1", "just text", "!!python/object/apply:os.system [ls]", "[" * 50_000])
def test_refuses_files_that_are_no_configuration(tmp_path: Path, text: str) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(text)
    with pytest.raises(UsageError):
        load_config(path)
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "missing.yaml")


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    path.write_text(json.dumps({"out": "out", "cohorts": [{"folder": "cases"}]}))
    with pytest.raises(UsageError, match="cache: Field required"):
        load_config(path)
