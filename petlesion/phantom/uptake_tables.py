"""What is known of normal uptake: mean and between-patient SD of true SUVbw by tracer and organ, with sources.

The numbers of a row are the *true* concentration that the simulation draws, before the scanner. Large organs take
over published SUVmean. Small ones (pituitary, lacrimal glands, adrenals, ureters) are set so that after a scanner's
blur the published values come out; `benchmarks/organ_uptake.py` checks that, row by row, against `Published`.

Sources marked `checked` were read (abstract or table) while this table was written; the others are from memory or are
plausible values between neighbours and are marked as such.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from petlesion.phantom.anatomy import Layer
from petlesion.phantom.labels import Label
from petlesion.tracers import TracerName


@dataclass(frozen=True)
class Published:
    """A measured value from the literature.

    Attributes
    ----------
    measure
        "SUVmean" or "SUVmax".
    mean, sd
        Over patients. What was not printed is estimated (see `source`).
    source
        Author, journal, year.
    checked
        Whether the number was read in the source while the table was written.
    """

    measure: str
    mean: float
    sd: float
    source: str
    checked: bool


@dataclass(frozen=True)
class OrganUptake:
    """Uptake of one organ.

    Attributes
    ----------
    name
        As tables print it.
    labels
        Structures that share the draw.
    mean, sd
        True SUVbw over patients (log-normal).
    texture
        Coefficient of variation inside the organ.
    layers
        Uptake of layers against that of the whole.
    paired
        Whether left and right differ a little.
    scales
        Whether SUVbw rises with the share of body fat.
    modes
        Where given, replaces mean and sd: (share of patients, mean, SD) of distinct states.
    published
        What a reader would measure.
    """

    name: str
    labels: tuple[Label, ...]
    mean: float
    sd: float
    texture: float = 0.06
    layers: Mapping[Layer, float] = field(default_factory=dict)
    paired: bool = False
    scales: bool = True
    modes: tuple[tuple[float, float, float], ...] = ()
    published: Published | None = None


@dataclass(frozen=True)
class TracerTable:
    """All rows of a tracer.

    Attributes
    ----------
    organs
        Rows; structures without one take the uptake of their tissue.
    weight_exponent
        Power of (reference lean share / lean share) by which SUVbw of lean tissue rises in the obese.
    sink_exponent
        Power of the tracer left over by tumours that organs follow.
    cortex_ratio
        Uptake of compact bone against marrow.
    """

    organs: tuple[OrganUptake, ...]
    weight_exponent: float
    sink_exponent: float
    cortex_ratio: float = 0.5


L = Label
LIVER = (L.LIVER_RIGHT, L.LIVER_LEFT)
KIDNEYS = (L.KIDNEY_LEFT, L.KIDNEY_RIGHT)
PELVES = (L.RENAL_PELVIS_LEFT, L.RENAL_PELVIS_RIGHT)
URETERS = (L.URETER_LEFT, L.URETER_RIGHT)
PAROTIDS = (L.PAROTID_LEFT, L.PAROTID_RIGHT)
SUBMANDIBULARS = (L.SUBMANDIBULAR_LEFT, L.SUBMANDIBULAR_RIGHT)
LACRIMALS = (L.LACRIMAL_LEFT, L.LACRIMAL_RIGHT)
ADRENALS = (L.ADRENAL_LEFT, L.ADRENAL_RIGHT)
LUNGS = (L.LUNG_LEFT, L.LUNG_RIGHT)
COLON = (L.COLON_ASCENDING, L.COLON_TRANSVERSE, L.COLON_DESCENDING, L.SIGMOID)
BLOOD = (L.AORTA, L.VENA_CAVA, L.VESSELS, L.HEART, L.BLOOD_POOL)
MARROW = (L.L3,)

_KUYUMCU = "Kuyumcu et al., Ann Nucl Med 2013, mean of SUVmax in 120 patients; SD estimated as 30 %"
_PRASAD = "Prasad and Baum, Q J Nucl Med Mol Imaging 2010, 68Ga-DOTANOC, 89 patients"
_MORADI = (
    "Moradi et al., Clin Nucl Med 2016, 104 patients: class of SUVmax (mild 2-3.5, moderate 3.5-7, high > 7), "
    "mean and SD estimated within it"
)
_GAFITA = "Gafita et al., J Nucl Med 2022, 406 patients, median SUVmean; SD from the interquartile range / 1.35"
_KIRCHNER = "Kirchner et al., Clin Nucl Med 2017, SUVmax in 55 men"
_KURASH = "Muchnik Kurash et al., Sci Rep 2020, average SUVmean in 80 scans; SD estimated as 30 %"
_WANG = "Wang et al., Mol Imaging Biol 2007, SUVmean in 98 patients"
_LIU = "Liu et al., Iran J Radiol 2019, SUVmean in 343 patients"
_BLOOD = (
    "ratio of blood to liver, 0.79, of Sarikaya et al., J Nucl Med Technol 2020, times the liver of Liu et al. 2019"
)
_MEMORY = "from memory of the common range"


def _seen(measure: str, mean: float, sd: float, source: str, checked: bool = True) -> Published:
    return Published(measure, mean, sd, source, checked)


_DOTATATE = (
    OrganUptake("blood", BLOOD, 1.5, 0.35, 0.03, published=_seen("SUVmean", 1.5, 0.5, _MEMORY, False)),
    OrganUptake("muscle", (L.MUSCLE, L.TONGUE), 0.75, 0.18, 0.10, published=_seen("SUVmax", 1.0, 0.3, _PRASAD)),
    OrganUptake("fat", (L.FAT,), 0.28, 0.08, 0.15, scales=False),
    OrganUptake("lung", LUNGS, 0.5, 0.13, 0.10, published=_seen("SUVmax", 0.9, 0.8, _PRASAD)),
    OrganUptake("vertebral marrow", MARROW, 0.9, 0.25, 0.12, published=_seen("SUVmean", 0.9, 0.3, _MEMORY, False)),
    OrganUptake("brain", (L.BRAIN, L.CEREBELLUM, L.SPINAL_CORD), 0.08, 0.02, 0.05, scales=False),
    OrganUptake("pituitary", (L.PITUITARY,), 19.0, 6.0, 0.0, published=_seen("SUVmax", 9.74, 2.9, _KUYUMCU)),
    OrganUptake("lacrimal glands", LACRIMALS, 5.0, 1.5, 0.0, paired=True),
    OrganUptake("parotid glands", PAROTIDS, 3.3, 1.0, 0.10, paired=True, published=_seen("SUVmax", 4.0, 1.5, _MORADI)),
    OrganUptake("submandibular glands", SUBMANDIBULARS, 3.7, 1.1, 0.08, paired=True,
        published=_seen("SUVmax", 4.0, 1.5, _MORADI)),
    OrganUptake("sublingual glands", (L.SUBLINGUAL,), 2.2, 0.6, 0.0),
    OrganUptake("nasal mucosa", (L.NASAL_MUCOSA,), 1.6, 0.4, 0.15),
    OrganUptake("tonsils", (L.TONSILS,), 3.0, 0.9, 0.0),
    OrganUptake("thyroid", (L.THYROID,), 3.6, 1.2, 0.10, published=_seen("SUVmax", 3.4, 1.4, _PRASAD)),
    OrganUptake("liver", LIVER, 6.6, 1.7, 0.07, published=_seen("SUVmax", 9.12, 2.7, _KUYUMCU)),
    OrganUptake("bile", (L.GALLBLADDER,), 2.0, 1.0, 0.0),
    OrganUptake("spleen", (L.SPLEEN,), 21.0, 6.5, 0.07, published=_seen("SUVmax", 24.67, 7.4, _KUYUMCU)),
    OrganUptake("kidneys", KIDNEYS, 13.5, 3.2, 0.10, {Layer.CORE: 0.75}, paired=True,
        published=_seen("SUVmax", 14.3, 4.3, _KUYUMCU)),
    OrganUptake("renal pelves", PELVES, 14.0, 8.0, 0.0, paired=True, scales=False),
    OrganUptake("ureters", URETERS, 2.5, 1.0, 0.0, scales=False),
    OrganUptake("urine", (L.BLADDER,), 14.0, 11.0, 0.02, scales=False),
    OrganUptake("urethra", (L.URETHRA,), 2.5, 2.0, 0.0, scales=False),
    OrganUptake("adrenals", ADRENALS, 20.0, 6.5, 0.0, paired=True, published=_seen("SUVmax", 13.73, 4.1, _KUYUMCU)),
    OrganUptake("pancreas", (L.PANCREAS,), 3.3, 1.0, 0.15, published=_seen("SUVmax", 5.0, 2.0, _MORADI)),
    OrganUptake("uncinate process", (L.UNCINATE,), 7.0, 2.4, 0.10, published=_seen("SUVmax", 5.8, 2.0, _PRASAD)),
    OrganUptake("stomach wall", (L.STOMACH,), 6.8, 2.4, 0.25, published=_seen("SUVmax", 8.0, 3.0, _MORADI)),
    OrganUptake("duodenum", (L.DUODENUM,), 4.2, 1.4, 0.30),
    OrganUptake("jejunum", (L.JEJUNUM,), 3.0, 1.0, 0.32, published=_seen("SUVmax", 5.5, 2.0, _MORADI)),
    OrganUptake("ileum", (L.ILEUM,), 2.5, 0.8, 0.32, published=_seen("SUVmax", 4.5, 1.8, _MORADI)),
    OrganUptake("colon", COLON, 1.9, 0.6, 0.25, published=_seen("SUVmax", 3.0, 1.0, _MORADI)),
    OrganUptake("rectum", (L.RECTUM,), 1.7, 0.5, 0.20),
    OrganUptake("prostate", (L.PROSTATE,), 3.4, 1.2, 0.15, published=_seen("SUVmax", 4.5, 1.5, _MORADI)),
    OrganUptake("seminal vesicles", (L.SEMINAL_VESICLES,), 1.4, 0.4, 0.0),
    OrganUptake("testes", (L.TESTES,), 1.7, 0.5, 0.05),
    OrganUptake("uterus", (L.UTERUS,), 2.3, 0.8, 0.15, published=_seen("SUVmax", 2.8, 1.0, _MORADI)),
    OrganUptake("breasts", (L.BREASTS,), 0.9, 0.3, 0.15),
    OrganUptake("myocardium", (L.MYOCARDIUM,), 1.5, 0.35, 0.08),
    OrganUptake("oesophagus", (L.OESOPHAGUS,), 1.5, 0.3, 0.15),
)  # fmt: skip

_COPPER_CHANGES: Mapping[str, tuple[float, float]] = {
    # 64Cu-DOTATATE one hour after injection: as 68Ga-DOTATATE, more in the liver (copper that has left its chelator),
    # less in urine (Pfeifer et al., J Nucl Med 2012; Loft et al., J Nucl Med 2021). Factors and the liver's mean from
    # memory.
    "liver": (7.4, 1.8),
    "bile": (4.0, 2.0),
    "urine": (9.0, 7.0),
    "renal pelves": (9.0, 5.0),
    "blood": (1.6, 0.35),
    "colon": (2.2, 0.7),
}

_PSMA = (
    OrganUptake("blood", BLOOD, 1.6, 0.35, 0.03, published=_seen("SUVmean", 1.6, 0.4, _MEMORY, False)),
    OrganUptake("muscle", (L.MUSCLE,), 0.62, 0.14, 0.10, published=_seen("SUVmean", 0.6, 0.2, _MEMORY, False)),
    OrganUptake("fat", (L.FAT,), 0.30, 0.08, 0.15, scales=False),
    OrganUptake("lung", LUNGS, 0.5, 0.12, 0.10),
    OrganUptake("vertebral marrow", MARROW, 0.75, 0.22, 0.15, published=_seen("SUVmean", 0.8, 0.3, _MEMORY, False)),
    OrganUptake("brain", (L.BRAIN, L.CEREBELLUM, L.SPINAL_CORD), 0.10, 0.03, 0.05, scales=False),
    OrganUptake("lacrimal glands", LACRIMALS, 25.0, 9.0, 0.0, paired=True,
        published=_seen("SUVmax", 15.7, 7.2, _KIRCHNER)),
    OrganUptake("parotid glands", PAROTIDS, 12.5, 3.5, 0.12, paired=True,
        published=_seen("SUVmean", 10.0, 3.0, _GAFITA)),
    OrganUptake("submandibular glands", SUBMANDIBULARS, 15.5, 4.3, 0.10, paired=True,
        published=_seen("SUVmean", 13.0, 3.9, _KURASH)),
    OrganUptake("sublingual glands", (L.SUBLINGUAL,), 7.0, 2.5, 0.0),
    OrganUptake("nasal mucosa", (L.NASAL_MUCOSA,), 4.2, 1.3, 0.20),
    OrganUptake("tonsils", (L.TONSILS,), 9.0, 3.0, 0.0, published=_seen("SUVmax", 10.4, 4.3, _KIRCHNER)),
    OrganUptake("larynx", (L.LARYNX,), 3.5, 1.3, 0.20),
    OrganUptake("tongue", (L.TONGUE,), 1.4, 0.4, 0.10),
    OrganUptake("thyroid", (L.THYROID,), 1.6, 0.5, 0.10),
    OrganUptake("liver", LIVER, 4.3, 1.05, 0.07, published=_seen("SUVmean", 3.7, 1.26, _GAFITA)),
    OrganUptake("bile", (L.GALLBLADDER,), 3.5, 3.0, 0.0),
    OrganUptake("spleen", (L.SPLEEN,), 6.4, 2.2, 0.07, published=_seen("SUVmean", 5.3, 2.4, _GAFITA)),
    OrganUptake("kidneys", KIDNEYS, 39.0, 10.5, 0.10, {Layer.CORE: 0.7}, paired=True,
        published=_seen("SUVmean", 26.0, 9.9, _GAFITA)),
    OrganUptake("renal pelves", PELVES, 28.0, 16.0, 0.0, paired=True, scales=False),
    OrganUptake("ureters", URETERS, 4.0, 2.0, 0.0, scales=False),
    OrganUptake("urine", (L.BLADDER,), 26.0, 24.0, 0.02, scales=False),
    OrganUptake("urethra", (L.URETHRA,), 4.5, 4.0, 0.0, scales=False),
    OrganUptake("adrenals", ADRENALS, 4.5, 1.5, 0.0, paired=True),
    OrganUptake("pancreas", (L.PANCREAS, L.UNCINATE), 2.2, 0.6, 0.15),
    OrganUptake("stomach wall", (L.STOMACH,), 3.0, 1.1, 0.30),
    OrganUptake("duodenum", (L.DUODENUM,), 13.0, 4.8, 0.30, published=_seen("SUVmax", 17.6, 8.9, _KIRCHNER)),
    OrganUptake("jejunum", (L.JEJUNUM,), 6.5, 2.4, 0.50),
    OrganUptake("ileum", (L.ILEUM,), 2.8, 1.0, 0.40),
    OrganUptake("colon", COLON, 2.1, 0.9, 0.40),
    OrganUptake("rectum", (L.RECTUM,), 1.8, 0.5, 0.20),
    OrganUptake("prostate", (L.PROSTATE,), 2.8, 0.8, 0.15, published=_seen("SUVmean", 2.4, 0.7, _KURASH)),
    OrganUptake("seminal vesicles", (L.SEMINAL_VESICLES,), 1.8, 0.5, 0.0),
    OrganUptake("testes", (L.TESTES,), 1.4, 0.4, 0.05),
    OrganUptake("myocardium", (L.MYOCARDIUM,), 1.5, 0.35, 0.08),
    OrganUptake("oesophagus", (L.OESOPHAGUS,), 1.8, 0.5, 0.15),
)  # fmt: skip

_FDG = (
    OrganUptake("blood", BLOOD, 1.75, 0.30, 0.03, published=_seen("SUVmean", 1.5, 0.33, _BLOOD)),
    OrganUptake("muscle", (L.MUSCLE,), 0.68, 0.13, 0.12, published=_seen("SUVmean", 0.7, 0.2, _MEMORY, False)),
    OrganUptake("fat", (L.FAT,), 0.25, 0.07, 0.15, scales=False),
    OrganUptake("lung", LUNGS, 0.50, 0.11, 0.10, published=_seen("SUVmean", 0.5, 0.15, _MEMORY, False)),
    OrganUptake("vertebral marrow", MARROW, 1.4, 0.35, 0.12, published=_seen("SUVmean", 1.4, 0.4, _MEMORY, False)),
    OrganUptake("brain", (L.BRAIN,), 11.5, 2.6, 0.08, {Layer.CORE: 0.30, Layer.NUCLEUS: 1.0}, scales=False),
    OrganUptake("cerebellum", (L.CEREBELLUM,), 8.3, 1.9, 0.06, {Layer.CORE: 0.6}, scales=False,
        published=_seen("SUVmean", 8.0, 2.2, _WANG)),
    OrganUptake("spinal cord", (L.SPINAL_CORD,), 1.6, 0.35, 0.05),
    OrganUptake("pituitary", (L.PITUITARY,), 3.0, 0.8, 0.0),
    OrganUptake("eyes", (L.EYE_LEFT, L.EYE_RIGHT), 1.0, 0.3, 0.0),
    OrganUptake("lacrimal glands", LACRIMALS, 2.2, 0.6, 0.0, paired=True),
    OrganUptake("parotid glands", PAROTIDS, 1.7, 0.5, 0.10, paired=True),
    OrganUptake("submandibular glands", SUBMANDIBULARS, 2.2, 0.6, 0.08, paired=True),
    OrganUptake("sublingual glands", (L.SUBLINGUAL,), 4.5, 1.8, 0.0, published=_seen("SUVmean", 3.3, 1.5, _WANG)),
    OrganUptake("nasal mucosa", (L.NASAL_MUCOSA,), 2.4, 0.7, 0.20),
    OrganUptake("tonsils", (L.TONSILS,), 5.5, 2.2, 0.0, published=_seen("SUVmean", 3.45, 1.4, _WANG)),
    OrganUptake("larynx", (L.LARYNX,), 2.3, 0.9, 0.25),
    OrganUptake("tongue", (L.TONGUE,), 1.9, 0.5, 0.15),
    OrganUptake("thyroid", (L.THYROID,), 1.5, 0.4, 0.10),
    OrganUptake("liver", LIVER, 2.15, 0.38, 0.06, published=_seen("SUVmean", 1.89, 0.41, _LIU)),
    OrganUptake("bile", (L.GALLBLADDER,), 0.8, 0.2, 0.0),
    OrganUptake("spleen", (L.SPLEEN,), 1.85, 0.33, 0.05, published=_seen("SUVmean", 1.9, 0.4, _MEMORY, False)),
    OrganUptake("kidneys", KIDNEYS, 2.6, 0.6, 0.12, {Layer.CORE: 1.5}, paired=True),
    OrganUptake("renal pelves", PELVES, 11.0, 8.0, 0.0, paired=True, scales=False),
    OrganUptake("ureters", URETERS, 2.5, 1.2, 0.0, scales=False),
    OrganUptake("urine", (L.BLADDER,), 18.0, 15.0, 0.02, scales=False),
    OrganUptake("urethra", (L.URETHRA,), 3.5, 3.0, 0.0, scales=False),
    OrganUptake("adrenals", ADRENALS, 2.2, 0.6, 0.0, paired=True),
    OrganUptake("pancreas", (L.PANCREAS, L.UNCINATE), 1.4, 0.35, 0.12),
    OrganUptake("stomach wall", (L.STOMACH,), 2.6, 0.8, 0.30),
    OrganUptake("duodenum", (L.DUODENUM,), 1.8, 0.5, 0.25),
    OrganUptake("jejunum", (L.JEJUNUM,), 1.7, 0.5, 0.35),
    OrganUptake("ileum", (L.ILEUM,), 1.7, 0.6, 0.35),
    OrganUptake("colon", COLON, 1.8, 0.7, 0.45, modes=((0.82, 1.7, 0.35), (0.18, 5.0, 1.5))),
    OrganUptake("rectum", (L.RECTUM,), 1.7, 0.5, 0.25),
    OrganUptake("prostate", (L.PROSTATE,), 1.8, 0.4, 0.12),
    OrganUptake("testes", (L.TESTES,), 3.2, 0.7, 0.05, published=_seen("SUVmean", 2.57, 0.56, _WANG)),
    OrganUptake("uterus", (L.UTERUS,), 1.9, 0.6, 0.15),
    OrganUptake("ovaries", (L.OVARIES,), 1.8, 0.6, 0.0),
    OrganUptake("breasts", (L.BREASTS,), 0.9, 0.3, 0.15),
    OrganUptake("myocardium", (L.MYOCARDIUM,), 5.0, 3.5, 0.18,
        modes=((0.45, 8.5, 2.6), (0.25, 4.0, 0.9), (0.30, 1.9, 0.3))),
    OrganUptake("oesophagus", (L.OESOPHAGUS,), 1.9, 0.4, 0.15),
)  # fmt: skip


def _copper() -> tuple[OrganUptake, ...]:
    from dataclasses import replace

    rows = []
    for organ in _DOTATATE:
        mean, sd = _COPPER_CHANGES.get(organ.name, (organ.mean, organ.sd))
        published = None if organ.name in _COPPER_CHANGES else organ.published
        rows.append(replace(organ, mean=mean, sd=sd, published=published))
    return tuple(rows)


TABLES: Mapping[TracerName, TracerTable] = {
    # SUVbw of liver and blood is 37 % and 33 % higher at a body mass index of 30 and more than at 18.5-25, SUL is not
    # (Sarikaya 2020): the full lean-share factor for FDG. For DOTATATE, SUL also varies less than SUVbw (Ragab et
    # al., Acad Radiol 2022): half of it. With PSMA-positive volumes above 1355 mL organs lose 34-43 % (Gafita 2022).
    TracerName.F18_FDG: TracerTable(_FDG, weight_exponent=1.1, sink_exponent=1.0),
    TracerName.GA68_DOTATATE: TracerTable(_DOTATATE, weight_exponent=0.6, sink_exponent=1.4),
    TracerName.CU64_DOTATATE: TracerTable(_copper(), weight_exponent=0.6, sink_exponent=1.4),
    TracerName.GA68_PSMA11: TracerTable(_PSMA, weight_exponent=0.5, sink_exponent=2.0),
}
"""Tracers that can be simulated."""
