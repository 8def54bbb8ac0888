"""Network architectures, one a file, and the folders that published models live in.

Nothing here imports torch before a network is built or a model is loaded.
"""
