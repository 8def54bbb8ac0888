"""Ordered-subset expectation maximisation (Hudson and Larkin, IEEE TMI 1994), all slices at once, on CPU or GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from petlesion.phantom.projection import Lines, Projector
from petlesion.phantom.sampling import SIGMA_PER_FWHM

FLOOR = 1e-6
"""Smallest expected count and sensitivity that is divided by."""


def osem(
    projector: Projector,
    prompts: NDArray[np.float32],
    weight: NDArray[np.float32],
    background: NDArray[np.float32],
    *,
    iterations: int,
    blur: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None,
    device: str | None = None,
) -> NDArray[np.float32]:
    """Reconstruct slices from counts.

    Parameters
    ----------
    projector
        Lines and weights of the image grid.
    prompts, weight, background
        (rows, slices) float32: counts, trues per unit line sum, expected scatter and randoms.
    iterations
        Passes through all subsets.
    blur
        Resolution model: (n_bins, n_bins) and (slices, slices) matrices that blur a projection radially and axially.
        A radial Gaussian in every projection is a Gaussian of the same width in the slice.
    device
        None for scipy, or a torch device such as "cuda". The result is the same up to rounding.

    Returns
    -------
    numpy.ndarray
        (pixels, slices) float32.
    """
    data = [np.split(part, len(projector.matrices)) for part in (prompts, weight, background)]
    forward: list[Any] = list(projector.matrices)
    backward: list[Any] = [matrix.T.tocsr() for matrix in projector.matrices]
    radial: Any = None
    axial: Any = None
    if blur is not None:
        angles = projector.lines.n_angles // projector.lines.n_subsets
        radial = sparse.kron(sparse.identity(angles, dtype=np.float32), sparse.csr_matrix(blur[0]), format="csr")
        axial = blur[1]
    image: Any = np.ones((forward[0].shape[1], prompts.shape[1]), dtype=np.float32)
    if device is not None:
        data, forward, backward, radial, axial, image = _to_torch(
            [data, forward, backward, radial, axial, image], device
        )
    image = _iterate(image, data, forward, backward, radial, axial, iterations)
    return np.asarray(image if device is None else image.cpu().numpy(), dtype=np.float32)


def _iterate(
    image: Any, data: Any, forward: Any, backward: Any, radial: Any, axial: Any, iterations: int
) -> Any:  # arrays of numpy and scipy, or of torch: the same operators
    """Multiplicative updates; the radial and axial blur are symmetric, hence their own transposes."""

    def model(rows: Any) -> Any:
        return rows if radial is None else (radial @ rows) @ axial

    prompts, weights, backgrounds = data
    sensitivity = [
        back @ model(weight) + FLOOR * float(weight.max()) for back, weight in zip(backward, weights, strict=True)
    ]
    for _ in range(iterations):
        for subset, matrix in enumerate(forward):
            weight = weights[subset]
            expected = model(matrix @ image)
            expected *= weight
            expected += backgrounds[subset] + FLOOR
            ratio = prompts[subset] / expected
            ratio *= weight
            image *= backward[subset] @ model(ratio)
            image /= sensitivity[subset]
    return image


def _to_torch(value: Any, device: str) -> Any:
    """Copy nested lists of arrays and sparse matrices to a torch device."""
    import torch

    if isinstance(value, list):
        return [_to_torch(item, device) for item in value]
    if value is None:
        return None
    if sparse.issparse(value):
        return torch.sparse_csr_tensor(
            torch.from_numpy(value.indptr.astype(np.int64)),
            torch.from_numpy(value.indices.astype(np.int64)),
            torch.from_numpy(value.data.astype(np.float32)),
            size=value.shape,
            device=device,
        )
    return torch.from_numpy(np.ascontiguousarray(value)).to(device)


def resolution_model(
    lines: Lines, n_slices: int, slice_mm: float, fwhm_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Radial and axial blur matrices of a Gaussian point spread for `osem`: (n_bins, n_bins) and (slices, slices)."""
    return (_blur_matrix(lines.n_bins, lines.bin_mm, fwhm_mm), _blur_matrix(n_slices, slice_mm, fwhm_mm))


def _blur_matrix(count: int, step_mm: float, fwhm_mm: float) -> NDArray[np.float32]:
    """Symmetric Gaussian filter matrix, cut at three standard deviations."""
    distance = np.abs(np.arange(count)[:, None] - np.arange(count)) * step_mm
    sigma = fwhm_mm * SIGMA_PER_FWHM
    kernel = np.where(distance <= 3.0 * sigma, np.exp(-0.5 * (distance / sigma) ** 2), 0.0)
    return np.asarray(kernel / kernel[count // 2].sum(), dtype=np.float32)


def compute_device() -> str | None:
    """`cuda` where torch is installed and finds a GPU, else None; torch is imported only here and in `osem`."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return None
    import torch

    return "cuda" if torch.cuda.is_available() else None
