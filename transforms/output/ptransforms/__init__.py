"""PTransforms of the output."""
