"""Films read block by block."""
