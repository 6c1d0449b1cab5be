"""The optional packages that fit and draw."""

from __future__ import annotations

import importlib.util

from beamscope.transforms.problem_kinds import Kind
from beamscope.transforms.problems import InputError

_NEEDED = {"sklearn": "scikit-learn", "statsmodels": "statsmodels", "matplotlib": "matplotlib"}


def require_packages() -> None:
    """Check that the packages of the extra ``probe`` are installed, without importing them.

    Raises:
      InputError: ``missing_package``; the message has the command that installs them.
    """
    missing = [name for module, name in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(
            Kind.MISSING_PACKAGE,
            f"{' and '.join(missing)} not installed: pip install 'beamscope[probe]'",
        )
