"""Cox's proportional hazards (Cox 1972) with a quadratic penalty.

statsmodels has the partial likelihood and its derivative, SciPy the minimiser.
"""

from __future__ import annotations

import numpy as np

from beamscope.transforms.probe.arrays import Floats


def fit_cox(features: Floats, times: Floats, events: Floats, C: float) -> Floats:  # noqa: N803
    """Return coefficients ``[D]``; a higher ``features @ coefficients`` is an earlier event.

    They maximise the log partial likelihood (ties by Efron) less ``|coefficients|² / (2 C)``.

    Args:
      features: ``[n, D]``.
      times: ``[n]``, above 0.
      events: ``[n]``, 1 for an event, 0 for a censored time.
      C: inverse of the penalty's strength.
    """
    from scipy.optimize import minimize
    from statsmodels.duration.hazard_regression import PHReg

    if not events.any():
        return np.zeros(features.shape[1])
    # The penalty keeps coefficients in the span of the rows, so n directions are enough.
    directions: Floats | None = None
    if features.shape[1] > features.shape[0]:
        _, _, directions = np.linalg.svd(features, full_matrices=False)
        features = features @ directions.T
    model = PHReg(times, features, status=events, ties="efron")

    def objective(coefficients: Floats) -> tuple[float, Floats]:
        value = -model.loglike(coefficients) + coefficients @ coefficients / (2 * C)
        return float(value), -model.score(coefficients) + coefficients / C

    start = np.zeros(features.shape[1])
    found: Floats = minimize(objective, start, jac=True, method="L-BFGS-B").x
    return found if directions is None else found @ directions
