"""Readers of slides behind one interface, and the pool of open slides."""
