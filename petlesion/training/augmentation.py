"""Variation of patches on the device where training runs: geometry, misregistration, noise; SUV stays a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petlesion.study import NO_CT_HU
from petlesion.training.config import AugmentationConfig

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FWHM_PER_SIGMA = 2.3548
"""Full width at half maximum of a Gaussian, in units of its standard deviation: 2 sqrt(2 ln 2)."""


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches as tensors, as `Batch` has them: suv, ct, classes (batch, z, y, x) and what holds for all of a patch."""

    suv: Tensor
    ct: Tensor
    classes: Tensor
    threshold: Tensor
    spread: Tensor
    tracer: Tensor
    known: Tensor


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Random variation, decided by a seed.

    By hand in PyTorch and not with MONAI's Rand3DElasticd and RandAffined: these work a patch at a time, and cannot
    sample the CT at a shifted copy of the PET's coordinates in the one interpolation that each image gets.

    Attributes
    ----------
    options
        What, how often, how much.
    patch
        Size of the result (z, y, x); patches that come in are as large or larger.
    spacing_mm
        Of the voxels.
    """

    options: AugmentationConfig
    patch: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    def __call__(self, patches: Patches, seed: int) -> Patches:
        """Vary a batch; the same seed gives the same result on the same kind of device."""
        import torch

        draw = _Draw(torch.Generator(patches.suv.device).manual_seed(seed), len(patches.suv), patches.suv.device)
        suv, ct, classes = self._geometry(patches, draw)
        ct = self._vary_ct(ct, draw)
        suv = self._vary_suv(suv, draw)
        no_tracer = draw.happens(self.options.no_tracer)
        return Patches(
            suv=suv,
            ct=ct,
            classes=classes,
            threshold=patches.threshold * (1 + draw.uniform(self.options.threshold)),
            spread=patches.spread,
            tracer=patches.tracer.masked_fill(no_tracer[:, None], 0.0),
            known=patches.known,
        )

    def _geometry(self, patches: Patches, draw: _Draw) -> tuple[Tensor, Tensor, Tensor]:
        """Sample PET and labels at turned, scaled and bent coordinates, and the CT beside them."""
        import torch

        options = self.options
        points = self._points(draw)
        shift = draw.uniform(options.misregistration_mm, 3) * draw.happens(options.misregistration)[:, None]
        half = torch.tensor(patches.suv.shape[1:], device=points.device) * self._spacing(points.device) / 2
        # grid_sample wants (x, y, z) in units of half the extent
        pet_at = (points / half).flip(-1)
        ct_at = ((points + shift[:, None, None, None]) / half).flip(-1)
        suv = _sampled(patches.suv.float(), pet_at, "bilinear")
        ct = _sampled(patches.ct.float() - NO_CT_HU, ct_at, "bilinear") + NO_CT_HU
        return suv, ct, _sampled(patches.classes.float(), pet_at, "nearest").to(patches.classes.dtype)

    def _spacing(self, device: torch.device) -> Tensor:
        import torch

        return torch.tensor(self.spacing_mm, device=device)

    def _points(self, draw: _Draw) -> Tensor:
        """(batch, z, y, x, 3) positions (z, y, x) in mm from the centre where the result is sampled."""
        import torch

        options, device = self.options, draw.device
        axes = [
            (torch.arange(side, device=device) - (side - 1) / 2) * step
            for side, step in zip(self.patch, self.spacing_mm, strict=True)
        ]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).expand(draw.count, -1, -1, -1, -1)
        turned = _rotation(torch.deg2rad(draw.uniform(options.rotation_degrees, 3)))
        turned = turned * (1 + draw.uniform(options.scale))[:, None, None]
        matrix = torch.where(draw.happens(options.affine)[:, None, None], turned, torch.eye(3, device=device))
        return torch.einsum("bzyxi,bji->bzyxj", points, matrix) + self._bend(draw)

    def _bend(self, draw: _Draw) -> Tensor:
        """Smooth displacement, (batch, z, y, x, 3) mm."""
        from torch.nn.functional import interpolate

        options = self.options
        knots = [
            max(2, round(n * step / options.elastic_grid_mm) + 1)
            for n, step in zip(self.patch, self.spacing_mm, strict=True)
        ]
        coarse = draw.uniform(options.elastic_mm, 3, *knots) * draw.happens(options.elastic)[:, None, None, None, None]
        return interpolate(coarse, size=self.patch, mode="trilinear", align_corners=True).movedim(1, -1)

    def _vary_suv(self, suv: Tensor, draw: _Draw) -> Tensor:
        """Blur, noise that grows with the square root of uptake, and calibration."""
        options = self.options
        sigma_mm = draw.fraction() * options.pet_blur_mm / FWHM_PER_SIGMA * draw.happens(options.pet_blur)
        suv = self._blurred(suv, sigma_mm)
        noise = self._blurred(draw.normal(suv.shape), sigma_mm.clamp(min=min(self.spacing_mm) / 2))
        noise = noise / _each(noise.flatten(1).std(dim=1))
        level = draw.fraction() * options.pet_noise_level * draw.happens(options.pet_noise)
        suv = (suv + _each(level) * noise * suv.clamp(min=0).sqrt()).clamp(min=0)
        return suv * _each(1 + draw.uniform(options.calibration))

    def _blurred(self, volume: Tensor, sigma_mm: Tensor) -> Tensor:
        """Gaussian smoothing with one sigma a patch; axis by axis, patches as groups of one convolution."""
        import torch
        from torch.nn.functional import conv3d

        result = volume[None]
        count = len(volume)
        most_mm = max(self.options.pet_blur_mm / FWHM_PER_SIGMA, min(self.spacing_mm) / 2)
        for axis, step in enumerate(self.spacing_mm):
            radius = int(3 * most_mm / step) + 1
            offsets = torch.arange(-radius, radius + 1, device=volume.device) * step
            kernel = torch.exp(-0.5 * (offsets / sigma_mm.clamp(min=step / 10)[:, None]) ** 2)
            kernel = kernel / kernel.sum(dim=1, keepdim=True)
            shape, padding = [count, 1, 1, 1, 1], [0, 0, 0]
            shape[axis + 2], padding[axis] = 2 * radius + 1, radius
            result = conv3d(result, kernel.reshape(shape), padding=padding, groups=count)
        return result[0]

    def _vary_ct(self, ct: Tensor, draw: _Draw) -> Tensor:
        """Gamma between -1024 and 1024 HU, noise, or no CT at all."""
        options = self.options
        exponent = options.ct_gamma_range ** draw.uniform(1.0)
        gamma = ((ct - NO_CT_HU) / 2048).clamp(0, 1) ** _each(exponent) * 2048 + NO_CT_HU
        changed = _each(draw.happens(options.ct_gamma)) & (ct < 1024)
        ct = gamma.where(changed, ct)
        level = draw.fraction() * options.ct_noise_hu * draw.happens(options.ct_noise)
        ct = ct + _each(level) * draw.normal(ct.shape)
        return ct.masked_fill(_each(draw.happens(options.no_ct)), NO_CT_HU)


@dataclass(frozen=True, eq=False)
class _Draw:
    """Random numbers of a batch."""

    generator: torch.Generator
    count: int
    device: torch.device

    def uniform(self, most: float, *shape: int) -> Tensor:
        """Between -most and most, (batch, *shape)."""
        import torch

        return (torch.rand(self.count, *shape, generator=self.generator, device=self.device) * 2 - 1) * most

    def fraction(self) -> Tensor:
        """Between 0 and 1, (batch,)."""
        import torch

        return torch.rand(self.count, generator=self.generator, device=self.device)

    def happens(self, probability: float) -> Tensor:
        """(batch,) bool."""
        return self.fraction() < probability

    def normal(self, shape: torch.Size) -> Tensor:
        import torch

        return torch.randn(shape, generator=self.generator, device=self.device)


def _each(values: Tensor) -> Tensor:
    """(batch,) values as (batch, 1, 1, 1)."""
    return values[:, None, None, None]


def _sampled(volume: Tensor, points: Tensor, mode: str) -> Tensor:
    from torch.nn.functional import grid_sample

    return grid_sample(volume[:, None], points, mode=mode, padding_mode="zeros", align_corners=False)[:, 0]


def _rotation(angles: Tensor) -> Tensor:
    """(batch, 3, 3) rotations about z, y and x, one after the other, of (z, y, x) vectors."""
    import torch

    result = torch.eye(3, device=angles.device).expand(len(angles), 3, 3)
    for axis, (first, second) in enumerate(((1, 2), (0, 2), (0, 1))):
        turn = torch.eye(3, device=angles.device).repeat(len(angles), 1, 1)
        cos, sin = angles[:, axis].cos(), angles[:, axis].sin()
        turn[:, first, first] = turn[:, second, second] = cos
        turn[:, first, second], turn[:, second, first] = -sin, sin
        result = turn @ result
    return result
