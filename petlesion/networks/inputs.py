"""Network input from measured values: the one definition that training and inference share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from petlesion.networks.model_config import InputChannel, ModelConfig, Normalisation
from petlesion.tracers import TracerName

if TYPE_CHECKING:
    from torch import Tensor

TRACER_PLANES: Final[Mapping[TracerName, int]] = MappingProxyType(
    {
        TracerName.GA68_DOTATATE: 0,
        TracerName.CU64_DOTATATE: 0,
        TracerName.GA68_DOTATOC: 0,
        TracerName.GA68_PSMA11: 1,
        TracerName.F18_DCFPYL: 1,
        TracerName.F18_PSMA1007: 2,
        TracerName.F18_FDG: 3,
    }
)
"""Which plane is 1 for a tracer: somatostatin receptor, renal PSMA, hepatobiliary PSMA, FDG; all 0 where unknown."""
TRACER_COUNT: Final = 4
"""Number of tracer planes."""
BODY_SUV: Final = 0.1
"""A voxel above is taken for the body."""
LEAST_SPREAD: Final = 0.01
"""Against division by none, in a body of one value."""


def tracer_code(tracer: TracerName) -> tuple[float, ...]:
    """Values of the tracer planes.

    Examples
    --------
    >>> tracer_code(TracerName.F18_FDG)
    (0.0, 0.0, 0.0, 1.0)
    >>> tracer_code(TracerName.UNKNOWN)
    (0.0, 0.0, 0.0, 0.0)
    """
    plane = TRACER_PLANES.get(tracer)
    return tuple(float(n == plane) for n in range(TRACER_COUNT))


def planes(config: ModelConfig) -> dict[InputChannel, range]:
    """Which input planes belong to a channel.

    Examples
    --------
    >>> planes(ModelConfig(channels=("suv", "tracer", "ct")))[InputChannel.TRACER]
    range(1, 5)
    """
    found: dict[InputChannel, range] = {}
    first = 0
    for channel in config.channels:
        count = TRACER_COUNT if channel is InputChannel.TRACER else 1
        found[channel] = range(first, first + count)
        first += count
    return found


def channel_count(config: ModelConfig) -> int:
    """Number of input planes."""
    return sum(len(numbers) for numbers in planes(config).values())


def body_spread(suv: NDArray[Any], rules: Normalisation) -> tuple[float, float]:
    """Mean and standard deviation of the SUV plane over the body in an image, by which the z-score is reckoned.

    Parameters
    ----------
    suv
        SUVbw of the whole image, of any shape; or of a sample of it.
    rules
        Scaling of the SUV plane.

    Examples
    --------
    >>> body_spread(np.zeros(4), Normalisation())
    (0.0, 1.0)
    """
    body = suv[suv > BODY_SUV]
    if not body.size:
        return 0.0, 1.0
    plane = np.arcsinh(body.astype(np.float64) / rules.suv_scale)
    return float(plane.mean()), max(float(plane.std()), LEAST_SPREAD)


def network_input(
    suv: Tensor, ct: Tensor, threshold: Tensor, spread: Tensor, tracer: Tensor, config: ModelConfig
) -> Tensor:
    """Planes that the network sees.

    Parameters
    ----------
    suv
        (batch, z, y, x) SUVbw.
    ct
        (batch, z, y, x) HU; `NO_CT_HU` where there is none.
    threshold
        (batch,) reference threshold of the patient, SUVbw.
    spread
        (batch, 2) from `body_spread` of the whole image.
    tracer
        (batch, 4) from `tracer_code`.
    config
        Which planes, and their scaling.

    Returns
    -------
    torch.Tensor
        (batch, channel, z, y, x), float32, on the device of `suv`.
    """
    import torch

    rules = config.normalisation
    suv = suv.float().clamp(min=0)
    compressed = torch.asinh(suv / rules.suv_scale)[:, None]
    values: list[Tensor] = []
    for channel in config.channels:
        match channel:
            case InputChannel.SUV:
                values.append(compressed)
            case InputChannel.Z_SCORE:
                mean, deviation = spread.float()[:, :, None, None, None, None].unbind(dim=1)
                values.append(((compressed - mean) / deviation).clamp(-rules.z_score_clip, rules.z_score_clip))
            case InputChannel.RATIO:
                values.append((suv / threshold.float()[:, None, None, None]).clamp(max=rules.ratio_clip)[:, None])
            case InputChannel.CT:
                values.append(_windowed(ct, rules.ct_low, rules.ct_high))
            case InputChannel.SOFT_TISSUE:
                values.append(_windowed(ct, rules.soft_tissue_low, rules.soft_tissue_high))
            case InputChannel.TRACER:
                values.append(tracer.float()[:, :, None, None, None].expand(-1, -1, *suv.shape[1:]))
    return torch.cat(values, dim=1)


def _windowed(ct: Tensor, low: float, high: float) -> Tensor:
    """HU from low to high as -1 to 1, with an axis for the channel."""
    return (2 * (ct.float().clamp(low, high) - low) / (high - low) - 1)[:, None]
