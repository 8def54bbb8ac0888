"""The folder that nnU-Net v2 leaves after training: plans, channels, labels and the weights of its folds.

nnU-Net reads its own checkpoints with an unrestricted unpickler, and builds whatever class they name. Here weights are
read by PyTorch's restricted unpickler, and networks come from the package of nnU-Net's architectures alone.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from petlesion.errors import ModelError, reason
from petlesion.networks.model_config import InputChannel

if TYPE_CHECKING:
    from torch import Tensor, nn

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINTS: Final = ("checkpoint_final.pth", "checkpoint_best.pth")
"""Weights of a fold, the first that is there."""
CHANNELS: Final[Mapping[str, InputChannel]] = {
    "pet": InputChannel.SUV,
    "pt": InputChannel.SUV,
    "suv": InputChannel.SUV,
    "ct": InputChannel.CT,
    "nonorm": InputChannel.RATIO,
    "pet_ratio": InputChannel.RATIO,
}
"""What a channel holds by its name in `dataset.json`; `noNorm` is PET over threshold, as in DEEP-PSMA's baseline."""
LESION_NAMES: Final = ("lesion", "lesions", "tumor", "tumour", "ttb", "gtv", "primary")
"""Names of the label that is the lesion; a single label may have any name."""
_ARCHITECTURES: Final = "dynamic_network_architectures."
_LAYERS: Final = "torch.nn."
_REMEDY = "give the folder of a trained nnU-Net: plans.json, dataset.json, fold_0/checkpoint_final.pth"


@dataclass(frozen=True, eq=False)
class NnunetModel:
    """A model trained by nnU-Net v2, as its predictor takes it.

    Attributes
    ----------
    plans, dataset
        `plans.json` and `dataset.json`.
    configuration
        Such as "3d_fullres".
    channels
        Input, in order.
    lesion
        Number of the label that is the lesion.
    network
        In evaluation mode, with the weights of the first fold.
    weights
        Of every fold.
    trainer
        Name of the class that trained it.
    mirror_axes
        Axes that it was trained to be mirrored along.
    sha256
        Identity: hash over plans, data set and the checkpoints that are used.
    """

    plans: dict[str, Any]
    dataset: dict[str, Any]
    configuration: str
    channels: tuple[InputChannel, ...]
    lesion: int
    network: nn.Module
    weights: tuple[Mapping[str, Tensor], ...]
    trainer: str
    mirror_axes: tuple[int, ...] | None
    sha256: str


def load_nnunet(folder: Path) -> NnunetModel:
    """Read a trained model folder of nnU-Net v2, all folds of it.

    The model that was read last is kept for the next study, while its files stay as they are.

    Parameters
    ----------
    folder
        Such as `nnUNetTrainer__nnUNetPlans__3d_fullres`.

    Raises
    ------
    ModelError
        If nnU-Net is not installed, a file is missing or malformed, a channel or label has a name that says nothing,
        or the weights do not fit the plans.
    """
    if find_spec("nnunetv2") is None:
        raise ModelError("nnU-Net is not installed", remedy="pip install nnunetv2")
    return _load(folder.absolute(), tuple(_stamp(file) for file in _files(folder)))


@lru_cache(maxsize=1)
def _load(folder: Path, _: tuple[tuple[int, int], ...]) -> NnunetModel:
    plans, dataset = _read_json(folder / PLANS), _read_json(folder / DATASET)
    channels, lesion = _channels(dataset, folder), _lesion_label(dataset, folder)
    checkpoints = [_read_checkpoint(file) for file in _checkpoints(folder)]
    try:
        configuration = str(checkpoints[0]["init_args"]["configuration"])
        trainer = str(checkpoints[0]["trainer_name"])
        weights = tuple(checkpoint["network_weights"] for checkpoint in checkpoints)
        network = _build(plans, dataset, configuration, len(channels))
        for fold in reversed(weights):
            network.load_state_dict(fold)
    except (KeyError, TypeError, ValueError, AttributeError, ImportError, RuntimeError) as error:
        raise ModelError(f"model does not fit its plans ({error})", where=folder, remedy=_REMEDY) from error
    axes = checkpoints[0].get("inference_allowed_mirroring_axes")
    return NnunetModel(
        plans=plans,
        dataset=dataset,
        configuration=configuration,
        channels=channels,
        lesion=lesion,
        network=network.eval(),
        weights=weights,
        trainer=trainer,
        mirror_axes=None if axes is None else tuple(int(axis) for axis in axes),
        sha256=nnunet_identity(folder),
    )


def nnunet_identity(folder: Path) -> str:
    """SHA-256 over plans, data set and the checkpoints that are used, without loading them.

    Raises
    ------
    ModelError
        If a file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    for file in _files(folder):
        try:
            digest.update(f"{file.parent.name}/{file.name} {file.stat().st_size}\n".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise _unreadable(file, error) from error
    return digest.hexdigest()


def _files(folder: Path) -> list[Path]:
    return [folder / PLANS, folder / DATASET, *_checkpoints(folder)]


def _stamp(file: Path) -> tuple[int, int]:
    """Time of the last change and size; other ones tell that the file is another."""
    try:
        status = file.stat()
    except OSError as error:
        raise _unreadable(file, error) from error
    return status.st_mtime_ns, status.st_size


def _unreadable(file: Path, error: OSError) -> ModelError:
    return ModelError(f"the file cannot be read ({reason(error)})", where=file, remedy=_REMEDY)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable(file, error) from error
    except (ValueError, RecursionError) as error:
        raise ModelError("the file is no JSON", where=file, remedy=_REMEDY) from error
    if not isinstance(data, dict):
        raise ModelError("the file holds no settings", where=file, remedy=_REMEDY)
    return data


def _channels(dataset: Mapping[str, Any], folder: Path) -> tuple[InputChannel, ...]:
    names = dataset.get("channel_names")
    if not isinstance(names, dict) or not names:
        raise ModelError("channel_names are missing", where=folder / DATASET, remedy=_REMEDY)
    found = []
    for number in range(len(names)):
        name = str(names.get(str(number)))
        channel = CHANNELS.get(name.lower())
        if channel is None:
            raise ModelError(
                f"channel {number} is called {name!r}, which does not say what it holds",
                where=folder / DATASET,
                remedy=f"name it {', '.join(CHANNELS)} as it was trained",
            )
        found.append(channel)
    return tuple(found)


def _lesion_label(dataset: Mapping[str, Any], folder: Path) -> int:
    labels = dataset.get("labels")
    single = {
        str(name).lower(): value
        for name, value in (labels.items() if isinstance(labels, dict) else ())
        if isinstance(value, int) and value > 0 and str(name).lower() != "ignore"
    }
    named = [value for name, value in single.items() if name in LESION_NAMES]
    if len(named) == 1:
        return int(named[0])
    if len(single) == 1 and not named:
        return int(next(iter(single.values())))
    raise ModelError(
        f"labels {', '.join(single) or 'none'} do not say which is the lesion",
        where=folder / DATASET,
        remedy=f"name one of them {LESION_NAMES[0]}",
    )


def _checkpoints(folder: Path) -> Iterator[Path]:
    """Weights of the folds; of `fold_all` only where there is no other."""
    folds = sorted(path for path in folder.glob("fold_*") if path.name != "fold_all") or [folder / "fold_all"]
    found = [next((fold / name for name in CHECKPOINTS if (fold / name).is_file()), None) for fold in folds]
    present = [file for file in found if file is not None]
    if not present:
        raise ModelError("there are no weights", where=folder, remedy=_REMEDY)
    yield from present


def _read_checkpoint(file: Path) -> dict[str, Any]:
    """Read what nnU-Net saved; besides tensors it holds numbers of numpy, which are harmless."""
    import torch

    scalar = np.float64(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    harmless = [*((scalar, name) for name in names), np.dtype, *(type(np.dtype(kind)) for kind in "fdlq?")]
    try:
        with torch.serialization.safe_globals(harmless):  # type: ignore[arg-type,unused-ignore]
            data = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"weights cannot be read ({reason})", where=file, remedy="restore the file") from error
    if not isinstance(data, dict):
        raise ModelError("the checkpoint holds no weights", where=file, remedy=_REMEDY)
    return data


def _build(plans: Mapping[str, Any], dataset: Mapping[str, Any], configuration: str, channels: int) -> nn.Module:
    """Build the network of the plans without deep supervision."""
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    manager = PlansManager(dict(plans))
    chosen = manager.get_configuration(configuration)
    classes = {name: chosen.network_arch_init_kwargs[name] for name in chosen.network_arch_init_kwargs_req_import}
    _only_known(chosen.network_arch_class_name, classes)
    network: nn.Module = get_network_from_plans(
        chosen.network_arch_class_name,
        chosen.network_arch_init_kwargs,
        chosen.network_arch_init_kwargs_req_import,
        channels,
        manager.get_label_manager(dataset).num_segmentation_heads,
        allow_init=False,
        deep_supervision=False,
    )
    return network


def _only_known(network: str, layers: Mapping[str, str | None]) -> None:
    """Refuse plans that would import and call something other than a network and its layers.

    Raises
    ------
    ValueError
        If they would.
    """
    if not network.startswith(_ARCHITECTURES):
        raise ValueError(f"{network} is no architecture of nnU-Net")
    for name, layer in layers.items():
        if layer is not None and not layer.startswith(_LAYERS):
            raise ValueError(f"{name} {layer} is no layer of PyTorch")
