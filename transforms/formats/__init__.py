"""File formats of the shards, each in a module of its own."""
