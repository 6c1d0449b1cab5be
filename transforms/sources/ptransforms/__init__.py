"""The PTransforms of sources; the work is done in modules without Beam."""
