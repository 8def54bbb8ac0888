"""Scanners that simulated patients are imaged with: grid, resolution, sensitivity, reconstruction, vendor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from petlesion.volume import Grid


class Vendor(StrEnum):
    """Whose way of writing DICOM headers is followed."""

    GE = "ge"
    SIEMENS = "siemens"
    PHILIPS = "philips"


class ScannerName(StrEnum):
    """Presets of scanner and reconstruction."""

    GE_DISCOVERY_STE = "ge-discovery-ste"
    GE_DISCOVERY_STE_256 = "ge-discovery-ste-256"
    SIEMENS_BIOGRAPH_MCT = "siemens-biograph-mct"
    SIEMENS_BIOGRAPH_FINE = "siemens-biograph-fine"
    PHILIPS_GEMINI_TF = "philips-gemini-tf"
    EARL1 = "earl1"
    PSF = "psf"


@dataclass(frozen=True)
class OsemSettings:
    """How counts become an image.

    Attributes
    ----------
    iterations, subsets
        Of ordered-subset expectation maximisation.
    psf
        Whether the point spread is part of the model (resolution recovery).
    post_fwhm_mm
        Gaussian post-filter along (z, y, x).
    """

    iterations: int
    subsets: int
    psf: bool
    post_fwhm_mm: tuple[float, float, float]

    @property
    def updates(self) -> int:
        """Number of image updates."""
        return self.iterations * self.subsets


@dataclass(frozen=True)
class Scanner:
    """A PET scanner as the simulation needs it.

    Attributes
    ----------
    name
        Preset.
    vendor, model
        Who made it, and its name in the header.
    matrix
        Rows and columns of a slice.
    spacing_mm
        Voxel size along (z, y, x).
    fwhm_mm
        Intrinsic resolution (transaxial and axial), positron range of 18F included.
    sensitivity_cps_kbq
        NEMA NU 2 system sensitivity: of a 700 mm line source in air, cps/kBq.
    axial_fov_mm, bed_step_mm
        Length of the detector, and how far the table moves between beds.
    scatter_fraction
        NEMA NU 2 scatter fraction.
    randoms_fraction
        Randoms over trues with 200 MBq in the patient; proportional to the activity.
    tof_gain
        Gain in effective counts by time of flight, as measured in patients.
    bed_time
        Time a bed relative to the protocol of the tracer: scanners without time of flight take longer.
    bin_mm
        Radial sampling of the sinogram.
    osem
        Clinical reconstruction.
    """

    name: ScannerName
    vendor: Vendor
    model: str
    matrix: int
    spacing_mm: tuple[float, float, float]
    fwhm_mm: float
    sensitivity_cps_kbq: float
    axial_fov_mm: float
    bed_step_mm: float
    scatter_fraction: float
    randoms_fraction: float
    tof_gain: float
    bed_time: float
    bin_mm: float
    osem: OsemSettings

    @property
    def efficiency_cps_kbq(self) -> float:
        """Mean count rate of a source in air within the axial field of view, cps/kBq."""
        return self.sensitivity_cps_kbq * NEMA_LINE_MM / self.axial_fov_mm

    def grid_over(self, body: Grid) -> Grid:
        """The scanner's grid centred on a body, with as many slices as cover it."""
        slices = int(np.ceil(body.shape[0] * body.spacing_mm[0] / self.spacing_mm[0]))
        shape = (slices, self.matrix, self.matrix)
        center = body.to_world((np.array(body.shape) - 1) / 2)
        half = (np.array(shape) - 1) / 2 * np.array(self.spacing_mm)
        return Grid.from_geometry(shape, self.spacing_mm, np.round(center - half[::-1], 3))


NEMA_LINE_MM = 700.0
"""Length of the line source of the NEMA NU 2 sensitivity test."""

_CLINICAL_FILTER = (5.0, 5.0, 5.0)

# Sensitivity, resolution and scatter fraction as measured by NEMA NU 2: Discovery STE, Teräs et al., EJNMMI 2007;
# Biograph mCT, Jakoby et al., PMB 2011; Gemini TF, Surti et al., JNM 2007. Gain by time of flight: SNR of the liver
# grows by a fifth to a third in patients (Lois et al., JNM 2010). Reconstructions as in the published systems, filters
# such that the noise of the liver is that of patients (docs/simulated-scanner.md).
_PRESETS = (
    Scanner(
        name=ScannerName.GE_DISCOVERY_STE,
        vendor=Vendor.GE,
        model="Discovery STE",
        matrix=128,
        spacing_mm=(3.27, 5.46875, 5.46875),
        fwhm_mm=5.2,
        sensitivity_cps_kbq=8.8,
        axial_fov_mm=157.0,
        bed_step_mm=121.0,
        scatter_fraction=0.34,
        randoms_fraction=0.6,
        tof_gain=1.0,
        bed_time=1.3,
        bin_mm=3.0,
        osem=OsemSettings(2, 28, psf=False, post_fwhm_mm=(4.0, 6.0, 6.0)),
    ),
    Scanner(
        name=ScannerName.SIEMENS_BIOGRAPH_MCT,
        vendor=Vendor.SIEMENS,
        model="Biograph64_mCT",
        matrix=200,
        spacing_mm=(3.0, 4.07283, 4.07283),
        fwhm_mm=4.6,
        sensitivity_cps_kbq=9.7,
        axial_fov_mm=218.0,
        bed_step_mm=124.0,
        scatter_fraction=0.33,
        randoms_fraction=0.5,
        tof_gain=1.6,
        bed_time=1.0,
        bin_mm=3.0,
        osem=OsemSettings(3, 21, psf=True, post_fwhm_mm=(4.0, 4.0, 4.0)),
    ),
    Scanner(
        name=ScannerName.PHILIPS_GEMINI_TF,
        vendor=Vendor.PHILIPS,
        model="GEMINI TF TOF 64",
        matrix=144,
        spacing_mm=(4.0, 4.0, 4.0),
        fwhm_mm=4.9,
        sensitivity_cps_kbq=7.2,
        axial_fov_mm=180.0,
        bed_step_mm=90.0,
        scatter_fraction=0.30,
        randoms_fraction=0.5,
        tof_gain=1.5,
        bed_time=1.2,
        bin_mm=3.0,
        osem=OsemSettings(3, 33, psf=False, post_fwhm_mm=_CLINICAL_FILTER),
    ),
)
_STE, _MCT = _PRESETS[:2]
_VARIANTS = (
    replace(
        _MCT,
        name=ScannerName.SIEMENS_BIOGRAPH_FINE,
        matrix=400,
        spacing_mm=(3.0, 2.03642, 2.03642),
        osem=OsemSettings(3, 21, psf=True, post_fwhm_mm=(3.0, 3.0, 3.0)),
    ),
    # Wehrend et al. filter areas of up to 20 pixels on lesions of four slices: their pixels must be near 2.7 mm.
    replace(_STE, name=ScannerName.GE_DISCOVERY_STE_256, matrix=256, spacing_mm=(3.27, 2.734375, 2.734375)),
    replace(_MCT, name=ScannerName.EARL1, osem=OsemSettings(3, 21, psf=False, post_fwhm_mm=(6.5, 6.5, 6.5))),
    replace(_MCT, name=ScannerName.PSF, osem=OsemSettings(4, 21, psf=True, post_fwhm_mm=(3.0, 3.0, 3.0))),
)
SCANNERS: dict[ScannerName, Scanner] = {scanner.name: scanner for scanner in (*_PRESETS, *_VARIANTS)}
"""All presets by name."""
