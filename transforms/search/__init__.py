"""Search a dataset: the nearest patches by cosine, their table, and a page with their pictures."""
