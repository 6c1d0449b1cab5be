"""Whole-slide images: which, at what resolution, where the tissue is, and their pixels."""
