"""Benchmarks: compare speeds in one run, as ratios. No benchmark asserts a time."""
