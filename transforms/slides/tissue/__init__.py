"""The tissue of a slide, found by Otsu on a thumbnail or given as a mask."""
