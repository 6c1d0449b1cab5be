"""The commands that are no jobs."""
