"""Simulated patients with known truth, as arrays and as DICOM."""
