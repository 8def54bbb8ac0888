"""Agreement of a measured quantity (TTV, TLU) with its truth over a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Bland-Altman statistics and correlation of paired measurements.

    Attributes
    ----------
    bias
        Mean of (measured - truth).
    lower, upper
        95 % limits of agreement, bias -/+ 1.96 SD of the differences (Bland and Altman, Lancet 1986).
    pearson
        Linear correlation; None when either side is constant.
    concordance
        Lin's concordance correlation coefficient (Biometrics 1989); None when undefined.
    """

    n: int
    bias: float
    lower: float
    upper: float
    pearson: float | None
    concordance: float | None


def agreement(measured: Sequence[float], truth: Sequence[float]) -> Agreement:
    """Compare paired measurements of at least two cases.

    Raises
    ------
    ValueError
        If the lengths differ or there are fewer than two pairs.
    """
    a, b = np.asarray(measured, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if a.shape != b.shape or a.size < 2:
        raise ValueError(f"{a.size} measured values against {b.size} true ones; two or more pairs are needed")
    difference = a - b
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    covariance = float(np.mean((a - a.mean()) * (b - b.mean())))
    product, total = float(a.std() * b.std()), float(a.var() + b.var() + (a.mean() - b.mean()) ** 2)
    return Agreement(
        n=int(a.size),
        bias=bias,
        lower=bias - spread,
        upper=bias + spread,
        pearson=covariance / product if product else None,
        concordance=2 * covariance / total if total else None,
    )
