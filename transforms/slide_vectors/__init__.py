"""One vector for each slide, from the embeddings of its patches."""
