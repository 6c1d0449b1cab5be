"""The PTransforms of the output."""
