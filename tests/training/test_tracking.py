"""Curves of a training by the command, as TensorBoard itself reads them."""

from __future__ import annotations

from pathlib import Path

import pytest
from training_cases import write_case, write_config

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")
pytest.importorskip("tensorboard", reason="needs TensorBoard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402

from petlesion.cli import run  # noqa: E402
from petlesion.errors import ExitCode  # noqa: E402
from petlesion.networks.model_folder import load_model  # noqa: E402
from petlesion.training.checkpoint import FILE  # noqa: E402
from petlesion.training.loop import Status, train  # noqa: E402


class _InterruptedError(Exception):
    pass


def _interrupt(status: Status) -> None:
    if status.step == 2:
        raise _InterruptedError


def curves(folder: Path) -> dict[str, dict[int, float]]:
    """Step → value, by name."""
    events = EventAccumulator(str(folder)).Reload()
    return {name: {each.step: each.value for each in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_command_ends_a_training_that_was_interrupted_and_its_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n in range(4):
        write_case(tmp_path / "cases" / f"case-{n}", n)
    options = {"steps": 3, "validate_every": 1, "batch": 1, "device": "cpu", "tracking": ["tensorboard"]}
    config, out = write_config(tmp_path, run=options), tmp_path / "out"
    with pytest.raises(_InterruptedError):
        train(config, watch=_interrupt)
    assert run(["train", str(config)]) == ExitCode.DONE
    assert str(out / "model") in "".join(capsys.readouterr().out.split()), "it says where the model is"

    card = load_model(out / "model").card
    assert card["run"]["steps"] == 3
    history = torch.load(out / FILE, weights_only=True)["history"]
    drawn = curves(out / "tensorboard")
    for name in ("loss", "learning_rate", "score", "false_positive_ml"):
        assert drawn[name] == pytest.approx({row["step"]: row[name] for row in history}), name
    assert sorted(drawn["loss"]) == [1, 2, 3]
    assert card["metrics"]["validation"]["score"] == pytest.approx(drawn["score"][card["run"]["best_step"]])
