"""The folder of a published model: `model.pt`, `config.yaml`, `card.json`, and the SHA-256 over all three."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml  # type: ignore[import-untyped,unused-ignore]
from pydantic import ValidationError

from petlesion.errors import ModelError, OutputError, reason
from petlesion.networks.model_config import ModelConfig, first_problem
from petlesion.networks.unet import build_unet, own_weights

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS, CONFIG, CARD = "model.pt", "config.yaml", "card.json"
FILES: Final = (WEIGHTS, CONFIG, CARD)
"""All files of a model, in the order in which they are hashed."""
MAX_BYTES: Final[Mapping[str, int]] = {WEIGHTS: 2**30, CONFIG: 2**16, CARD: 2**24}
"""Largest file that is read; a larger one is no model of this product."""
_ARCHIVE_OVERHEAD = 2**20
"""Bytes that the names and sizes of the tensors may take besides the tensors themselves."""
_REMEDY = "give the folder of a published model with --model"


@dataclass(frozen=True, eq=False)
class Model:
    """A network with trained weights, ready for inference on the CPU.

    Attributes
    ----------
    network
        In evaluation mode, float32.
    config
        Its grid, channels and classes.
    card
        What it was trained on and how good it is.
    sha256
        Identity: hash over the three files.
    """

    network: nn.Module
    config: ModelConfig
    card: Mapping[str, Any]
    sha256: str


def identity(contents: Sequence[bytes]) -> str:
    """SHA-256 over `FILES`; each name and length is part of it, so that no byte can move between files."""
    digest = hashlib.sha256()
    for name, content in zip(FILES, contents, strict=True):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def model_identity(folder: Path) -> str:
    """Identity of the model in a folder, without loading it.

    Raises
    ------
    ModelError
        If a file is missing or too large.
    """
    return identity(_contents(folder))


def load_model(folder: Path, expected_sha256: str | None = None) -> Model:
    """Read a model.

    Every file is read once; what is hashed is what is used. No file can run code: the weights are read by PyTorch's
    restricted unpickler, the configuration by YAML's safe loader, and sizes are checked before anything is unpacked.

    Parameters
    ----------
    folder
        With the three files.
    expected_sha256
        Refuse any other identity.

    Raises
    ------
    ModelError
        If a file is missing, altered, malformed or too large, or weights and configuration do not belong together.
    """
    contents = _contents(folder)
    sha256 = identity(contents)
    if expected_sha256 is not None and sha256 != expected_sha256.lower():
        raise ModelError(
            f"model has SHA-256 {sha256}, not {expected_sha256}",
            where=folder,
            remedy="restore its files, or give the hash of this model if the change was meant",
        )
    weights, config_text, card_text = contents
    config = _parse_config(config_text, folder)
    card = _parse_card(card_text, folder)
    network = build_unet(config)
    network.load_state_dict(_parse_weights(weights, network, folder), strict=False)  # repeated names share memory
    return Model(network.eval(), config, card, sha256)


def read_config(folder: Path) -> ModelConfig:
    """Read `config.yaml` alone; raises as `load_model`."""
    return _parse_config(_contents(folder)[1], folder)


def write_model(
    folder: Path, state: Mapping[str, Tensor], config: ModelConfig, card: Mapping[str, Any], *, half: bool = True
) -> str:
    """Write a model folder, complete or not at all; an existing model there is replaced.

    Parameters
    ----------
    folder
        Created.
    state
        Weights.
    config, card
        What the other two files say.
    half
        Store weights as 16-bit numbers: half the size, and a relative error of 0.05 % at most.

    Returns
    -------
    str
        SHA-256 of the model.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    import torch

    with torch.device("meta"):
        names = own_weights(build_unet(config))
    chosen = {name: state[name] for name in names}
    stored = {
        name: (value.half() if half and value.is_floating_point() else value).cpu() for name, value in chosen.items()
    }
    buffer = io.BytesIO()
    torch.save(stored, buffer)
    document = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    contents = (
        buffer.getvalue(),
        document.encode(),
        (json.dumps(card, indent=2, allow_nan=False) + "\n").encode(),
    )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".model-", dir=folder.parent))
        try:
            _fill(staging, contents)
            replace_folder(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"model cannot be written ({reason(error)})", where=folder, remedy="give a writable folder"
        ) from error
    return identity(contents)


def _fill(staging: Path, contents: Sequence[bytes]) -> None:
    staging.chmod(0o755)
    for name, content in zip(FILES, contents, strict=True):
        (staging / name).write_bytes(content)


def replace_folder(staging: Path, folder: Path) -> None:
    """Put a staged folder in the place of `folder`; the old one disappears only after the new one stands."""
    if not folder.exists():
        staging.rename(folder)
        return
    attic = Path(tempfile.mkdtemp(prefix=".model-", dir=folder.parent))
    folder.rename(attic / folder.name)
    try:
        staging.rename(folder)
    except OSError:
        (attic / folder.name).rename(folder)
        raise
    finally:
        shutil.rmtree(attic, ignore_errors=True)


def _contents(folder: Path) -> tuple[bytes, bytes, bytes]:
    contents = []
    for name in FILES:
        path = folder / name
        if not path.is_file():
            what = f"model file {name} is missing" if folder.is_dir() else "there is no model folder"
            raise ModelError(what, where=folder, remedy=_REMEDY)
        try:
            size = path.stat().st_size
            if size > MAX_BYTES[name]:
                raise ModelError(f"{name} has {size} bytes, more than a model can have", where=folder, remedy=_REMEDY)
            contents.append(path.read_bytes())
        except OSError as error:
            raise ModelError(f"{name} cannot be read ({reason(error)})", where=folder, remedy=_REMEDY) from error
    return contents[0], contents[1], contents[2]


def _parse_config(content: bytes, folder: Path) -> ModelConfig:
    try:
        return ModelConfig.model_validate(yaml.safe_load(content))
    except ValidationError as error:
        raise ModelError(f"{CONFIG} is not valid ({first_problem(error)})", where=folder, remedy=_REMEDY) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{CONFIG} is no YAML file", where=folder, remedy=_REMEDY) from error


def _parse_card(content: bytes, folder: Path) -> dict[str, Any]:
    try:
        card = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{CARD} is no JSON file", where=folder, remedy=_REMEDY) from error
    if not isinstance(card, dict):
        raise ModelError(f"{CARD} holds no object", where=folder, remedy=_REMEDY)
    return card


def _parse_weights(content: bytes, network: nn.Module, folder: Path) -> dict[str, Tensor]:
    """Weights as float32, checked against the network that the configuration describes."""
    import torch

    expected = own_weights(network)
    limit = sum(value.numel() * 4 for value in expected.values()) + _ARCHIVE_OVERHEAD
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > limit:
            raise ModelError(
                f"{WEIGHTS} unpacks to {unpacked} bytes; the network of {CONFIG} needs {limit} at most",
                where=folder,
                remedy=_REMEDY,
            )
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (zipfile.BadZipFile, pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise ModelError(f"{WEIGHTS} is damaged or holds more than weights", where=folder, remedy=_REMEDY) from error
    problem = _mismatch(state, expected)
    if problem:
        raise ModelError(f"{WEIGHTS} does not belong to {CONFIG}: {problem}", where=folder, remedy=_REMEDY)
    weights = {name: value.float() for name, value in state.items()}
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise ModelError(f"{WEIGHTS} holds numbers that are not finite", where=folder, remedy=_REMEDY)
    return weights


def _mismatch(state: object, expected: Mapping[str, Tensor]) -> str:
    """What is different, or nothing."""
    import torch

    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        return "it is no table of tensors"
    missing, extra = sorted(expected.keys() - state.keys()), sorted(map(str, state.keys() - expected.keys()))
    if missing:
        return f"{missing[0]} is missing"
    if extra:
        return f"{extra[0][:80]} is not part of the network"
    for name, value in expected.items():
        if state[name].shape != value.shape:
            return f"{name} has shape {tuple(state[name].shape)} instead of {tuple(value.shape)} (channels or classes)"
    return ""
