"""The PTransforms of X-rays; the work is done in modules without Beam."""
