"""A network over a volume of any size, window by window, with memory that does not grow with its length."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from petlesion.networks.inputs import body_spread, network_input
from petlesion.networks.model_config import ModelConfig
from petlesion.networks.sampling import Sampled
from petlesion.progress import Progress, silent
from petlesion.study import NO_CT_HU

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

GAUSSIAN_SIGMA = 0.125
"""Weight of a window's voxels falls off with this sigma, in units of the window (Isensee et al., Nat Methods 2021)."""
BACKGROUND_MARGIN = -1.0
"""Margin where no window was computed: certainly no lesion."""


@dataclass(frozen=True)
class WindowPlan:
    """How to cover a volume.

    Attributes
    ----------
    size
        Voxels of a window (z, y, x).
    overlap
        Share of a window, along each axis, that its neighbour covers too.
    batch
        Windows computed at once.
    mirror
        Whether to average over left-right mirror images as well, at twice the cost.
    """

    size: tuple[int, int, int]
    overlap: float
    batch: int = 1
    mirror: bool = False


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the networks say, on their own grid.

    Attributes
    ----------
    margin
        (z, y, x) float32: probability of lesion minus the highest probability of another class. A voxel is lesion
        where this is positive, as by argmax; unlike labels, it can be interpolated.
    lesion
        (z, y, x) float32 probability of lesion.
    classes
        (z, y, x) uint8 most probable class.
    entropy
        (z, y, x) float32, 0 (certain) to 1 (all classes equally probable); None unless wanted.
    """

    margin: NDArray[np.float32]
    lesion: NDArray[np.float32]
    classes: NDArray[np.uint8]
    entropy: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class Subject:
    """What is put through the networks.

    Attributes
    ----------
    sampled
        Images on the network's grid.
    body
        (z, y, x) mask; windows without any of it are left out. None: all windows are computed.
    threshold
        Reference threshold, SUVbw.
    tracer
        From `networks.inputs.tracer_code`.
    """

    sampled: Sampled
    body: NDArray[np.bool_] | None
    threshold: float
    tracer: tuple[float, ...]


def predict(
    networks: Sequence[nn.Module],
    config: ModelConfig,
    subject: Subject,
    plan: WindowPlan,
    device: torch.device,
    *,
    entropy: bool = False,
    progress: Progress = silent,
) -> Prediction:
    """Run networks over a volume; their probabilities are averaged.

    MONAI's `sliding_window_inference` is not used: it keeps the input planes and every class of the whole volume in
    memory, while this loop builds the planes a window at a time and reduces the classes to a decision as soon as the
    last window over a slice is done.

    Parameters
    ----------
    networks
        On any device; copies are moved to `device`.
    config
        Common to all networks.
    subject
        Images, body, threshold and tracer.
    plan
        Windows.
    device
        Where to compute.
    entropy
        Whether the entropy is wanted.
    progress
        Told how many windows are done.
    """
    import torch

    stitch = _Stitch.new(subject.sampled.suv.shape, plan, len(config.classes), device, entropy=entropy)
    ready = [_prepared(network, device) for network in networks]
    spread = body_spread(subject.sampled.suv, config.normalisation)
    layers = [
        (z, list(_in_plane(subject, z, plan)))
        for z in _starts(subject.sampled.suv.shape[0], plan.size[0], plan.overlap)
    ]
    total, done = sum(len(columns) for _, columns in layers), 0
    with torch.inference_mode(), _autocast(device):
        for z, columns in layers:
            stitch.advance(z)
            for first in range(0, len(columns), plan.batch):
                corners = [(z, y, x) for y, x in columns[first : first + plan.batch]]
                planes = _planes(subject, spread, corners, plan.size, config, device)
                stitch.add(corners, _probabilities(ready, planes, plan.mirror))
                done += len(corners)
                progress(done, total)
        return stitch.finish()


def autocast_dtype(device: torch.device) -> torch.dtype | None:
    """Bfloat16 where the hardware computes in it: GPUs; CPUs with AMX or AVX512-BF16, there 2.5 times as fast."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if _cpu_can("amx_bf16") or _cpu_can("avx512_bf16") else None


def channels_last(device: torch.device) -> bool:
    """Whether convolutions are faster on channels-last memory: on GPUs, with AMX, and by a fifth with AVX2 alone.

    With AVX512 they are a third slower.
    """
    return device.type == "cuda" or _cpu_can("amx_bf16") or (_cpu_can("avx2") and not _cpu_can("avx512_f"))


def _cpu_can(capability: str) -> bool:
    import torch

    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # not in older releases
    return bool(capabilities.get(capability))


def _autocast(device: torch.device) -> AbstractContextManager[object]:
    import torch

    dtype = autocast_dtype(device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


def _prepared(network: nn.Module, device: torch.device) -> nn.Module:
    """A copy on the device, in the memory layout that its convolutions are fastest with."""
    import torch

    moved = copy.deepcopy(network).to(device)
    if channels_last(device):
        moved.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,unused-ignore]
    return moved


def _probabilities(networks: Sequence[nn.Module], planes: Tensor, mirror: bool) -> Tensor:
    """(batch, class, z, y, x) float32, averaged over networks and mirror images."""
    total: Tensor = networks[0](planes).float().softmax(dim=1)
    for network in networks[1:]:
        total += network(planes).float().softmax(dim=1)
    count = len(networks)
    if mirror:
        flipped = planes.flip(-1)
        for network in networks:
            total += network(flipped).float().softmax(dim=1).flip(-1)
        count *= 2
    return total / count


def _planes(
    subject: Subject,
    spread: tuple[float, float],
    corners: Sequence[tuple[int, int, int]],
    size: tuple[int, int, int],
    config: ModelConfig,
    device: torch.device,
) -> Tensor:
    """Network input of some windows; beyond the volume there is air."""
    import torch

    suv = np.zeros((len(corners), *size), dtype=np.float32)
    ct = np.full((len(corners), *size), NO_CT_HU, dtype=np.float32)
    for n, corner in enumerate(corners):
        box = tuple(slice(start, start + side) for start, side in zip(corner, size, strict=True))
        part = subject.sampled.suv[box]
        inside = (n, *(slice(0, side) for side in part.shape))
        suv[inside] = part
        ct[inside] = subject.sampled.ct[box]
    count = len(corners)
    planes = network_input(
        torch.from_numpy(suv).to(device),
        torch.from_numpy(ct).to(device),
        torch.full((count,), subject.threshold, device=device),
        torch.tensor([spread] * count, device=device),
        torch.tensor([subject.tracer] * count, device=device),
        config,
    )
    return planes.contiguous(memory_format=torch.channels_last_3d) if channels_last(device) else planes


def _starts(length: int, size: int, overlap: float) -> list[int]:
    """First voxels of windows that cover `length`, evenly spaced.

    Examples
    --------
    >>> _starts(100, 40, 0.25)
    [0, 30, 60]
    >>> _starts(30, 40, 0.25)
    [0]
    """
    if length <= size:
        return [0]
    count = int(np.ceil((length - size) / max(1.0, size * (1 - overlap)))) + 1
    return [round(n * (length - size) / (count - 1)) for n in range(count)]


def _in_plane(subject: Subject, z: int, plan: WindowPlan) -> Iterator[tuple[int, int]]:
    """Corners (y, x) of the windows at height z that hold some of the body."""
    _, height, width = subject.sampled.suv.shape
    depth, rows, columns = plan.size
    for y, x in product(_starts(height, rows, plan.overlap), _starts(width, columns, plan.overlap)):
        if subject.body is None or subject.body[z : z + depth, y : y + rows, x : x + columns].any():
            yield y, x


@dataclass(eq=False)
class _Stitch:
    """Weighted sums of the windows over the slices that are still open, and results of those that are done."""

    plan: WindowPlan
    weight: Tensor
    sums: Tensor
    weights: Tensor
    result: Prediction
    first: int = 0

    @classmethod
    def new(
        cls, shape: tuple[int, ...], plan: WindowPlan, classes: int, device: torch.device, *, entropy: bool
    ) -> _Stitch:
        import torch
        from monai.data.utils import compute_importance_map
        from monai.utils.enums import BlendMode

        weight = compute_importance_map(plan.size, mode=BlendMode.GAUSSIAN, sigma_scale=GAUSSIAN_SIGMA, device=device)
        # never so small that a corner seen by one window alone is lost in rounding
        weight = weight.float().clamp(min=1e-3)
        open_shape = [plan.size[0], *(max(side, n) for side, n in zip(plan.size[1:], shape[1:], strict=True))]
        z, y, x = shape
        result = Prediction(
            margin=np.full((z, y, x), BACKGROUND_MARGIN, dtype=np.float32),
            lesion=np.zeros((z, y, x), dtype=np.float32),
            classes=np.zeros((z, y, x), dtype=np.uint8),
            entropy=np.zeros((z, y, x), dtype=np.float32) if entropy else None,
        )
        sums = torch.zeros((classes, *open_shape), device=device)
        return cls(plan, weight, sums, torch.zeros(open_shape, device=device), result)

    def add(self, corners: Sequence[tuple[int, int, int]], probabilities: Tensor) -> None:
        _, rows, columns = self.plan.size
        for (_, y, x), values in zip(corners, probabilities, strict=True):
            box = (slice(None), slice(y, y + rows), slice(x, x + columns))
            self.sums[(slice(None), *box)] += values * self.weight
            self.weights[box] += self.weight

    def advance(self, z: int) -> None:
        """Finish all slices before z; the window of open slices then begins there."""
        step = z - self.first
        if step <= 0:
            return
        self._write(step)
        for volume in (self.sums, self.weights):
            depth = volume.shape[-3]
            kept = volume[..., step:, :, :].clone()
            volume[..., : depth - step, :, :] = kept
            volume[..., depth - step :, :, :] = 0
        self.first = z

    def finish(self) -> Prediction:
        self._write(self.sums.shape[1])
        return self.result

    def _write(self, slices: int) -> None:
        """Turn the first open slices into results."""
        result = self.result
        depth, height, width = result.margin.shape
        slices = min(slices, depth - self.first)
        weights = self.weights[:slices, :height, :width]
        sums = self.sums[:, :slices, :height, :width]
        seen, least = weights > 0, weights.clamp(min=1e-12)
        target = slice(self.first, self.first + slices)
        others = sums[0] if len(sums) == 2 else sums[0].maximum(sums[2:].amax(dim=0))
        # sums of rounded numbers may exceed 1 by their last bit
        lesion, other = (sums[1] / least).clamp(max=1), (others / least).clamp(max=1)
        result.lesion[target] = lesion.cpu().numpy()
        result.margin[target] = (lesion - other).masked_fill(~seen, BACKGROUND_MARGIN).cpu().numpy()
        result.classes[target] = sums.argmax(dim=0).cpu().numpy().astype(np.uint8)
        if result.entropy is not None:
            probabilities = (sums / least).clamp(max=1)
            spread = -(probabilities * probabilities.clamp(min=1e-12).log()).sum(dim=0) / np.log(len(probabilities))
            result.entropy[target] = spread.clamp(0, 1).cpu().numpy()
