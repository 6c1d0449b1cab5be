"""Patches that are image files already: names, decoding, labels and settings."""
