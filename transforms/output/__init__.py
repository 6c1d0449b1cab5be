"""The dataset on disk: schema, parts, shards, tables and description."""
