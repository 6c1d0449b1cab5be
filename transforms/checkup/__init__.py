"""Checks of a machine, an output and a model before a job."""
