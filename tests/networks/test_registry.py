from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs PyYAML (pip install petlesion[network])")

from petlesion.cli import run
from petlesion.errors import ExitCode, ModelError, OutputError, UsageError
from petlesion.networks.model_folder import FILES, model_identity
from petlesion.networks.registry import CURRENT, GATE, MODEL_SHA256, ChangeKind, Registry, registries

REPOSITORY = Path(__file__).resolve().parents[2]
ACCEPTED = {"accepted": True, "verdict": "better"}


def write_files(folder: Path, text: str) -> Path:
    """The three files of a model; a registry never looks into the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_text(json.dumps({"name": text}))
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.of(tmp_path / "models", "unet")


def published(registry: Registry, tmp_path: Path, *texts: str) -> None:
    for text in texts:
        registry.publish(registry.add(write_files(tmp_path / text, text), ACCEPTED).number)


def test_versions_go_into_service_one_after_the_other(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model is in service"):
        registry.current()
    published(registry, tmp_path, "a", "b")
    assert [version.name for version in registry.versions()] == ["v0001", "v0002"]
    current = registry.current()
    assert (current.number, current.sha256) == (2, model_identity(tmp_path / "b"))
    assert current.gate["verdict"] == "better"
    assert [(change.version, change.kind) for change in registry.history()] == [
        (1, ChangeKind.PUBLISH),
        (2, ChangeKind.PUBLISH),
    ]
    assert [found.folder.name for found in registries(registry.folder.parent)] == ["unet"]


def test_a_bare_model_is_version_0_and_can_be_gone_back_to(registry: Registry, tmp_path: Path) -> None:
    write_files(registry.folder, "shipped")
    assert registry.current().number == 0
    published(registry, tmp_path, "a")
    assert registry.current().number == 1
    assert registry.history()[0].kind is ChangeKind.FOUND
    assert registry.rollback("worse in practice").version == 0
    assert registry.current().folder == registry.folder
    (registry.folder / "model.pt").write_text("altered")
    published(registry, tmp_path, "b")
    with pytest.raises(ModelError, match="as recorded"):
        registry.rollback()
    assert registry.current().number == 2


def test_rollback_goes_further_back_each_time(registry: Registry, tmp_path: Path) -> None:
    published(registry, tmp_path, "a", "b", "c")
    assert [registry.rollback().version for _ in range(2)] == [2, 1]
    with pytest.raises(ModelError, match="no earlier version"):
        registry.rollback()
    assert registry.promote(3).version == 3
    assert registry.rollback().version == 1
    assert len(registry.history()) == 7


def test_a_refused_version_needs_a_word(registry: Registry, tmp_path: Path) -> None:
    published(registry, tmp_path, "a")
    refused = registry.add(write_files(tmp_path / "b", "b"), {"accepted": False, "verdict": "more false volume"})
    for change in (registry.publish, registry.promote):
        with pytest.raises(UsageError, match="more false volume"):
            change(refused.number)
    assert registry.current().number == 1
    assert registry.promote(refused.number, despite_gate=True).version == 2


def test_a_verdict_holds_only_against_the_version_in_service(registry: Registry, tmp_path: Path) -> None:
    published(registry, tmp_path, "a", "b")
    judged = {**ACCEPTED, "champion": registry.current().identity}
    better = [registry.add(write_files(tmp_path / name, name), judged) for name in ("c", "d")]
    registry.rollback("misses bone lesions")
    with pytest.raises(UsageError, match="in service changed while this one was judged; promote version 3 by hand"):
        registry.publish(better[0].number)
    assert registry.current().number == 1
    registry.promote(2)
    assert [registry.publish(better[0].number).version for _ in range(2)] == [3, 3]
    with pytest.raises(UsageError, match="in service changed"):
        registry.publish(better[1].number)
    assert registry.promote(better[1].number).version == 4


def test_altered_and_missing_files_never_go_into_service(registry: Registry, tmp_path: Path) -> None:
    published(registry, tmp_path, "a", "b")
    weights = registry.version(1).folder / "model.pt"
    weights.chmod(0o644)
    weights.write_text("altered")
    with pytest.raises(ModelError, match="v0001 has SHA-256"):
        registry.rollback()
    weights.unlink()
    with pytest.raises(ModelError, match=r"model\.pt is missing"):
        registry.promote(1)
    with pytest.raises(ModelError, match="version 7 does not exist"):
        registry.promote(7)
    assert registry.current().number == 2
    with pytest.raises(ModelError, match="there is no model folder"):
        registry.add(tmp_path / "nowhere", ACCEPTED)
    for content in ("{", "[1]", "[]", "3"):
        gate = registry.version(2).folder / GATE
        before = gate.read_text()
        gate.chmod(0o644)
        gate.write_text(content)
        with pytest.raises(ModelError, match=r"gate\.json cannot be read"):
            registry.versions()
        gate.write_text(before)
    (registry.folder / CURRENT).write_text('{"changes": []}')
    with pytest.raises(ModelError, match="damaged"):
        registry.current()


@pytest.mark.parametrize("name", ["../unet", "/etc", "", "Unet", "a/b", "x" * 65])
def test_names_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not valid"):
        Registry.of(tmp_path, name)


def test_adding_the_same_model_again_adds_nothing(registry: Registry, tmp_path: Path) -> None:
    model = write_files(tmp_path / "a", "a")
    assert registry.add(model, ACCEPTED).number == registry.add(model, ACCEPTED).number == 1
    registry.publish(1)
    registry.publish(1)
    assert len(registry.history()) == 1


def test_many_at_once_get_versions_of_their_own(registry: Registry, tmp_path: Path) -> None:
    models = [write_files(tmp_path / f"m{n}", f"m{n}") for n in range(8)]
    threads = [threading.Thread(target=registry.add, args=(model, ACCEPTED)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [version.number for version in registry.versions()] == list(range(1, 9))
    assert len({version.sha256 for version in registry.versions()}) == 8


def test_killed_at_any_moment_a_whole_version_is_in_service(registry: Registry, tmp_path: Path) -> None:
    """SIGKILL while versions are added and switched as fast as they can."""
    code = (
        "import sys; from pathlib import Path; from petlesion.networks.registry import Registry\n"
        "registry, folder, n = Registry(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])\n"
        "while True:\n"
        "    n += 1\n"
        "    (folder / 'model.pt').write_text(str(n) * 1000)\n"
        "    registry.publish(registry.add(folder, {'accepted': True}).number)\n"
        "    registry.rollback() if n % 3 == 0 else None\n"
        "    print(n, flush=True)\n"
    )
    published(registry, tmp_path, "a")
    source = write_files(tmp_path / "source", "s")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    for round_number in range(6):
        command = [sys.executable, "-c", code, str(registry.folder), str(source), str(round_number * 10_000)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.003 * round_number)
            process.send_signal(signal.SIGKILL)
        registry.current().verify()
        for version in registry.versions():
            version.verify()
    published(registry, tmp_path, "z")
    assert registry.current().sha256 == model_identity(tmp_path / "z")
    left = [path.name for path in registry.folder.iterdir() if path.name.startswith(".version-")]
    assert not left


def test_export_replaces_an_earlier_export_and_nothing_else(registry: Registry, tmp_path: Path) -> None:
    out = tmp_path / "deploy"
    published(registry, tmp_path, "a")
    assert registry.export(out).number == 1
    published(registry, tmp_path, "b")
    registry.export(out)
    assert sorted(path.name for path in (out / "unet").iterdir()) == sorted((*FILES, GATE, MODEL_SHA256))
    assert (
        (out / "unet" / MODEL_SHA256).read_text().strip() == model_identity(out / "unet") == registry.current().sha256
    )
    assert [path.name for path in out.iterdir()] == ["unet"]
    (tmp_path / "mine" / "unet").mkdir(parents=True)
    (tmp_path / "mine" / "unet" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="something other"):
        registry.export(tmp_path / "mine")
    assert (tmp_path / "mine" / "unet" / "thesis.txt").exists()


def test_export_never_replaces_versions(registry: Registry, tmp_path: Path) -> None:
    """A server's folder of models begins with an export, so that it carries its identity as one does."""
    write_files(tmp_path / "shipped" / "unet", "shipped")
    Registry.of(tmp_path / "shipped", "unet").export(registry.folder.parent)
    published(registry, tmp_path, "a")
    for source in (registry, Registry.of(tmp_path / "shipped", "unet")):
        with pytest.raises(OutputError, match=r"something other than an exported model.*give another folder"):
            source.export(registry.folder.parent)
    assert [version.number for version in registry.versions()] == [0, 1]
    assert registry.current().sha256 == model_identity(tmp_path / "a")


def test_command_line(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    published(registry, tmp_path, "a", "b")
    models = ["--models", str(registry.folder.parent)]
    assert run(["model", "rollback", "unet", *models, "--reason", "test"]) == ExitCode.DONE
    assert "Exported copies stay as they are: petlesion export --model unet" in capsys.readouterr().out
    assert run(["model", "list", *models, "--json"]) == ExitCode.DONE
    rows = json.loads(capsys.readouterr().out)
    assert [(row["version"], row["in_service"]) for row in rows] == [("v0001", True), ("v0002", False)]
    assert run(["model", "list", "unet", *models]) == ExitCode.DONE
    assert "v0002" in capsys.readouterr().out
    assert run(["model", "show", "unet", "2", *models, "--json"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out)["gate"]["verdict"] == "better"
    assert run(["model", "show", "unet", *models]) == ExitCode.DONE
    assert "rollback test" in capsys.readouterr().out
    assert run(["model", "promote", "unet", "2", *models]) == ExitCode.DONE
    assert run(["export", "--model", "unet", "-o", str(tmp_path / "out"), *models]) == ExitCode.DONE
    assert model_identity(tmp_path / "out" / "unet") == registry.current().sha256
    assert run(["model", "promote", "unet", "9", *models]) == ExitCode.MODEL
    assert run(["model", "show", "../x", *models]) == ExitCode.USAGE
    assert len(capsys.readouterr().err.strip().splitlines()) == 2
