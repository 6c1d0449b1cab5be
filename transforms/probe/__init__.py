"""Small models on the embeddings of a dataset: how well they predict a label, and from how many."""
