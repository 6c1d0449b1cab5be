"""Side by side, in one process run, as ratios. Nothing here asserts a time."""
