"""Dice without smoothing plus cross-entropy, for cases that are labelled in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from petlesion.networks.model_config import LESION, ModelConfig
from petlesion.training.config import LossConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Loss = Callable[["Sequence[Tensor]", "Tensor", "Tensor", "Tensor"], "Tensor"]
"""From logits of every output, the finest first, classes (batch, z, y, x), where uptake is at or above the threshold
(batch, z, y, x), and known (batch, class), to a number."""
_NEVER = -1e4
"""Logit of a class that is out of the question; its exponential is 0, and finite where infinity would give NaN."""
_SMALL = 1e-5
"""Voxels, against division by none."""


def merge_unknown(logits: Tensor, known: Tensor) -> Tensor:
    """Logits under which every class that a case has no labels of counts as background.

    The probability of background becomes the sum of its own and of those classes (the marginal loss of Shi et al., Med
    Image Anal 2021;70:101979): a network may call a voxel liver where the case says no more than "not lesion".

    Parameters
    ----------
    logits
        (batch, class, z, y, x), the background first.
    known
        (batch, class) bool; the background is known.
    """
    import torch

    if bool(known.all()):
        return logits
    hidden = ~known[:, :, None, None, None]
    hidden_or_background = hidden.clone()
    hidden_or_background[:, 0] = True
    background = logits.masked_fill(~hidden_or_background, _NEVER).logsumexp(dim=1, keepdim=True)
    return torch.cat([background, logits.masked_fill(hidden, _NEVER)[:, 1:]], dim=1)


def build_loss(options: LossConfig, config: ModelConfig, device: torch.device) -> Loss:
    """Dice without smoothing and a weighted cross-entropy over all outputs of deep supervision, weighted 1, 1/2, 1/4.

    Without smoothing, a class that a batch does not hold has a Dice term without gradient: false positives are left to
    the cross-entropy, and no reward lies in predicting nothing (LesionTracer, autoPET III). The mean is therefore over
    the classes that the batch holds: the others would only dilute it. The Dice is that of MONAI's DiceLoss (batch=True,
    smooth_nr=0, smooth_dr=1e-5), which makes a copy of the batch for every class; here both terms share one softmax.
    """
    import torch

    lesion, count = config.classes.index(LESION), len(config.classes)
    of_dice = torch.ones(count - 1, device=device)  # without background
    of_dice[lesion - 1] = options.lesion_dice_weight

    def measure(logits: Tensor, classes: Tensor, avid: Tensor) -> Tensor:
        log_probability = torch.nn.functional.log_softmax(logits, dim=1)
        of_truth = log_probability.gather(1, classes[:, None])[:, 0]
        weights = torch.where(avid, options.avid_weight, 1.0)
        of_lesion = torch.where(avid, options.lesion_weight, options.faint_lesion_weight)
        weights = torch.where(classes == lesion, of_lesion * weights, weights)
        cross_entropy = -(weights * of_truth).sum() / weights.sum()
        voxels = classes.flatten()
        shared = torch.zeros(count, device=device).index_add(0, voxels, of_truth.exp().flatten())
        voxels_of = torch.bincount(voxels, minlength=count)
        both = log_probability.exp().sum(dim=(0, 2, 3, 4)) + voxels_of
        dice = 1 - 2 * shared / (both + _SMALL)
        present = of_dice * (voxels_of[1:] > 0)
        overlap = (present * dice[1:]).sum() / present.sum().clamp(min=_SMALL)
        return options.dice * overlap + options.cross_entropy * cross_entropy

    def loss(outputs: Sequence[Tensor], classes: Tensor, avid: Tensor, known: Tensor) -> Tensor:
        shares = [0.5**level for level in range(len(outputs))]
        terms = [
            share * measure(merge_unknown(output.float(), known), _at(classes, output).long(), _at(avid, output))
            for share, output in zip(shares, outputs, strict=True)
        ]
        total: Tensor = torch.stack(terms).sum() / sum(shares)
        return total

    return loss


def _at(fine_values: Tensor, output: Tensor) -> Tensor:
    """Values in the middle of each voxel of a coarser output."""
    z, y, x = (fine // coarse for fine, coarse in zip(fine_values.shape[1:], output.shape[2:], strict=True))
    return fine_values[:, z // 2 :: z, y // 2 :: y, x // 2 :: x]
