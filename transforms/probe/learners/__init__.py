"""The small models that are fitted to embeddings."""
