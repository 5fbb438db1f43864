"""Checkpoints: all that the future of a run depends on, in files, for any number of ranks."""
