from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from training_cases import write_case, write_config, write_simulated_case

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.errors import UsageError  # noqa: E402
from petlesion.evaluate.voxels import voxel_scores  # noqa: E402
from petlesion.networks.model_folder import load_model  # noqa: E402
from petlesion.training.checkpoint import FILE, Progressed, resume, save  # noqa: E402
from petlesion.training.loop import Status, train  # noqa: E402
from petlesion.training.validation import Validation, case_score, summarise  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def write_cases(folder: Path, count: int = 6) -> None:
    for n in range(count):
        write_case(folder / "cases" / f"case-{n}", n, lesion=n != 2)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(torch.load(folder / "out" / FILE, weights_only=True)["network"])


def test_learns_and_says_everything_on_the_card(tmp_path: Path) -> None:
    write_cases(tmp_path)
    seen: list[Status] = []
    run = {"steps": 60, "validate_every": 20, "batch": 2, "device": "cpu"}
    folder = train(write_config(tmp_path, run=run, licence="CC0"), watch=seen.append)
    losses = [status.loss for status in seen]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert [status.step for status in seen] == list(range(1, 61))
    assert [status.step for status in seen if status.validation] == [20, 40, 60]
    assert seen[-1].seconds_left == 0
    assert seen[-1].best_score is not None
    assert seen[-1].best_score > 0.5

    model = load_model(folder)
    card = model.card
    assert card["data"]["licence"] == "CC0"
    rows = card["data"]["training"] + card["data"]["validation"]
    assert sorted(row["name"] for row in rows) == [f"case-{n}" for n in range(6)]
    assert card["metrics"]["validation"]["score"] == seen[-1].best_score
    assert card["run"]["steps"] == 60
    assert card["code"]["torch"] == torch.__version__.split("+")[0] or card["code"]["torch"] == torch.__version__
    assert card["network"]["parameters"] == sum(p.numel() for p in model.network.parameters())
    assert model.config.tracers == ("f18-fdg",)
    assert "patient" not in json.dumps(card["data"])


def test_of_equal_scores_the_last_is_kept_and_counts_as_no_improvement(tmp_path: Path) -> None:
    write_cases(tmp_path)
    run = {"steps": 40, "validate_every": 2, "batch": 1, "device": "cpu", "patience": 3}
    folder = train(write_config(tmp_path, run=run, optimiser={"learning_rate": 1e-30}))
    done = load_model(folder).card["run"]
    assert (done["steps"], done["best_step"]) == (8, 8)


@pytest.mark.parametrize(
    ("keep", "share", "step"), [("best", 0.5, 2), ("last", 0.5, 6), ("average", 0.5, 6), ("best", 0, 6)]
)
def test_which_weights_become_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str, share: float, step: int
) -> None:
    """The best validation is the first; without one, the loss over a few random patches chooses nothing."""
    worse = iter((0.9, 0.5, 0.1))
    monkeypatch.setattr("petlesion.training.loop.summarise", lambda _: Validation(next(worse), 0.0, 0.0, 0.0, 3))
    write_cases(tmp_path)
    run = {"steps": 6, "validate_every": 2, "batch": 1, "device": "cpu", "keep": keep}
    folder = train(write_config(tmp_path, run=run, split={"validation": share}))
    assert load_model(folder).card["run"]["best_step"] == step


def test_the_model_can_be_the_mean_over_the_later_steps_also_after_an_interruption(tmp_path: Path) -> None:
    run = {"steps": 12, "validate_every": 1, "batch": 1, "device": "cpu", "keep": "average", "average_after": 0.5}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        write_cases(folder, 4)
    steps: list[dict[str, torch.Tensor]] = []
    written = load_model(
        train(write_config(whole, run=run), watch=lambda status: steps.append(weights(whole)))
    ).network.state_dict()
    for name, value in written.items():
        late = torch.stack([step[name] for step in steps[6:]]).mean(dim=0)
        torch.testing.assert_close(value, late, atol=2e-3, rtol=2e-3)  # 16 bits
    assert not torch.allclose(steps[-1][name], written[name], atol=2e-3, rtol=2e-3)

    path = write_config(broken, run=run)
    with pytest.raises(_EnoughError):
        train(path, watch=lambda status: _stop(status, 9))
    again = load_model(train(path)).network.state_dict()
    assert all(torch.equal(again[name], value) for name, value in written.items())


def test_same_seed_same_weights_other_seed_other_weights(tmp_path: Path) -> None:
    found = []
    run = {"steps": 3, "validate_every": 3, "batch": 1, "device": "cpu"}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_cases(tmp_path / name, 4)
        train(write_config(tmp_path / name, seed=seed, run=run))
        found.append(weights(tmp_path / name))
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    assert not all(torch.equal(found[0][key], found[2][key]) for key in found[0])


def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL at some moment after the first checkpoint; what follows is bit for bit what would have followed."""
    run = {"steps": 400, "validate_every": 4, "batch": 2, "device": "cpu", "patience": 1000}
    killed, through = tmp_path / "killed", tmp_path / "through"
    for folder in (killed, through):
        write_cases(folder, 4)
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from pathlib import Path; from petlesion.training.loop import train\n"
        "train(Path(sys.argv[1]))"
    )
    config = write_config(killed, run=run)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", code, str(config)], env=environment) as process:
        deadline = time.monotonic() + 240
        while not (killed / "out" / FILE).exists():
            assert process.poll() is None, "training ended before its first checkpoint"
            assert time.monotonic() < deadline, "no checkpoint was written"
            time.sleep(0.01)
        time.sleep(0.15)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    interrupted = torch.load(killed / "out" / FILE, weights_only=True)["step"]
    assert 4 <= interrupted < 400
    last = interrupted + 8  # so that it need not run to the end: the schedule stays that of 400 steps
    for folder in (killed, through):
        path = write_config(folder, run=run)
        with pytest.raises(_EnoughError):
            train(path, watch=lambda status: _stop(status, last))
    first, second = (torch.load(folder / "out" / FILE, weights_only=True) for folder in (killed, through))
    assert first["step"] == second["step"] == last
    for part in ("network", "best"):
        assert all(torch.equal(first[part][key], second[part][key]) for key in first[part])
    for one, other in zip(first["optimiser"]["state"].values(), second["optimiser"]["state"].values(), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert [row["loss"] for row in first["history"]] == [row["loss"] for row in second["history"]]


class _EnoughError(Exception):
    pass


def _stop(status: Status, step: int) -> None:
    if status.step == step:
        raise _EnoughError


def test_resuming_a_finished_run_gives_the_same_model(tmp_path: Path) -> None:
    write_cases(tmp_path, 4)
    path = write_config(tmp_path)
    first = load_model(train(path)).network.state_dict()
    seen: list[Status] = []
    again = load_model(train(path, watch=seen.append)).network.state_dict()
    assert not seen
    assert all(torch.equal(first[key], again[key]) for key in first)


def test_refuses_to_mix_runs(tmp_path: Path) -> None:
    write_cases(tmp_path, 4)
    train(write_config(tmp_path))
    with pytest.raises(UsageError, match="another recipe"):
        train(write_config(tmp_path, seed=5))
    write_case(tmp_path / "cases" / "new", 9)
    with pytest.raises(UsageError, match="other data"):
        train(write_config(tmp_path))
    (tmp_path / "out" / FILE).write_bytes(b"no checkpoint")
    with pytest.raises(UsageError, match="cannot be read"):
        train(write_config(tmp_path))


def test_fine_tunes_a_published_model_and_names_its_parent(tmp_path: Path) -> None:
    write_cases(tmp_path / "first", 4)
    parent = train(write_config(tmp_path / "first"))
    second = tmp_path / "second"
    write_simulated_case(second / "cases" / "s-1", 3)
    write_case(second / "cases" / "empty", 4, lesion=False)
    run = {"steps": 2, "validate_every": 2, "batch": 2, "device": "cpu"}
    changes = {"split": {"validation": 0}, "optimiser": {"learning_rate": 1e-9}, "run": run}
    folder = train(write_config(second, init=str(parent), model={}, **changes))
    old, new = load_model(parent), load_model(folder)
    assert new.card["parent_sha256"] == old.sha256
    (ancestor,) = new.card["ancestors"]
    assert (ancestor["sha256"], ancestor["run"]) == (old.sha256, old.card["run"])
    assert ancestor["data"]["training_sha256"] == [case["sha256"] for case in old.card["data"]["training"]]
    assert new.config.classes == old.config.classes
    for key, value in old.network.state_dict().items():  # a learning rate of almost nothing leaves the parent
        torch.testing.assert_close(new.network.state_dict()[key], value, atol=1e-4, rtol=0)
    assert new.card["metrics"]["validation"]["step"] == 2
    assert "score" not in new.card["metrics"]["validation"]  # no patient validates
    with pytest.raises(UsageError, match="checkpoint belongs"):
        train(write_config(second, model={}, split={"validation": 0}, run=run))


def test_keeps_a_share_of_the_parent(tmp_path: Path) -> None:
    write_cases(tmp_path, 4)
    parent = train(write_config(tmp_path, out="parent"))
    second = {"init": str(parent), "model": {}, "split": {"validation": 0}}

    def weights(share: float) -> dict[str, torch.Tensor]:
        folder = train(write_config(tmp_path, out=f"kept-{share}", kept_share=share, **second))
        return dict(load_model(folder).network.named_parameters())

    own, half, old = weights(0.0), weights(0.5), dict(load_model(parent).network.named_parameters())
    assert all(not torch.equal(own[name], old[name]) for name in old)
    for name, value in half.items():
        torch.testing.assert_close(value, (own[name] + old[name]) / 2, atol=2e-3, rtol=2e-3)  # stored as 16 bits
    for name, value in weights(1.0).items():
        assert torch.equal(value, old[name])


def test_fine_tunes_with_more_channels_and_another_patch(tmp_path: Path) -> None:
    write_cases(tmp_path / "first", 4)
    base = {"architecture": {"filters": [4, 8, 8]}, "patch": [16, 16, 16]}
    parent = train(write_config(tmp_path / "first", model={**base, "channels": ["suv", "ct"]}))
    second = tmp_path / "second"
    write_cases(second, 4)
    more = {"channels": ["suv", "ct", "soft-tissue"], "patch": [24, 16, 16]}
    model = load_model(train(write_config(second, init=str(parent), model=more)))
    assert model.config.patch == (24, 16, 16)
    assert model.config.channels == ("suv", "ct", "soft-tissue")
    first = "input_block.conv1.conv.weight"
    assert model.network.state_dict()[first][:, 2].any()
    for wrong, message in (({"channels": ["suv", "soft-tissue"]}, "lacks ct"), ({"patch": [9, 9, 9]}, "no multiple")):
        with pytest.raises(UsageError, match=message):
            train(write_config(second, init=str(parent), model=wrong))


def test_ends_early_by_time(tmp_path: Path) -> None:
    write_cases(tmp_path, 4)
    seen: list[Status] = []
    timed = {"steps": 100_000, "max_minutes": 0.01, "validate_every": 1000, "batch": 1, "device": "cpu"}
    folder = train(write_config(tmp_path, run=timed), watch=seen.append)
    assert 1 <= seen[-1].step < 1000
    assert load_model(folder).card["run"]["steps"] == seen[-1].step
    assert seen[-1].seconds_left < 1


def test_refuses_when_nobody_is_left_to_train(tmp_path: Path) -> None:
    write_cases(tmp_path, 2)
    with pytest.raises(UsageError, match="all 2 cases belong to validation"):
        train(write_config(tmp_path, split={"validation": 1.0}))


def test_checkpoints_replace_each_other_whole(tmp_path: Path) -> None:
    save(Progressed("r", "d", step=1, network={"w": torch.ones(2)}), tmp_path)
    save(Progressed("r", "d", step=2, network={"w": torch.zeros(2)}, best_score=0.5), tmp_path)
    state = resume(tmp_path, "r", "d")
    assert (state.step, state.best_score) == (2, 0.5)
    assert not state.network["w"].any()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert resume(tmp_path / "new", "r", "d").step == 0
    for other, words in ((("x", "d"), "recipe"), (("r", "x"), "data"), (("r", "d", "x"), "parent")):
        with pytest.raises(UsageError, match=words):
            resume(tmp_path, *other)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.dictionaries(st.floats(0, 1, exclude_max=True), st.integers(0, 255), min_size=1, max_size=20))
def test_damaged_checkpoint_is_read_or_refused(tmp_path: Path, damage: dict[float, int]) -> None:
    save(Progressed("r", "d", step=1, network={"w": torch.ones(20)}), tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    for where, value in damage.items():
        content[int(where * len(content))] = value
    (tmp_path / FILE).write_bytes(content)
    with contextlib.suppress(UsageError):  # damage may leave it readable
        resume(tmp_path, "r", "d")


def test_validation_is_defined_without_lesions() -> None:
    empty, ball = np.zeros((5, 5, 5), dtype=bool), np.zeros((5, 5, 5), dtype=bool)
    ball[1:3, 1:3, 1:3] = True
    cases = [voxel_scores(a, b, 0.125) for a, b in ((empty, empty), (ball, empty), (empty, ball), (ball, ball))]
    assert [case_score(scores) for scores in cases] == [1.0, 0.5, 0.0, 1.0]
    summary = summarise(cases)
    assert summary.score == pytest.approx(0.625)
    assert summary.dice == pytest.approx(0.5)
    assert summary.false_positive_ml == summary.false_negative_ml == pytest.approx(0.25)
    assert summarise(cases[:1]).dice is None
    with pytest.raises(ValueError, match="at least one case"):
        summarise([])
