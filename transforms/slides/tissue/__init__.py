"""Where the tissue of a slide is: Otsu on a thumbnail, or a mask."""
