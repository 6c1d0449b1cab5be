"""The terminal: progress, summary, quiet logs."""
