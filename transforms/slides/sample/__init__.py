"""Synthetic slides for the demo, tests and benchmarks."""
