"""Tables of labels, and how their rows are joined with a dataset."""
