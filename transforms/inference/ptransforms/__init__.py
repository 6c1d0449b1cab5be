"""The PTransforms of inference."""
