"""The part of pydicom-seg's interface that MONAI Label 0.8.5 uses, on top of highdicom and pydicom 3.

pydicom-seg 0.4.1, its last release, imports a module that pydicom 3 removed, so that ``import monailabel.app`` fails.
MONAI Label calls three names of it (``monailabel/datastore/utils/convert.py``), and those are here:

- :class:`MultiClassReader`: DICOM SEG to a label image, for every label the DICOMweb store hands out;
- :func:`template.from_dcmqi_metainfo` and :class:`MultiClassWriter`: label image to DICOM SEG.

All reading and writing of DICOM is highdicom's.
"""

from pydicom_seg import template
from pydicom_seg.reader import MultiClassReader, MultiClassResult
from pydicom_seg.writer import MultiClassWriter

__all__ = ["MultiClassReader", "MultiClassResult", "MultiClassWriter", "template"]
