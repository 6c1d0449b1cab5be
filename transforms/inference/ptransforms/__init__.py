"""PTransforms of inference."""
