"""Disease of each cohort and tracer: how many lesions, where, how large, how avid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from petlesion.phantom.cohort import Cohort
from petlesion.phantom.truth import Region
from petlesion.tracers import TracerName

S1_COUNTS = (0.238, 0.159, 0.115, 0.091, 0.078, 0.072, 0.073, 0.080, 0.094)
"""Probability of 1..9 liver lesions: the least structured distribution (exp of a parabola) with the published mean
233/57 = 4.09, SD 2.75 and fewer than 10 lesions (Wehrend et al., EJNMMI Res 2021)."""


@dataclass(frozen=True)
class Avidity:
    """True SUVbw of lesions of one region: log-normal mean and SD over lesions."""

    mean: float
    sd: float


@dataclass(frozen=True)
class DiseaseModel:
    """How disease is drawn.

    Attributes
    ----------
    diseased
        Share of patients with disease.
    counts
        Probabilities of 1, 2, ... lesions; empty: log-normal with the next two.
    count_median, count_sigma
        Median and SD of the logarithm of the number of lesions.
    count_limit
        Largest number.
    regions
        Weight of each region over the cohort; a patient has his own mix around it.
    concentration
        Of the Dirichlet distribution of a patient's mix: small numbers confine the disease to few regions.
    primary
        Region and probability of a primary tumour, drawn besides the count.
    volume_median_ml, volume_sigma
        Median and SD of the logarithm of a lesion's volume.
    volume_limits_ml
        Smallest and largest volume.
    avidity
        SUV of lesions by region; `other` where a region is not named.
    other
        SUV of lesions elsewhere.
    contrast
        Lowest SUV of a lesion against the tissue around it.
    """

    diseased: float
    counts: tuple[float, ...]
    count_median: float
    count_sigma: float
    count_limit: int
    regions: Mapping[Region, float]
    concentration: float
    primary: tuple[Region, float] | None
    volume_median_ml: float
    volume_sigma: float
    volume_limits_ml: tuple[float, float]
    avidity: Mapping[Region, Avidity]
    other: Avidity
    contrast: float = 1.5

    def draw_count(self, rng: np.random.Generator) -> int:
        """Number of lesions of a diseased patient, the primary tumour not counted."""
        if self.counts:
            p = np.array(self.counts)
            return int(rng.choice(len(p), p=p / p.sum())) + 1
        count = self.count_median * np.exp(self.count_sigma * rng.standard_normal())
        return int(np.clip(round(count), 1, self.count_limit))

    def draw_volume(self, rng: np.random.Generator) -> float:
        """Volume of a lesion, mL."""
        volume = self.volume_median_ml * np.exp(self.volume_sigma * rng.standard_normal())
        return float(np.clip(volume, *self.volume_limits_ml))

    def draw_suv(self, region: Region, rng: np.random.Generator) -> float:
        """True SUVbw of a lesion's living part."""
        avidity = self.avidity.get(region, self.other)
        variance = np.log1p((avidity.sd / avidity.mean) ** 2)
        return float(avidity.mean * np.exp(np.sqrt(variance) * rng.standard_normal() - variance / 2))


R = Region
# SUVmax over lesions: liver 28.7, pancreas 25.2, bone 18.3, nodes 12.6 (Kuyumcu et al., Ann Nucl Med 2013); all
# lesions 16.0 ± 10.8 (Poeppel et al., J Nucl Med 2011). The mean of a lesion is lower than its hottest voxel.
_DOTATATE = DiseaseModel(
    diseased=0.8,
    counts=(),
    count_median=9,
    count_sigma=1.1,
    count_limit=120,
    regions={
        R.LIVER: 0.40,
        R.NODE_MESENTERIC: 0.10,
        R.NODE_RETROPERITONEAL: 0.08,
        R.NODE_HEPATIC_HILUM: 0.03,
        R.NODE_MEDIASTINAL: 0.03,
        R.NODE_SUPRACLAVICULAR: 0.02,
        R.NODE_COMMON_ILIAC: 0.01,
        R.BONE: 0.22,
        R.PERITONEUM: 0.06,
        R.PANCREAS: 0.02,
        R.SMALL_BOWEL: 0.01,
        R.LUNG: 0.02,
    },
    concentration=2.5,
    primary=(R.SMALL_BOWEL, 0.35),
    volume_median_ml=1.6,
    volume_sigma=1.2,
    volume_limits_ml=(0.1, 200.0),
    avidity={
        R.LIVER: Avidity(19.0, 10.0),
        R.PANCREAS: Avidity(20.0, 12.0),
        R.BONE: Avidity(12.0, 8.0),
        R.LUNG: Avidity(8.0, 5.0),
        R.PERITONEUM: Avidity(9.0, 5.0),
    },
    other=Avidity(12.0, 7.0),
)
# SUVmax over lesions: prostate 11.3 ± 7.5, nodes 14.6 ± 13.7, bone 15.9 ± 15.9, soft tissue 24.2 ± 16.4 (Muchnik
# Kurash et al., Sci Rep 2020).
_PSMA = DiseaseModel(
    diseased=0.7,
    counts=(),
    count_median=4,
    count_sigma=1.2,
    count_limit=120,
    regions={
        R.NODE_INTERNAL_ILIAC: 0.09,
        R.NODE_EXTERNAL_ILIAC: 0.10,
        R.NODE_COMMON_ILIAC: 0.07,
        R.NODE_OBTURATOR: 0.06,
        R.NODE_PRESACRAL: 0.03,
        R.NODE_MESORECTAL: 0.03,
        R.NODE_INGUINAL: 0.01,
        R.NODE_RETROPERITONEAL: 0.11,
        R.NODE_MEDIASTINAL: 0.04,
        R.NODE_SUPRACLAVICULAR: 0.02,
        R.NODE_AXILLARY: 0.01,
        R.BONE: 0.38,
        R.LUNG: 0.02,
        R.LIVER: 0.02,
        R.ADRENAL: 0.01,
    },
    concentration=2.5,
    primary=(R.PROSTATE, 0.45),
    volume_median_ml=1.3,
    volume_sigma=1.1,
    volume_limits_ml=(0.1, 120.0),
    avidity={
        R.PROSTATE: Avidity(10.0, 6.5),
        R.BONE: Avidity(13.0, 12.0),
        R.LIVER: Avidity(14.0, 9.0),
        R.LUNG: Avidity(7.0, 5.0),
    },
    other=Avidity(12.5, 11.0),
)
# FDG: lung, lymphoma, colorectal, melanoma mixed; mean SUV 7 with a long tail, plausible rather than one survey's
# figure.
_FDG = DiseaseModel(
    diseased=0.8,
    counts=(),
    count_median=5,
    count_sigma=1.1,
    count_limit=100,
    regions={
        R.LUNG: 0.20,
        R.NODE_HILAR: 0.08,
        R.NODE_MEDIASTINAL: 0.16,
        R.NODE_SUPRACLAVICULAR: 0.06,
        R.NODE_CERVICAL: 0.06,
        R.NODE_AXILLARY: 0.05,
        R.NODE_RETROPERITONEAL: 0.07,
        R.NODE_INGUINAL: 0.02,
        R.NODE_MESENTERIC: 0.03,
        R.LIVER: 0.10,
        R.BONE: 0.12,
        R.ADRENAL: 0.02,
        R.SPLEEN: 0.01,
        R.PERITONEUM: 0.03,
        R.SOFT_TISSUE: 0.03,
        R.COLORECTUM: 0.01,
    },
    concentration=2.5,
    primary=(R.LUNG, 0.4),
    volume_median_ml=2.5,
    volume_sigma=1.3,
    volume_limits_ml=(0.1, 200.0),
    avidity={R.LUNG: Avidity(8.0, 5.0), R.LIVER: Avidity(7.5, 3.5), R.BONE: Avidity(7.5, 4.5)},
    other=Avidity(7.5, 4.5),
)
_BY_TRACER: Mapping[TracerName, DiseaseModel] = {
    TracerName.GA68_DOTATATE: _DOTATATE,
    TracerName.CU64_DOTATATE: _DOTATATE,
    TracerName.GA68_PSMA11: _PSMA,
    TracerName.F18_FDG: _FDG,
}


def disease_model(cohort: Cohort, tracer: TracerName) -> DiseaseModel:
    """Disease of a cohort, drawn with the avidities of the tracer (any cohort can be drawn with any tracer)."""
    base = _BY_TRACER[tracer]
    if cohort is Cohort.S1_LIVER:
        # Each lesion is seen on 4-5 slices of 3.27 mm: a height of 13-16 mm, about 1-2 mL. They are well-defined, and
        # labelled because the image exceeds 1.5 x mean + 2 SD of the liver: before the scanner's blur, which takes
        # near half of such a lesion's contrast, they take up at least 2.3 times as much as the liver.
        return replace(
            base,
            contrast=2.3,
            diseased=57 / 125,
            counts=S1_COUNTS,
            regions={R.LIVER: 1.0},
            primary=None,
            volume_median_ml=1.5,
            volume_sigma=0.9,
            volume_limits_ml=(0.25, 40.0),
        )
    if cohort is Cohort.S2:
        # Median 25 lesions, interquartile range 41: 50 sinh(0.6745 sigma) = 41 gives sigma = 1.11; ten controls
        # beside 41.
        return replace(
            base,
            diseased=41 / 51,
            count_median=25,
            count_sigma=1.11,
            count_limit=160,
            primary=None,
            volume_median_ml=1.2,
        )
    if cohort is Cohort.S3:
        # 1057 suspicious regions in 173 subjects, median 1.3 mL.
        return replace(base, diseased=0.85, count_median=4, count_sigma=1.15, volume_median_ml=1.3, volume_sigma=1.05)
    if cohort is Cohort.S5:
        # Sensitivity 92 %, PPV 77 %, NPV 91 %, accuracy 83 % by patient imply that 48 % had disease.
        return replace(base, diseased=0.48, count_median=4, count_sigma=1.4, count_limit=160)
    return base
