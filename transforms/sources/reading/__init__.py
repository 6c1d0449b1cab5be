"""Reading: the images of a block as pixels, rows and problems."""
