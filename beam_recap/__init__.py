"""Turns shards of noisy image-text rows into filtered, scored, re-captioned datasets."""

__version__ = "0.1.0"
