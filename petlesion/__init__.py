"""petlesion: tumour lesions in PET/CT, from DICOM to SUV, lesions, measurements and DICOM results.

Research software, not a medical device.
"""

__version__ = "0.1.0"
