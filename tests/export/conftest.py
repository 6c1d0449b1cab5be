"""Stores to export from and to."""

from tests.dataset.conftest import stores

__all__ = ["stores"]
