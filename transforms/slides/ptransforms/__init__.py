"""The PTransforms of slides; the work is done in modules without Beam."""
