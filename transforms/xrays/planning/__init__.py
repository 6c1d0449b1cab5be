"""Which films of a source are embedded, in which blocks."""
