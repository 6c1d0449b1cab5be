"""Patches and films as encoded images, without a model: samples, encoding and columns."""
