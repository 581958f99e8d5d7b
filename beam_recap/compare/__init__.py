"""What changed between two finished runs: their configs, the fates of their rows, and the values in ``data/``."""
