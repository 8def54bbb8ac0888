"""Pre-labels and networks as tasks of the annotation server; the methods themselves are in `petlesion.segment`."""
