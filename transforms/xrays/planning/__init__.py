"""Plans: the films of a source, cut into blocks, before any of them is read."""
