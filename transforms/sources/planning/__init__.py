"""Plans: the images of a source, cut into blocks, before any of them is read."""
