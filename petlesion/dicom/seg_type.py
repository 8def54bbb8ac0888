"""Kinds of segmentation objects; a module that imports nothing, for the command line."""

from __future__ import annotations

from enum import StrEnum


class SegType(StrEnum):
    """How a segmentation object stores lesions (SegmentationType, DICOM PS3.3 C.8.20.2)."""

    BINARY = "binary"
    """One-bit frames of each lesion: read by every viewer."""
    LABELMAP = "labelmap"
    """One number a voxel, compressed (RLE): smaller, and read by few viewers so far."""
