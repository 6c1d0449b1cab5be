"""Metrics of predictions under many weightings at once, for bootstraps.

Each function takes labels, scores, the fold of each prediction, and weights ``[B, n]``, and returns
``[B]`` values. A weight is the number of times that a bootstrap has drawn the patient. Libraries
compute one weighting a call; a thousand resamples of fifty draws would take hours. Tests compare
each metric with scikit-learn or lifelines.
"""
