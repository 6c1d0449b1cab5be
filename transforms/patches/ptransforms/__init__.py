"""The PTransforms of encoded images."""
