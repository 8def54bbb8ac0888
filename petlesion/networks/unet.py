"""The default network: a plain 3D U-Net with deep supervision, MONAI's DynUNet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from petlesion.networks.inputs import channel_count, planes
from petlesion.networks.model_config import ModelConfig, Norm

if TYPE_CHECKING:
    from torch import Tensor, nn


_NORMS: Final = {
    Norm.GROUP: ("GROUP", {"num_groups": 1, "affine": True}),
    Norm.INSTANCE: ("INSTANCE", {"affine": True}),
}
"""As MONAI names them."""


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs.

    Attributes
    ----------
    parameters
        Number of trainable numbers.
    multiply_adds_per_voxel
        Of one pass over one window, divided by the window's voxels.
    """

    parameters: int
    multiply_adds_per_voxel: float


def build_unet(config: ModelConfig) -> nn.Module:
    """Build the network with random weights.

    Input (batch, channel, z, y, x) as `network_input` makes it. Output in evaluation: logits (batch, class, z, y, x);
    in training with deep supervision (batch, output, class, z, y, x), the finest output first, as DynUNet stacks them.
    """
    from monai.networks.nets.dynunet import DynUNet

    architecture = config.architecture
    return DynUNet(
        spatial_dims=3,
        in_channels=channel_count(config),
        out_channels=len(config.classes),
        kernel_size=architecture.kernels,
        strides=architecture.strides,
        upsample_kernel_size=architecture.strides[1:],
        filters=architecture.filters,
        norm_name=_NORMS[architecture.norm],
        act_name=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
        deep_supervision=architecture.deep_supervision > 0,
        deep_supr_num=max(1, architecture.deep_supervision),
        res_block=False,
    )


def grown(network: nn.Module, before: ModelConfig, after: ModelConfig) -> nn.Module:
    """The network of a configuration with more channels, computing what a trained one with fewer does.

    The weights of new channels are zero, and training finds out what they are good for. All channels of the trained
    network are among the new ones, in any order.
    """
    import torch

    new, old = planes(after), planes(before)
    kept = [number for channel in old for number in new[channel]]
    result = build_unet(after)
    weights = own_weights(result)
    with torch.no_grad():
        for name, value in own_weights(network).items():
            if weights[name].shape == value.shape:
                weights[name].copy_(value)
            else:  # the first convolution
                weights[name].zero_()[:, kept] = value
    return result


def perturbed(network: nn.Module, config: ModelConfig, share: float) -> nn.Module:
    """A share of a network's weights, and the rest of random ones: what it knew by heart fades, what it can do stays.

    "Shrink and perturb" of Ash and Adams, On warm-starting neural network training, NeurIPS 2020: a network that is
    trained on from its weights carries over to new patients less well than one trained anew; one from here does not.
    """
    import torch

    result = build_unet(config)
    weights = own_weights(result)
    with torch.no_grad():
        for name, value in own_weights(network).items():
            weights[name].lerp_(value, share)
    return result


def own_weights(network: nn.Module) -> dict[str, Tensor]:
    """Weights by name, each once; they share memory with the network.

    DynUNet's state dictionary names most of them twice, as parts of a block and of a level.
    """
    names = {name for name, _ in network.named_parameters()} | {name for name, _ in network.named_buffers()}
    return {name: value for name, value in network.state_dict().items() if name in names}


def outputs(result: Tensor, *, training: bool, config: ModelConfig) -> tuple[Tensor, ...]:
    """Logits (batch, class, z, y, x) of every output, the finest first, each at the resolution of its own level.

    DynUNet repeats the voxels of coarse outputs up to the finest grid; a loss over the copies would cost as much again
    for each and say nothing more.
    """
    architecture = config.architecture
    if not (training and architecture.deep_supervision):
        return (result,)
    finest, *coarser = result.unbind(dim=1)
    found = [finest]
    z = y = x = 1
    for (dz, dy, dx), logits in zip(architecture.strides[1:], coarser, strict=False):
        z, y, x = z * dz, y * dy, x * dx
        found.append(logits[..., ::z, ::y, ::x])
    return tuple(found)


def network_cost(config: ModelConfig) -> NetworkCost:
    """Count parameters and multiply-adds with PyTorch's own counter, without computing anything."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = build_unet(config).eval()
        window = torch.empty(1, channel_count(config), *config.patch)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(window)
    # The counter counts a multiply-add as two operations, and leaves out normalisation and activation.
    per_voxel = counter.get_total_flops() / 2 / window[0, 0].numel()
    return NetworkCost(sum(parameter.numel() for parameter in network.parameters()), per_voxel)
