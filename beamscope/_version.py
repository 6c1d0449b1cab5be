"""The version of beamscope: written here, and read by setup.py and everything else."""

__version__ = "0.2.0"
