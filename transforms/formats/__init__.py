"""File formats of shards. A format is one module here and one line in `registry`."""
