"""The directory of what beamscope keeps for a user, under the name that runners know it by."""

from __future__ import annotations

from beamscope.transforms.storage.user_cache import CACHE_VARIABLE, cache_directory

__all__ = ["CACHE_VARIABLE", "cache_directory"]
