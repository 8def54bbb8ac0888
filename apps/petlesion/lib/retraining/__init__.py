"""Retraining of the annotation server's network: rounds, each from a snapshot of the labels."""
