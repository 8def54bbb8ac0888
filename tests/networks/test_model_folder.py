from __future__ import annotations

import io
import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (pip install petlesion[network])")

from petlesion.errors import ExitCode, ModelError, OutputError  # noqa: E402
from petlesion.networks.model_config import ArchitectureConfig, ModelConfig  # noqa: E402
from petlesion.networks.model_folder import identity, load_model, model_identity, read_config, write_model  # noqa: E402
from petlesion.networks.unet import build_unet, network_cost, own_weights  # noqa: E402

CONFIG = ModelConfig(architecture=ArchitectureConfig(filters=(2, 4, 8)), patch=(16, 16, 16))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("published") / "unet"
    write_model(folder, build_unet(CONFIG).state_dict(), CONFIG, {"metrics": {"dice": 0.5}})
    return folder


@pytest.fixture
def model(published: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(published, tmp_path / "unet"))


def refused(folder: Path, message: str, sha256: str | None = None) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(folder, sha256)
    assert caught.value.exit_code is ExitCode.MODEL


def test_reads_what_was_written(model: Path) -> None:
    loaded = load_model(model)
    assert loaded.config == CONFIG == read_config(model)
    assert loaded.card == {"metrics": {"dice": 0.5}}
    assert not loaded.network.training
    torch.manual_seed(0)
    expected = build_unet(CONFIG).state_dict()
    for name, value in loaded.network.state_dict().items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=1e-3, atol=1e-6)  # stored at 16 bits
    entries = len(own_weights(loaded.network))
    assert (model / "model.pt").stat().st_size < 2 * network_cost(CONFIG).parameters + 1000 * entries


def test_identity_covers_every_byte_of_all_three_files(model: Path) -> None:
    sha256 = model_identity(model)
    assert load_model(model, sha256).sha256 == load_model(model, sha256.upper()).sha256 == sha256
    for name in ("model.pt", "config.yaml", "card.json"):
        content = (model / name).read_bytes()
        (model / name).write_bytes(content + b"\n")
        assert model_identity(model) != sha256
        refused(model, f"not {sha256}", sha256)
        (model / name).write_bytes(content)
    assert identity((b"ab", b"c", b"")) != identity((b"a", b"bc", b""))


def test_the_same_weights_give_the_same_identity(tmp_path: Path, published: Path) -> None:
    torch.manual_seed(0)
    again = write_model(tmp_path / "again", build_unet(CONFIG).state_dict(), CONFIG, {"metrics": {"dice": 0.5}})
    assert again == model_identity(published)


def test_replaces_a_model_and_leaves_nothing_beside_it(model: Path) -> None:
    before = model_identity(model)
    sha256 = write_model(model, build_unet(CONFIG).state_dict(), CONFIG, {"version": 2})
    assert load_model(model, sha256).card == {"version": 2}
    assert sha256 != before
    assert [path.name for path in model.parent.iterdir()] == ["unet"]


def test_says_when_a_model_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        write_model(tmp_path / "file" / "unet", build_unet(CONFIG).state_dict(), CONFIG, {})


@pytest.mark.parametrize("name", ["model.pt", "config.yaml", "card.json"])
def test_refuses_a_missing_file(model: Path, name: str) -> None:
    (model / name).unlink()
    refused(model, f"{name} is missing")


def test_refuses_a_missing_folder(tmp_path: Path) -> None:
    refused(tmp_path / "no-model", "no model folder")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("card.json", b"[1]", "no object"),
        ("card.json", b"{", "no JSON"),
        ("card.json", b"[" * 100_000, "JSON"),
        ("card.json", b"\xff\xfe", "no JSON"),
        ("config.yaml", b"a: [", "no YAML"),
        ("config.yaml", b"!!python/object/apply:os.system ['true']", "no YAML"),
        ("config.yaml", b"[" * 60_000, "YAML|not valid"),
        ("config.yaml", b"just text", "not valid"),
        ("config.yaml", b"", "not valid"),
        ("config.yaml", b"x" * 100_000, "more than a model can have"),
        ("model.pt", b"", "damaged"),
        ("model.pt", b"PK\x03\x04 and no archive", "damaged"),
    ],
)
def test_refuses_malformed_files(model: Path, name: str, content: bytes, message: str) -> None:
    (model / name).write_bytes(content)
    refused(model, message)


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("attacked"),)  # type: ignore[return-value]


@pytest.mark.parametrize("bare", [True, False])
def test_never_runs_code_from_weights(model: Path, bare: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(model)
    if bare:
        (model / "model.pt").write_bytes(pickle.dumps(_Attack()))
    else:
        torch.save({"weight": _Attack()}, model / "model.pt")
    refused(model, "damaged or holds more than weights")
    assert not (model / "attacked").exists()


def test_refuses_an_archive_that_unpacks_to_much(model: Path) -> None:
    with zipfile.ZipFile(model / "model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data/0", bytes(30_000_000))
    assert (model / "model.pt").stat().st_size < 100_000
    refused(model, "unpacks to")


def _rewrite_weights(model: Path, change: dict[str, torch.Tensor], drop: str = "") -> None:
    state = torch.load(model / "model.pt", weights_only=True) | change
    state.pop(drop, None)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    (model / "model.pt").write_bytes(buffer.getvalue())


def test_refuses_weights_of_another_network(model: Path) -> None:
    first, value = next(iter(torch.load(model / "model.pt", weights_only=True).items()))
    _rewrite_weights(model, {"extra": torch.zeros(1)})
    refused(model, "extra is not part of the network")
    _rewrite_weights(model, {}, drop="extra")
    _rewrite_weights(model, {first: torch.full_like(value, float("nan"))})
    refused(model, "not finite")
    _rewrite_weights(model, {}, drop=first)
    refused(model, "is missing")
    torch.save([1, 2], model / "model.pt")
    refused(model, "no table of tensors")


def test_refuses_a_wrong_number_of_channels(model: Path) -> None:
    fewer = CONFIG.model_copy(update={"channels": CONFIG.channels[:2]})
    (model / "config.yaml").write_text(json.dumps(fewer.model_dump(mode="json")))  # JSON is YAML
    refused(model, r"channels or classes")
