"""Anatomy of simulated patients, one region of the body a file, as implicit surfaces in a canonical frame."""
