"""Reading: the films of a block as pixels, rows and problems."""
