"""Lesions to numbers."""
